"""A fleet that somebody may use, and requests for it."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import msgspec

from pools.domain import ids
from pools.domain.actors import Actor
from pools.domain.request import Choice, PerMember, Wanted
from pools.domain.shapes import Shape
from pools.models import Allocation, Capacity, ChipModel, Claim, PoolSync, Project, Quota
from pools.selectors import allocations as seen
from pools.services import claims, packing_prices
from pools.services.asked import Asked
from pools.services.batches import Made
from tests.factories import ALICE, NOW, Clock, Shows, granted, node, pool, project, synced

H100 = "nvidia-h100-80gb"
PLENTY = 10**9


class World:
    """One simulated pool with nodes of eight H100s, granted to one project that has a quota."""

    def __init__(self, *nodes: Any, quota_milli: int = PLENTY, count: int = 1, devices: int = 8, **fields: Any) -> None:
        named = {"vendor": "nvidia", "name": "H100", "created_at": NOW}
        self.model = ChipModel.objects.get_or_create(slug=H100, defaults=named)[0]
        self.clock = Clock()
        self.pool = pool(**fields)
        self.show(*(nodes or [node(f"n{i}", devices=devices) for i in range(count)]))
        self.project = project("acme/vision")
        granted(self.pool, self.project)
        above = quota(self.project.parent, self.model, PLENTY)
        self.quota = quota(self.project, self.model, quota_milli, above)

    def learn(self, **counts: int) -> None:
        """Let pack know how often whole nodes, single devices and parts of one are asked for."""
        kinds = {"nodes": Shape(0, 0, 8, 1000), "devices": Shape(0, 0, 1, 1000), "parts": Shape(0, 0, 1, 250)}
        packing_prices._noted = packing_prices._Noted()
        packing_prices.note({kinds[name]: count for name, count in counts.items()}, now=self.clock.now)
        packing_prices.renew(now=self.clock.now)

    def show(self, *nodes: Any, **more: Any) -> None:
        """Let the pool be observed with these nodes."""
        synced(self.pool, Shows(*nodes, **more), self.clock)
        self.observe()

    def observe(self) -> None:
        """Let all pools have been seen just now."""
        PoolSync.objects.update(health="online", observed_at=self.clock.now)

    def asked(self, devices: int = 1, *, actor: Actor = ALICE, **fields: Any) -> Asked:
        """A request of the project."""
        return asked(self.project, devices, actor=actor, **fields)

    def ask(self, devices: int = 1, **fields: Any) -> Any:
        """What the project is answered when it asks for devices."""
        return self.submit(self.asked(devices, **fields))[0]

    def submit(self, *asked: Asked) -> list[Any]:
        """What several requests at once are answered."""
        self.observe()
        answers = claims.submit(asked, now=self.clock.now)
        check_rows(answers)
        return answers

    def allocation(self, answer: Any) -> Allocation:
        return Allocation.objects.get(id=answer.allocation_id)

    def used_milli(self) -> int:
        self.quota.refresh_from_db()
        return self.quota.used_milli

    def check(self) -> None:
        """What claims say is what capacity rows and quotas say."""
        check_claims()
        live = Claim.objects.filter(released_at=None, capacity__kind__in=("cards", "counter"))
        assert self.used_milli() == sum(claim.milli * len(claim.positions) for claim in live)


def asked(of: Project, devices: int = 1, *, actor: Actor = ALICE, **fields: Any) -> Asked:
    defaults: dict[str, Any] = {"any_of": (Choice(model=H100),), "project": of.path, "devices_per_member": devices}
    return Asked(
        id=ids.new_id(),
        wanted=Wanted(**(defaults | fields)),
        project_id=of.id,
        lineage=tuple(of.lineage),
        actor=actor,
        shown_as=of.path,
    )


def check_rows(answers: Iterable[Any]) -> None:
    """What was answered without another look is what a look finds."""
    for answer in answers:
        if isinstance(answer, Made) and answer.shown is not None:
            found = seen.one(answer.allocation_id)
            assert answer.shown.body == msgspec.json.encode(found), "the version is of the bytes"
            assert (answer.shown.state, answer.shown.generation) == (found.state, found.generation)


def quota(of: Any, model: ChipModel | None, nominal_milli: int, above: Quota | None = None, **fields: Any) -> Quota:
    return Quota.objects.create(
        project=of, model=model, nominal_milli=nominal_milli, parent=above, depth=len(of.lineage), created_at=NOW,
        changed_at=NOW, **({"borrow_limit_milli": 0} | fields),
    )  # fmt: skip


def with_host(cpu_milli: int, memory_mib: int = 0) -> PerMember:
    return PerMember(cpu_milli=cpu_milli, memory_mib=memory_mib)


def check_claims() -> None:
    """Invariants 1 and 11: each position has what the claims on it take, and never more than there is of it."""
    check_positions()
    for row in Capacity.objects.all():
        for total, claimed, held in zip(row.pos_total_milli, row.pos_claimed_milli, row.pos_held_milli, strict=True):
            assert claimed + held <= total, row.id


def check_positions() -> None:
    """Each position has what the claims on it take, whatever has become of the card meanwhile."""
    taken: dict[tuple[UUID, int, bool], list[int]] = {}
    for claim in Claim.objects.filter(released_at=None):
        for position in claim.positions:
            sums = taken.setdefault((claim.capacity_id, position, claim.is_held), [0, 0])
            sums[0] += claim.milli
            sums[1] += claim.memory_mib
    for row in Capacity.objects.all():
        for number in range(len(row.pos_total_milli)):
            of_claims = [taken.get((row.id, number + 1, is_held), [0, 0]) for is_held in (False, True)]
            assert [row.pos_claimed_milli[number], row.pos_claimed_mib[number]] == of_claims[0]
            assert [row.pos_held_milli[number], row.pos_held_mib[number]] == of_claims[1]
