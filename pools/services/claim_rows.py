"""Decisions as the rows of one write: what is taken of each capacity row, and what each member holds of it."""

from collections.abc import Iterable, Mapping, Sequence
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


class _Member(NamedTuple):
    """A member, and what is to be done for it on the platform."""

    target_ref: str | None
    operation_id: bytes | None
    operation_state: str | None


class _Claim(NamedTuple):
    """What a member takes of one capacity row."""

    id: bytes | None
    row: UUID | None
    positions: Sequence[int]
    starts: Sequence[int] | None
    milli: int | None
    mib: int | None
    profile: str | None
    price: Decimal | None


# A member without a claim, and its further claims.
_NO_CLAIM: Final = _Claim(None, None, (), None, None, None, None, None)
_SAME_MEMBER: Final = _Member(None, None, None)


class Rows:
    """The rows of one attempt, column by column. ``positions`` and ``layouts`` are those of the read."""

    def __init__(
        self, positions: Mapping[UUID, int], layouts: Mapping[tuple[UUID, int], Layout], installation: str
    ) -> None:
        self._positions, self._layouts, self._installation = positions, layouts, installation
        self._taken: dict[int, _Taken] = {}
        self._made: list[tuple[Holder, Placed, _Member, _Claim]] = []

    def add(self, holder: Holder, decision: Decision) -> None:
        """Add all members of an allocation."""
        price = decision.price_per_hour
        each = None if price is None else (price / len(decision.members)).quantize(_PLACES, ROUND_HALF_UP)
        state = "confirmed" if holder.is_confirmed else "planned"
        for placed in decision.members:
            target = markers.of_member(self._installation, holder.allocation_id, placed.index)
            member = _Member(target, ids.new_key(), state)
            claims = []
            if placed.capacity_id is not None:
                claims.append(self._cards(holder, placed, placed.capacity_id, decision.profile, each))
            if placed.host_id is not None:
                self._take(holder, placed.host_id, _HOST, placed.cpu_milli, placed.memory_mib)
                host = (placed.host_id, _HOST, None, placed.cpu_milli, placed.memory_mib, None, None)
                claims.append(_Claim(ids.new_key(), *host))
            for claim in claims or [_NO_CLAIM]:
                self._made.append((holder, placed, member, claim))
                member = _SAME_MEMBER

    def _cards(self, holder: Holder, placed: Placed, row: UUID, profile: str | None, price: Decimal | None) -> _Claim:
        taken = self._take(holder, row, placed.positions, placed.milli, placed.mib)
        # A whole card that is free has nothing on it.
        for number, position in enumerate(placed.positions if placed.milli < WHOLE_MILLI else ()):
            key = str(position)
            if key not in taken.seen:
                taken.seen[key] = taken.after[key] = self._layouts.get((row, position), ())
                if placed.starts is not None and not taken.seen[key]:
                    taken.uncut.append(position)
            if placed.starts is not None and profile is not None:
                pieces = (*taken.after[key], Piece(profile=profile, start=placed.starts[number]))
                taken.after[key] = tuple(sorted(pieces, key=lambda piece: (piece.profile, piece.start)))
        return _Claim(ids.new_key(), row, placed.positions, placed.starts, placed.milli, placed.mib, profile, price)

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
            "layouts": columns.texts([_text(taken.seen) for taken in rows]),
            **columns.slices("uncut", [taken.uncut for taken in rows], columns.integers),
        }

    def taken(self) -> dict[str, Any]:
        """Return the parameters of claim_take."""
        rows = self._in_order()
        return {
            "rows": columns.uuids([taken.row for taken in rows]),
            **_amounts("claimed", "claimed_", [taken.claimed for taken in rows]),
            **_amounts("held", "held_", [taken.held for taken in rows]),
            "layouts": columns.texts([_text(_changed(taken)) for taken in rows]),
            **_made(self._made),
        }


def _made(made: Sequence[tuple[Holder, Placed, _Member, _Claim]]) -> dict[str, Any]:
    holders, places, members, claims = zip(*made, strict=True)
    targets, operations, operation_states = zip(*members, strict=True)
    keys, rows, positions, starts, milli, mib, profiles, prices = zip(*claims, strict=True)
    return {
        "allocations": columns.uuids([holder.allocation_id for holder in holders]),
        "numbers": columns.integers([placed.index for placed in places]),
        "pools": columns.uuids([placed.pool_id for placed in places]),
        "nodes": columns.uuids([placed.node_id for placed in places]),
        "targets": columns.texts(targets),
        "operations": columns.keys(operations),
        "operation_states": columns.texts(operation_states),
        "claims": columns.keys(keys),
        "claim_rows": columns.uuids(rows),
        **columns.slices("positions", positions, columns.integers),
        **columns.slices("starts", starts, columns.integers),
        "milli": columns.integers(milli),
        "mib": columns.bigints(mib),
        "profiles": columns.texts(profiles),
        "kinds": columns.texts([holder.ledger_kind for holder in holders]),
        "projects": columns.uuids([holder.project_id for holder in holders]),
        "certainties": columns.texts([_CERTAINTIES[holder.grain] for holder in holders]),
        "prices": arrays.literal(prices),
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


def _text(layouts: Mapping[str, Layout]) -> str | None:
    return _json.encode(layouts).decode() if layouts else None
