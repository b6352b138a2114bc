"""Decisions as the rows of one write: what is taken of each capacity row, and what each member holds of it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from pools.domain import ids, markers
from pools.domain.decisions import Decision, Placed
from pools.domain.profiles import Layout, Piece
from pools.domain.request import WHOLE_MILLI
from pools.selectors import columns
from pools.services import arrays

_PLACES: Final = Decimal("0.000001")
_json = msgspec.json.Encoder()
# What the ledger can say of where a claim lies: the platform keeps to the device that we chose, or to no device.
_CERTAINTIES: Final = {"device": "assigned", "node": "unknown", "pool": "unknown"}
_HOST: Final = (1,)  # the only position of a host's row
# Of a member or a claim, or as most rows are of a member with its claim: the parameters of claim_take.
_MADE: Final[Mapping[str, Callable[[Sequence[Any]], Any]]] = {
    "allocations": columns.keys,
    "projects": columns.keys,
    "kinds": columns.texts,
    "certainties": columns.texts,
    "numbers": columns.integers,
    "pools": columns.uuids,
    "nodes": columns.uuids,
    "targets": columns.encoded,
    "operations": columns.keys,
    "operation_states": columns.texts,
    "claims": columns.keys,
    "claim_rows": columns.uuids,
    "milli": columns.integers,
    "mib": columns.bigints,
    "profiles": columns.texts,
    "prices": arrays.literal,
}
_NO_MEMBER: Final = (None, None, None)  # its row is another
_NO_CLAIM: Final = (None,) * 6


class Holder(NamedTuple):
    """Who takes: the allocation, how, and until when at the latest (None: open-ended)."""

    allocation_id: UUID
    project_id: UUID
    ledger_kind: str
    until_at: datetime | None
    grain: str
    is_confirmed: bool


@dataclass(slots=True)
class _Taken:
    """What is taken of one capacity row: {position: (milli, MiB)}. Layouts are of the positions that matter."""

    row: UUID
    until_at: datetime | None
    claimed: dict[int, tuple[int, int]] = field(default_factory=dict)
    held: dict[int, tuple[int, int]] = field(default_factory=dict)
    seen: dict[str, Layout] = field(default_factory=dict)
    after: dict[str, Layout] = field(default_factory=dict)
    uncut: list[int] = field(default_factory=list)


class Rows:
    """The rows of one attempt, column by column. ``positions`` and ``layouts`` are those of the read."""

    def __init__(
        self, positions: Mapping[UUID, int], layouts: Mapping[tuple[UUID, int], Layout], installation: str
    ) -> None:
        self._positions, self._layouts, self._installation = positions, layouts, installation
        self._taken: dict[int, _Taken] = {}
        self._made: list[tuple[Any, ...]] = []
        self._positions_of: list[Sequence[int]] = []
        self._starts_of: list[Sequence[int] | None] = []

    def add(self, holder: Holder, decision: Decision) -> None:
        """Add all members of an allocation."""
        price = decision.price_per_hour
        each = None if price is None else (price / len(decision.members)).quantize(_PLACES, ROUND_HALF_UP)
        operation_state = "confirmed" if holder.is_confirmed else "planned"
        key, project, certainty = holder.allocation_id.bytes, holder.project_id.bytes, _CERTAINTIES[holder.grain]
        name = ids.text(holder.allocation_id)
        for placed in decision.members:
            target = markers.of_member(self._installation, name, placed.index).encode()
            member: tuple[Any, ...] = (target, ids.new_key(), operation_state)
            of = (key, project, holder.ledger_kind, certainty, placed.index, placed.pool_id, placed.node_id)
            row, host = placed.capacity_id, placed.host_id
            if row is not None:
                self._cards(holder, placed, row, decision.profile)
                claim = (ids.new_key(), row, placed.milli, placed.mib, decision.profile, each)
                self._add((*of, *member, *claim), placed.positions, placed.starts)
                member = _NO_MEMBER
            if host is not None:
                self._take(holder, host, _HOST, placed.cpu_milli, placed.memory_mib)
                claim = (ids.new_key(), host, placed.cpu_milli, placed.memory_mib, None, None)
                self._add((*of, *member, *claim), _HOST, None)
            elif row is None:
                self._add((*of, *member, *_NO_CLAIM), (), None)

    def _add(self, made: tuple[Any, ...], positions: Sequence[int], starts: Sequence[int] | None) -> None:
        self._made.append(made)
        self._positions_of.append(positions)
        self._starts_of.append(starts)

    def _cards(self, holder: Holder, placed: Placed, row: UUID, profile: str | None) -> None:
        taken = self._take(holder, row, placed.positions, placed.milli, placed.mib)
        if placed.milli >= WHOLE_MILLI:
            return  # a whole card that is free has nothing on it
        for number, position in enumerate(placed.positions):
            key = str(position)
            if key not in taken.seen:
                taken.seen[key] = taken.after[key] = self._layouts.get((row, position), ())
                if placed.starts is not None and not taken.seen[key]:
                    taken.uncut.append(position)
            if placed.starts is not None and profile is not None:
                pieces = (*taken.after[key], Piece(profile=profile, start=placed.starts[number]))
                taken.after[key] = tuple(sorted(pieces, key=lambda piece: (piece.profile, piece.start)))

    def _take(self, holder: Holder, row: UUID, positions: Iterable[int], milli: int, mib: int) -> _Taken:
        taken = self._taken.get(row.int)
        if taken is None:
            taken = self._taken[row.int] = _Taken(row, holder.until_at)
        amounts = taken.held if holder.ledger_kind == "hold" else taken.claimed
        for position in positions:
            before = amounts.get(position)
            amounts[position] = (milli, mib) if before is None else (before[0] + milli, before[1] + mib)
        if taken.until_at is not None:
            taken.until_at = None if holder.until_at is None else max(taken.until_at, holder.until_at)
        return taken

    def _in_order(self) -> list[_Taken]:
        return [taken for _, taken in sorted(self._taken.items())]

    def guarded(self) -> dict[str, Any]:
        """Return the parameters of claim_guard: of each row the positions that something is taken of, and how much."""
        rows = self._in_order()
        return {
            "rows": columns.uuids([taken.row for taken in rows]),
            "counts": columns.integers([self._positions[taken.row] for taken in rows]),
            **_amounts("places", "", [_both(taken) for taken in rows]),
            "until": columns.instants([taken.until_at for taken in rows]),
            "layouts": columns.encoded([_text(taken.seen) for taken in rows]),
            **columns.slices("uncut", [taken.uncut for taken in rows], columns.integers),
        }

    def taken(self) -> dict[str, Any]:
        """Return the parameters of claim_take."""
        rows = self._in_order()
        return {
            "rows": columns.uuids([taken.row for taken in rows]),
            **_amounts("claimed", "claimed_", [taken.claimed for taken in rows]),
            **_amounts("held", "held_", [taken.held for taken in rows]),
            "layouts": columns.encoded([_text(_changed(taken)) for taken in rows]),
            **{
                name: make(values)
                for (name, make), values in zip(_MADE.items(), zip(*self._made, strict=True), strict=True)
            },
            **columns.slices("positions", self._positions_of, columns.integers),
            **columns.slices("starts", self._starts_of, columns.integers),
        }


def _amounts(name: str, prefix: str, of_rows: Sequence[Mapping[int, tuple[int, int]]]) -> dict[str, Any]:
    """Return of each row the positions and how much of them."""
    amounts = [amount for each in of_rows for amount in each.values()]
    return {
        **columns.slices(name, of_rows, columns.integers),
        f"{prefix}milli": columns.integers([milli for milli, _ in amounts]),
        f"{prefix}mib": columns.bigints([mib for _, mib in amounts]),
    }


def _both(taken: _Taken) -> Mapping[int, tuple[int, int]]:
    if not taken.held or not taken.claimed:
        return taken.held or taken.claimed
    held, claimed, nothing = taken.held, taken.claimed, (0, 0)
    pairs = {each: (held.get(each, nothing), claimed.get(each, nothing)) for each in held | claimed}
    return {each: (one[0] + other[0], one[1] + other[1]) for each, (one, other) in pairs.items()}


def _changed(taken: _Taken) -> dict[str, Layout]:
    return {key: pieces for key, pieces in taken.after.items() if pieces != taken.seen[key]}


def _text(layouts: Mapping[str, Layout]) -> bytes | None:
    return _json.encode(layouts) if layouts else None
