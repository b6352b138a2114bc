"""Bookings: rows of what is promised for a window. Triggers keep what capacity rows say of them (sql/0009_bookings).

Always in the caller's transaction, after the locks of quotas.
"""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from pools.domain import profiles, windows
from pools.domain.chips import Entry
from pools.domain.decisions import Decision
from pools.domain.profiles import Layout, Piece
from pools.domain.windows import Span
from pools.selectors import booked
from pools.selectors.booked import Use
from pools.selectors.promises import Window
from pools.services import arrays, models, sql

_MAKE: Final = """
INSERT INTO booking (id, capacity_id, position, allocation_id, milli, memory_mib, start_at, end_at, pieces)
SELECT new_id(), * FROM unnest(%s::uuid[], %s::integer[], %s::uuid[], %s::integer[], %s::bigint[], %s::timestamptz[],
    %s::timestamptz[], %s::jsonb[])
"""
_DROP: Final = """
DELETE FROM booking WHERE allocation_id = ANY(%s)
RETURNING capacity_id, position, allocation_id, milli, memory_mib, start_at, end_at, pieces::text
"""
_json: Final = msgspec.json.Encoder()
_layout: Final = msgspec.json.Decoder(Layout)


class Booked(NamedTuple):
    """So much at one position (from 1) of a capacity row for an allocation; ``end_at`` None: open-ended.

    ``pieces`` are what it is on a card that is cut.
    """

    capacity_id: UUID
    position: int
    allocation_id: UUID
    milli: int
    memory_mib: int
    start_at: datetime
    end_at: datetime | None
    pieces: Layout = ()


def of(allocation_id: UUID, decision: Decision, when: Window) -> list[Booked]:
    """Return what a decision takes of each position, for a window."""
    sums: dict[tuple[UUID, int], Booked] = {}

    def add(row: UUID | None, position: int, milli: int, mib: int, pieces: Layout = ()) -> None:
        if row is not None:
            place = row, position
            before = sums.get(place, Booked(*place, allocation_id, 0, 0, *when))
            sums[place] = before._replace(
                milli=before.milli + milli, memory_mib=before.memory_mib + mib, pieces=(*before.pieces, *pieces)
            )

    for placed in decision.members:
        starts = placed.starts or (None,) * len(placed.positions)
        for at, start in zip(placed.positions, starts, strict=True):
            piece = None if start is None else Piece(profile=decision.profile or "", start=start)
            add(placed.capacity_id, at, placed.milli, placed.mib, (piece,) if piece else ())
        add(placed.host_id, 1, placed.cpu_milli, placed.memory_mib)
    return [sums[place] for place in sorted(sums)]


def guard(cursor: Any, wanted: Collection[Booked], *, now: datetime) -> set[UUID]:
    """Lock the capacity rows in id order, waiting for them, and return those that cannot promise what one wants.

    At no instant of its window may a position have less than what is claimed until then, booked and wanted; pieces have
    their places beside all others of the window, and nothing else. What is out of reach now is not promised.
    """
    rows = {each.capacity_id for each in wanted}
    sql.run(cursor, "claim_wait", {"rows": arrays.literal(rows)})
    room, uses = booked.room(rows), booked.uses(rows, now=now)
    at: dict[tuple[UUID, int], list[Booked]] = defaultdict(list)
    for each in wanted:
        at[each.capacity_id, each.position].append(each)
    is_cut = any(each.pieces for each in wanted)
    chips = models.current().by_slug if is_cut else {}
    entries = {row: chips.get(model) for row, model in booked.models(rows).items()} if is_cut else {}
    lost = set()
    for place, asked in at.items():
        spans = [use.span for use in uses[place]]
        spans += [Span(each.start_at, each.end_at, each.milli, each.memory_mib) for each in asked]
        have = room.get(place, (-1, -1))
        for each in asked:
            most = windows.peak(spans, each.start_at, each.end_at)
            if most[0] > have[0] or most[1] > have[1] or not _lies(each, uses[place], entries.get(place[0])):
                lost.add(place[0])
    return lost


def _lies(wanted: Booked, uses: Collection[Use], entry: Entry | None) -> bool:
    """True when what is wanted of a card has its place beside what others have of it in the window."""
    there = [use for use in uses if use.span.meets(wanted.start_at, wanted.end_at)]
    if not wanted.pieces:
        return not any(use.pieces for use in there)
    begins = {max(use.span.start_at or wanted.start_at, wanted.start_at) for use in there} | {wanted.start_at}
    return all(use.pieces for use in there) and all(
        profiles.lie_together(
            entry, wanted.pieces, [piece for use in there if use.span.is_on(at) for piece in use.pieces]
        )
        for at in begins
    )


def make(cursor: Any, booked: Collection[Booked]) -> None:
    """Promise it. Whoever calls has the capacity rows locked and has seen that there is room."""
    if booked:
        rows = [(*each[:-1], _json.encode(each.pieces).decode()) for each in booked]
        cursor.execute(_MAKE, [arrays.literal(column) for column in zip(*rows, strict=True)])


def drop(cursor: Any, allocation_ids: Collection[UUID]) -> list[Booked]:
    """Let go what was promised to allocations, and return it."""
    cursor.execute(_DROP, [list(allocation_ids)])
    return [Booked(*row)._replace(pieces=_layout.decode(pieces)) for *row, pieces in cursor.fetchall()]
