"""Bookings: rows of what is promised for a window. Triggers keep what capacity rows say of them (sql/0009_bookings).

Always in the caller's transaction, after the locks of quotas.
"""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from pools.domain import windows
from pools.domain.decisions import Decision
from pools.domain.windows import Span
from pools.selectors import booked
from pools.selectors.promises import Window
from pools.services import arrays, sql

_MAKE: Final = """
INSERT INTO booking (id, capacity_id, position, allocation_id, milli, memory_mib, start_at, end_at)
SELECT new_id(), * FROM unnest(%s::uuid[], %s::integer[], %s::uuid[], %s::integer[], %s::bigint[], %s::timestamptz[],
    %s::timestamptz[])
"""
_DROP: Final = """
DELETE FROM booking WHERE allocation_id = ANY(%s)
RETURNING capacity_id, position, allocation_id, milli, memory_mib, start_at, end_at
"""


class Booked(NamedTuple):
    """So much at one position (from 1) of a capacity row for an allocation; ``end_at`` None: open-ended."""

    capacity_id: UUID
    position: int
    allocation_id: UUID
    milli: int
    memory_mib: int
    start_at: datetime
    end_at: datetime | None


def of(allocation_id: UUID, decision: Decision, when: Window) -> list[Booked]:
    """Return what a decision takes of each position, for a window."""
    sums: dict[tuple[UUID, int], list[int]] = {}
    for placed in decision.members:
        taken = [(placed.capacity_id, at, placed.milli, placed.mib) for at in placed.positions]
        taken.append((placed.host_id, 1, placed.cpu_milli, placed.memory_mib))
        for row, position, milli, mib in taken:
            if row is not None:
                of_place = sums.setdefault((row, position), [0, 0])
                of_place[0] += milli
                of_place[1] += mib
    return [Booked(row, at, allocation_id, milli, mib, *when) for (row, at), (milli, mib) in sorted(sums.items())]


def guard(cursor: Any, wanted: Collection[Booked], *, now: datetime) -> set[UUID]:
    """Lock the capacity rows in id order, waiting for them, and return those that cannot promise what is wanted.

    At no instant of its window may a position have less than what is claimed until then, booked and wanted. What is
    out of reach now is not promised.
    """
    rows = {each.capacity_id for each in wanted}
    sql.run(cursor, "claim_wait", {"rows": arrays.literal(rows)})
    room, uses = booked.room(rows), booked.uses(rows, now=now)
    at: dict[tuple[UUID, int], list[Booked]] = defaultdict(list)
    for each in wanted:
        at[each.capacity_id, each.position].append(each)
    lost = set()
    for place, asked in at.items():
        spans = [use.span for use in uses[place]]
        spans += [Span(each.start_at, each.end_at, each.milli, each.memory_mib) for each in asked]
        have = room.get(place, (-1, -1))
        for each in asked:
            most = windows.peak(spans, each.start_at, each.end_at)
            if most[0] > have[0] or most[1] > have[1]:
                lost.add(place[0])
    return lost


def make(cursor: Any, booked: Collection[Booked]) -> None:
    """Promise it. Whoever calls has the capacity rows locked and has seen that there is room."""
    if booked:
        cursor.execute(_MAKE, [arrays.literal(column) for column in zip(*booked, strict=True)])


def drop(cursor: Any, allocation_ids: Collection[UUID]) -> list[Booked]:
    """Let go what was promised to allocations, and return it."""
    cursor.execute(_DROP, [list(allocation_ids)])
    return [Booked(*row) for row in cursor.fetchall()]
