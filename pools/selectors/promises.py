"""What can be promised for a window that comes, and what was promised to an allocation: reads as placement has them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from operator import gt
from typing import Any, Final
from uuid import UUID

from django.db import connection

from pools.domain import choices, windows
from pools.domain.candidates import Card, PoolView
from pools.domain.profiles import Layout, Piece
from pools.domain.request import Wanted
from pools.selectors import booked, candidates, positions
from pools.selectors.candidate_rows import COLUMNS, JOINS
from pools.selectors.candidates import Read, Scores
from pools.selectors.placeable import Fleet
from pools.selectors.positions import Positions

ROWS_MOST: Final = 4096
Window = tuple[datetime, datetime | None]
Place = tuple[UUID, int]  # of a capacity row and a position

# What is free now says nothing of later, so all rows of a model are looked at; those with the most first.
_LATER: Final = f"""
{COLUMNS}
FROM (
    SELECT c.* FROM capacity c
    WHERE NOT c.is_advisory AND c.total_milli > 0 AND (
        (c.pool_id, c.model_id) IN (SELECT * FROM unnest(%(pools)s::uuid[], %(models)s::uuid[]))
        OR (c.pool_id = ANY(%(host_pools)s::uuid[]) AND c.kind = 'host'))
    ORDER BY c.free_milli DESC, c.shuffle LIMIT %(most)s) c
{JOINS}
"""
_PROMISED: Final = f"""
{COLUMNS}
FROM capacity c
{JOINS.replace("ORDER", "WHERE c.id IN (SELECT capacity_id FROM booking WHERE allocation_id = %s) ORDER")}
"""
_IS_THERE: Final = """
SELECT count(*) > 0 AND bool_and(p.state = 'active' AND b.milli <= c.pos_total_milli[b.position]
    - c.pos_shadow_milli[b.position] - c.pos_faulty_milli[b.position])
FROM booking b JOIN capacity c ON c.id = b.capacity_id JOIN pool p ON p.id = c.pool_id WHERE b.allocation_id = %s
"""
_POOL_ID: Final = 1
_HOST_ID: Final = 12
_HOST_FREE: Final = slice(13, 15)
_HOST_BOOKED: Final = 15
_TOTAL: Final = 18  # and what else COLUMNS has of the positions
_LAYOUT: Final = 22


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a request could take from in time to come: read once, and looked at for any window."""

    _found: list[list[Any]]
    _room: Mapping[Place, tuple[int, int]]
    _uses: Mapping[Place, list[booked.Use]]
    _build: Callable[..., Read]

    @property
    def rows(self) -> int:
        """How many rows each look at it looks at."""
        return len(self._found)

    def within(self, window: Window, *, counts_booked: bool = True) -> Read:
        """Return what could be taken from the start to the end of a window.

        What is claimed counts until its end, what is booked in its window, what is out of reach now always. Without
        what is booked, later is never less.
        """
        uses = {
            place: [use for use in there if (counts_booked or not use.is_booked) and use.span.meets(*window)]
            for place, there in self._uses.items()
        }
        free = {}
        for place, (milli, mib) in self._room.items():
            peak = windows.peak([use.span for use in uses.get(place, ())], *window)
            free[place] = milli - peak[0], mib - peak[1]
            if len({bool(use.pieces) for use in uses.get(place, ())}) > 1:
                free[place] = 0, 0  # in pieces for some of the time, and not in pieces for some
        pieces = {place: _distinct(piece for use in there for piece in use.pieces) for place, there in uses.items()}
        return self._build(list(map(list, self._found)), free=free, pieces=pieces)


def later(
    fleet: Fleet, pools: Sequence[PoolView], wanted: Wanted, scores: Scores, window: Window, *, now: datetime
) -> Read:
    """Return what the request could take from in these pools from the start to the end of a window. Three queries."""
    return ahead(fleet, pools, wanted, scores, now=now).within(window)


def ahead(fleet: Fleet, pools: Sequence[PoolView], wanted: Wanted, scores: Scores, *, now: datetime) -> Ahead:
    """Return what the request could take from in these pools, now or ever. Three queries.

    Where only the pool is promised, its nodes are left out: they show how things lie now.
    """
    known = sorted(fleet.room_of)
    models = {model for choice in choices.of(wanted) for model in choices.models(choice, known, scores.chips)}
    is_cpu = not wanted.devices_per_member
    usable = {pool.id for pool in pools}
    pairs = [pair for model in models for pair in fleet.room_of[model] if pair.pool_id in usable and not is_cpu]
    params = {
        "pools": [pair.pool_id for pair in pairs],
        "models": [pair.model_id for pair in pairs],
        "host_pools": list(usable) if is_cpu else [],
        "most": ROWS_MOST,
    }
    found = _rows(_LATER, params)
    build = partial(_built, pools=pools, scores=scores, fleet=fleet, is_exhausted=len(found) < ROWS_MOST, now=now)
    return Ahead(found, *_there(found, now), build)


