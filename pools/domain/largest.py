"""What is the most that still fits in one piece: the largest shapes of a model in a pool."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from uuid import UUID

from msgspec import Struct

from pools.domain.candidates import Candidate, View
from pools.domain.gangs import domain


class Largest(Struct, frozen=True, kw_only=True):
    """Of members with so many whole devices each, how many fit: in all of the pool, in its best rack, and of those how
    many have their devices in one link group. None where the pool does not tell racks or link groups.
    """

    pool_id: UUID
    model: str
    devices_per_member: int
    members: int
    members_in_one_rack: int | None = None
    members_in_link_groups: int | None = None

    @property
    def text(self) -> str:
        """The shape as people write it: ``12 x 8``."""
        return f"{self.members} x {self.devices_per_member}"


def largest(view: View) -> tuple[Largest, ...]:
    """Return for each pool and model the shapes of 1, 2, 4, 8 ... devices a member, and of the most on one node.

    Only whole devices count; CPU and memory of the hosts do not. Rows that stand for several nodes count as often.
    """
    rows: dict[tuple[UUID, str], list[Candidate]] = defaultdict(list)
    for row in view.candidates:
        if row.model and row.node_id is not None and row.profile is None:
            rows[row.pool_id, row.model].append(row)
    return tuple(shape for (pool_id, model), members in rows.items() for shape in _shapes(pool_id, model, members))


def _shapes(pool_id: UUID, model: str, rows: Iterable[Candidate]) -> Iterator[Largest]:
    free = [(row, _free(row), _free_by_group(row)) for row in rows]
    most = max((count for _, count, _ in free), default=0)
    sizes = [1 << power for power in range(most.bit_length())]
    for devices in sorted({*sizes, most} - {0}):
        racks: dict[object, int] = defaultdict(int)
        for row, count, _ in free:
            racks[domain(row, "rack")] += row.alike * (count // devices)
        known = [members for rack, members in racks.items() if rack is not None]
        groups = [row.alike * sum(n // devices for n in by_group.values()) for row, _, by_group in free if by_group]
        yield Largest(
            pool_id=pool_id,
            model=model,
            devices_per_member=devices,
            members=sum(racks.values()),
            members_in_one_rack=max(known) if known else None,
            members_in_link_groups=sum(groups) if groups else None,
        )


def _free(row: Candidate) -> int:
    if row.kind == "counter":
        return row.cards[0].free_milli // row.unit_milli if row.cards and row.unit_milli == 1000 else 0
    return sum(card.free_milli == card.total_milli == 1000 for card in row.cards)


def _free_by_group(row: Candidate) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for card in row.cards:
        if card.group and card.free_milli == card.total_milli == 1000:
            found[card.group] += 1
    return found
