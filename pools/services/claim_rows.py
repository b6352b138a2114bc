"""Decisions as the rows of one write: what is taken of each capacity row, and what each member holds of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from typing import Any, Final
from uuid import UUID

import msgspec

from pools.domain import ids, markers
from pools.domain.decisions import Decision, Placed
from pools.domain.profiles import Layout, Piece
from pools.domain.request import WHOLE_MILLI
from pools.selectors import columns
from pools.selectors.candidates import Read
from pools.selectors.columns import Column
from pools.services import arrays
from pools.services.asked import Asked

_PLACES: Final = Decimal("0.000001")
_json = msgspec.json.Encoder()
# What the ledger can say of where a claim lies: the platform keeps to the device that we chose, or to no device.
_CERTAINTIES: Final = {"device": "assigned", "node": "unknown", "pool": "unknown"}
_HOST: Final = (1,)  # the only position of a host's row
_LEDGER_KINDS: Final = {"held": "hold", "active": "use", "claimed": "reserve"}  # by the state that is claimed
# Of a member or a claim, or as most rows are of a member with its claim: the parameters of claim_take.
_MADE: Final[Mapping[str, Callable[[Sequence[Any]], Any]]] = {
    "allocations": columns.keys,
    "projects": columns.keys,
    "kinds": columns.texts,
    "certainties": columns.texts,
    "operation_states": columns.texts,
    "numbers": columns.integers,
    "pools": columns.uuids,
    "nodes": columns.uuids,
    "operations": columns.keys,  # None: the member's row is another
    "claims": columns.keys,
    "claim_rows": columns.uuids,
    "milli": columns.integers,
    "mib": columns.bigints,
    "profiles": columns.texts,
    "prices": arrays.literal,
}
_NO_CLAIM: Final = (None, None, 0, 0, None, None, (), None)

_Amounts = dict[int, tuple[int, int]]
"""Milli and MiB by position."""


@dataclass(slots=True)
class _Cut:
    """The cards of a row of which parts are taken: what was seen on each, what is then, and those with nothing yet."""

    seen: dict[str, Layout] = field(default_factory=dict)
    after: dict[str, Layout] = field(default_factory=dict)
    uncut: list[int] = field(default_factory=list)


class Rows:
    """The rows of one attempt, column by column."""

    def __init__(self, read: Read, installation: str) -> None:
        self._read, self._installation = read, installation
        # By the numbers of capacity rows: until when at the latest something is taken (None: open-ended), and what.
        self._until: dict[int, datetime | None] = {}
        self._claimed: dict[int, _Amounts] = {}
        self._held: dict[int, _Amounts] = {}
        self._cut: dict[int, _Cut] = {}
        self._made: list[tuple[Any, ...]] = []
        self._keys = ids.new_keys()

    def add(self, asked: Asked, decision: Decision, state: str, until_at: datetime | None) -> None:
        """Add all members of an allocation that comes to be in this state and ends then at the latest."""
        price = decision.price_per_hour
        each = None if price is None else (price / len(decision.members)).quantize(_PLACES, ROUND_HALF_UP)
        certainty = _CERTAINTIES[self._read.pool(decision.pool_id).grain]
        of = (
            ids.text(asked.id),
            asked.id.int.to_bytes(16),
            asked.project_id.int.to_bytes(16),
            _LEDGER_KINDS[state],
            certainty,
            "confirmed" if state == "active" else "planned",
        )
        taken = self._held if state == "held" else self._claimed
        for placed in decision.members:
            member: tuple[Any, ...] = (placed.index, placed.pool_id, placed.node_id, next(self._keys))
            row, host = placed.capacity_id, placed.host_id
            if row is not None:
                self._take(taken, row.int, until_at, placed.positions, (placed.milli, placed.mib))
                if placed.milli < WHOLE_MILLI:  # a whole card that is free has nothing on it
                    self._cards(row, placed, decision.profile)
                claim = (row, placed.milli, placed.mib, decision.profile, each, placed.positions, placed.starts)
                self._made.append((*of, *member, next(self._keys), *claim))
                member = (*member[:-1], None)
            if host is not None:
                self._take(taken, host.int, until_at, _HOST, (placed.cpu_milli, placed.memory_mib))
                claim = (host, placed.cpu_milli, placed.memory_mib, None, None, _HOST, None)
                self._made.append((*of, *member, next(self._keys), *claim))
            elif row is None:
                self._made.append((*of, *member, *_NO_CLAIM))

    def _cards(self, row: UUID, placed: Placed, profile: str | None) -> None:
        cut = self._cut.setdefault(row.int, _Cut())
        for number, position in enumerate(placed.positions):
            key = str(position)
            if key not in cut.seen:
                cut.seen[key] = cut.after[key] = self._read.layouts.get((row, position), ())
                if placed.starts is not None and not cut.seen[key]:
                    cut.uncut.append(position)
            if placed.starts is not None and profile is not None:
                pieces = (*cut.after[key], Piece(profile=profile, start=placed.starts[number]))
                cut.after[key] = tuple(sorted(pieces, key=lambda piece: (piece.profile, piece.start)))

    def _take(
        self,
        taken: dict[int, _Amounts],
        row: int,
        until_at: datetime | None,
        positions: Sequence[int],
        amount: tuple[int, int],
    ) -> None:
        before = self._until.setdefault(row, until_at)
        if before is not until_at:
            self._until[row] = None if before is None or until_at is None else max(before, until_at)
        if row not in taken:
            taken[row] = dict.fromkeys(positions, amount)
        else:
            taken[row] = _added(taken[row], dict.fromkeys(positions, amount))

    def guarded(self) -> dict[str, Any]:
        """Return the parameters of claim_guard: of each row the positions that something is taken of, and how much."""
        rows, held, claimed = self._in_order, self._held, self._claimed
        cut = [self._cut.get(row) for row in rows]
        both = [_added(held.get(row, {}), claimed.get(row, {})) for row in rows] if held else ()
        return {
            "rows": self._numbered,
            "counts": columns.integers([self._read.positions[row] for row in rows]),
            **_named(("places", "milli", "mib"), _amounts(both) if held else self._claims),
            "until": columns.instants([self._until[row] for row in rows]),
            "layouts": columns.encoded([_text(each.seen) if each else None for each in cut]),
            **columns.slices("uncut", [each.uncut if each else () for each in cut], columns.integers),
        }

    def taken(self) -> dict[str, Any]:
        """Return the parameters of claim_take."""
        rows = self._in_order
        cut = [self._cut.get(row) for row in rows]
        names, *made, positions, starts = zip(*self._made, strict=True)
        made_of = dict(zip(_MADE, made, strict=True))
        targets = markers.of_members(self._installation, names, made_of["numbers"])
        return {
            "rows": self._numbered,
            **_named(("claimed", "claimed_milli", "claimed_mib"), self._claims),
            **_named(("held", "held_milli", "held_mib"), _amounts([self._held.get(row, {}) for row in rows])),
            "layouts": columns.encoded([_text(_changed(each)) if each else None for each in cut]),
            **{name: make(made_of[name]) for name, make in _MADE.items()},
            "targets": columns.encoded([target.encode() for target in targets]),
            **columns.slices("positions", positions, columns.integers),
            **columns.slices("starts", starts, columns.integers),
        }

    # Both statements are told these, and all is added before.

    @cached_property
    def _in_order(self) -> list[int]:
        return sorted(self._until)

    @cached_property
    def _numbered(self) -> Column:
        return columns.keys([row.to_bytes(16) for row in self._in_order])

    @cached_property
    def _claims(self) -> tuple[Column, ...]:
        return _amounts([self._claimed.get(row, {}) for row in self._in_order])


def _amounts(of_rows: Sequence[_Amounts]) -> tuple[Column, ...]:
    """Return of each row the positions and how much of them, to be ``_named``."""
    amounts = [amount for each in of_rows for amount in each.values()]
    return (
        *columns.slices("", of_rows, columns.integers).values(),
        columns.integers([milli for milli, _ in amounts]),
        columns.bigints([mib for _, mib in amounts]),
    )


def _named(names: tuple[str, str, str], amounts: tuple[Column, ...]) -> dict[str, Column]:
    places, milli, mib = names
    return dict(zip((places, f"{places}_first", f"{places}_last", milli, mib), amounts, strict=True))


def _added(one: _Amounts, other: _Amounts) -> _Amounts:
    if not one or not other:
        return one or other
    added = one | other
    for position in one.keys() & other.keys():
        added[position] = one[position][0] + other[position][0], one[position][1] + other[position][1]
    return added


def _changed(cut: _Cut) -> dict[str, Layout]:
    return {key: pieces for key, pieces in cut.after.items() if pieces != cut.seen[key]}


def _text(layouts: Mapping[str, Layout]) -> bytes | None:
    return _json.encode(layouts) if layouts else None
