"""Bookings: rows of what is promised for a window. Triggers keep what capacity rows say of them (sql/0009_bookings).

Always in the caller's transaction, after the locks of quotas.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from pools.services import arrays

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


def make(cursor: Any, booked: Collection[Booked]) -> None:
    """Promise it. Whoever calls has the capacity rows locked and has seen that there is room."""
    if booked:
        cursor.execute(_MAKE, [arrays.literal(column) for column in zip(*booked, strict=True)])


def drop(cursor: Any, allocation_ids: Collection[UUID]) -> list[Booked]:
    """Let go what was promised to allocations, and return it."""
    cursor.execute(_DROP, [list(allocation_ids)])
    return [Booked(*row) for row in cursor.fetchall()]
