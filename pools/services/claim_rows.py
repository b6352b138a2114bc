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
from pools.services import arrays

_PLACES: Final = Decimal("0.000001")
_json = msgspec.json.Encoder()
# What the ledger can say of where a claim lies: the platform keeps to the device that we chose, or to no device.
_CERTAINTIES: Final = {"device": "assigned", "node": "unknown", "pool": "unknown"}


_MEMBER: Final = (
    "member_allocations",
    "member_numbers",
    "member_pools",
    "member_nodes",
    "targets",
    "operations",
    "operation_states",
)
_CLAIM: Final = (
    *("claims", "claim_allocations", "claim_members", "claim_pools", "claim_rows", "positions", "starts"),
    *("claim_milli", "claim_mib", "profiles", "kinds", "projects", "certainties", "prices"),
)
_QUOTED: Final = {"positions", "starts", "profiles"}


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
        self._taken: dict[UUID, _Taken] = {}
        self._members: list[tuple[Any, ...]] = []
        self._claims: list[tuple[Any, ...]] = []

    def add(self, holder: Holder, decision: Decision) -> None:
        """Add all members of an allocation."""
        price = decision.price_per_hour
        each = None if price is None else (price / len(decision.members)).quantize(_PLACES, ROUND_HALF_UP)
        for placed in decision.members:
            self._members.append(
                (
                    holder.allocation_id,
                    placed.index,
                    placed.pool_id,
                    placed.node_id,
                    markers.of_member(self._installation, holder.allocation_id, placed.index),
                    ids.new_id_text(),
                    "confirmed" if holder.is_confirmed else "planned",
                )
            )
            if placed.capacity_id is not None:
                self._cards(holder, placed, placed.capacity_id, decision.profile, each)
            if placed.host_id is not None:
                self._take(holder, placed.host_id, (1,), placed.cpu_milli, placed.memory_mib)
                self._claim(holder, placed, placed.host_id, (1,), None, placed.cpu_milli, placed.memory_mib, None, None)

    def _cards(self, holder: Holder, placed: Placed, row: UUID, profile: str | None, price: Decimal | None) -> None:
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
        self._claim(holder, placed, row, placed.positions, placed.starts, placed.milli, placed.mib, profile, price)

    def _take(self, holder: Holder, row: UUID, positions: Iterable[int], milli: int, mib: int) -> _Taken:
        taken = self._taken.get(row)
        if taken is None:
            taken = self._taken[row] = _Taken(holder.until_at)
        amounts = taken.held if holder.ledger_kind == "hold" else taken.claimed
        for position in positions:
            before = amounts.get(position)
            amounts[position] = (milli, mib) if before is None else (before[0] + milli, before[1] + mib)
        if taken.until_at is not None:
            taken.until_at = None if holder.until_at is None else max(taken.until_at, holder.until_at)
        return taken

    def _claim(
        self,
        holder: Holder,
        placed: Placed,
        row: UUID,
        positions: Iterable[int],
        starts: Iterable[int] | None,
        milli: int,
        mib: int,
        profile: str | None,
        price: Decimal | None,
    ) -> None:
        self._claims.append(
            (
                ids.new_id_text(),
                holder.allocation_id,
                placed.index,
                placed.pool_id,
                row,
                arrays.numbers(positions),
                None if starts is None else arrays.numbers(starts),
                milli,
                mib,
                profile,
                holder.ledger_kind,
                holder.project_id,
                _CERTAINTIES[holder.grain],
                price,
            )
        )

    def guarded(self) -> dict[str, Any]:
        """Return the parameters of claim_guard: of each row the positions that something is taken of, and how much."""
        rows = sorted(self._taken.items())
        return {
            "rows": arrays.plain([row for row, _ in rows]),
            "counts": arrays.plain([self._positions[row] for row, _ in rows]),
            **_amounts("", [_both(taken) for _, taken in rows]),
            "until": arrays.plain([taken.until_at for _, taken in rows]),
            "layouts": arrays.literal([_text(taken.seen) for _, taken in rows]),
            "uncut": arrays.literal([arrays.numbers(taken.uncut) for _, taken in rows]),
        }

    def taken(self) -> dict[str, Any]:
        """Return the parameters of claim_take."""
        rows = sorted(self._taken.items())
        return {
            "rows": arrays.plain(row for row, _ in rows),
            **_amounts("claimed_", [taken.claimed for _, taken in rows]),
            **_amounts("held_", [taken.held for _, taken in rows]),
            "layouts": arrays.literal(_text(_changed(taken)) for _, taken in rows),
            **_columns(_MEMBER, self._members),
            **_columns(_CLAIM, self._claims),
        }


def _columns(names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> dict[str, str]:
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return {
        name: arrays.literal(column) if name in _QUOTED else arrays.plain(column)
        for name, column in zip(names, columns, strict=True)
    }


def _amounts(prefix: str, of_rows: Sequence[Mapping[int, tuple[int, int]]]) -> dict[str, str]:
    """Return of each row the positions and how much of them, as texts of arrays; NULL where it is nothing."""
    return {
        f"{prefix}places": arrays.literal([arrays.numbers(each) if each else None for each in of_rows]),
        f"{prefix}milli": arrays.literal([arrays.numbers(milli for milli, _ in each.values()) for each in of_rows]),
        f"{prefix}mib": arrays.literal([arrays.numbers(mib for _, mib in each.values()) for each in of_rows]),
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