@dataclass(frozen=True, slots=True)
class Promise:
    """What was promised to an allocation and is there now; ``pieces`` are its places on cards that are cut."""

    read: Read
    pieces: Mapping[Place, Layout]


def promised(
    fleet: Fleet, pools: Sequence[PoolView], wanted: Wanted, scores: Scores, allocation_id: UUID, *, now: datetime
) -> Promise:
    """Return what was promised to an allocation in these pools and is there now, and nothing else. Three queries.

    Pieces are shown as a card of their own, on which nothing lies: where on the real one they lie was said before.
    """
    usable = {pool.id for pool in pools}  # a grant may have ended since, or the pool be gone
    found = [row for row in _rows(_PROMISED, [allocation_id]) if row[_POOL_ID] in usable]
    room, uses = _there(found, now)
    free: dict[Place, tuple[int, int]] = {}
    own_pieces: dict[Place, booked.Use] = {}
    for place, there in uses.items():
        own = [use for use in there if use.is_booked and use.allocation_id == allocation_id]
        claimed = [use.span for use in there if not use.is_booked]
        if own and place in room:
            milli, mib = (have - sum(taken) for have, taken in zip(room[place], _columns(claimed), strict=True))
            free[place] = min(milli, own[0].span.milli), min(mib, own[0].span.mib)
            if own[0].pieces:
                own_pieces[place] = own[0]
    # A host beside its own cards is no place of its own.
    hosts = {row[_HOST_ID] for row in found if row[4] != "host"}
    found = [row for row in found if row[0] not in hosts]
    lying = {(row[0], position): there for row in found for position, there in positions.pieces(row[_LAYOUT]).items()}
    for row in found:
        for position in range(1, len(row[_TOTAL]) + 1):
            if (use := own_pieces.get((row[0], position))) is not None:
                row[_TOTAL][position - 1], row[_TOTAL + 1][position - 1] = use.span.milli, use.span.mib
    pieces = {place: there for place, there in lying.items() if place not in own_pieces}
    read = _built(found, pools=pools, scores=scores, fleet=fleet, free=free, pieces=pieces, is_exhausted=True, now=now)
    read.layouts = lying
    return Promise(read, {place: use.pieces for place, use in own_pieces.items()})


def is_there(allocation_id: UUID) -> bool:
    """Return whether all that was promised to an allocation is in reach, whoever has it now. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_IS_THERE, [allocation_id])
        return bool(cursor.fetchone()[0])


def _distinct(pieces: Iterable[Piece]) -> Layout:
    return tuple(dict.fromkeys(pieces))


def _columns(spans: Sequence[windows.Span]) -> tuple[list[int], list[int]]:
    return [span.milli for span in spans], [span.mib for span in spans]


def _rows(statement: str, params: Any) -> list[list[Any]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return [list(row) for row in cursor.fetchall()]


def _there(
    found: Sequence[Sequence[Any]], now: datetime
) -> tuple[dict[Place, tuple[int, int]], dict[Place, list[booked.Use]]]:
    rows = {row[0] for row in found} | {row[_HOST_ID] for row in found if row[_HOST_ID]}
    return booked.room(rows), booked.uses(rows, now=now)


def _built(
    found: list[list[Any]],
    *,
    pools: Sequence[PoolView],
    scores: Scores,
    fleet: Fleet,
    free: Mapping[Place, tuple[int, int]],
    pieces: Mapping[Place, Layout],
    is_exhausted: bool,
    now: datetime,
) -> Read:
    for row in found:
        row[_HOST_BOOKED] = None  # what is free is free in all of the window
        if row[_HOST_ID]:
            row[_HOST_FREE] = free.get((row[_HOST_ID], 1), (0, 0))

    def there(row: Sequence[Any]) -> Positions:
        all_milli, all_mib, faulty_milli, groups, _ = row[_TOTAL:]
        cards = tuple(
            Card(
                position,
                free[row[0], position][0],
                max(free[row[0], position][1], 0),
                total_milli,
                total_mib,
                groups[position - 1] if position <= len(groups) else "",
                pieces.get((row[0], position), ()),
            )
            for position, (total_milli, total_mib) in enumerate(zip(all_milli, all_mib, strict=True), start=1)
            if free.get((row[0], position), (0, 0))[0] > 0
        )
        return Positions(cards, sum(map(gt, all_milli, faulty_milli)), len(all_milli))

    return candidates.built(found, pools, scores, fleet.models, there, is_exhausted=is_exhausted, now=now)
