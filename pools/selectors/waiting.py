"""The queue: who waits, in the order in which they are served."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db import connection

from pools.domain.request import Wanted
from pools.selectors import prepared

MOST: Final = 1_000
# By priority, those over their quota last, then by age (index allocation_queue).
_WAITS: Final = """
SELECT a.id, a.spec::text, a.priority, a.queued_at, a.queue_reason, a.is_borrowed, a.project_id, p.lineage,
    (SELECT min(b.start_at) FROM booking b WHERE b.allocation_id = a.id)
FROM allocation a JOIN project p ON p.id = a.project_id
WHERE a.state = 'queued' AND p.state = 'active'
"""
_QUEUE: Final = f"""{_WAITS} AND a.priority >= %s
ORDER BY a.priority DESC, a.is_borrowed, a.queued_at, a.id LIMIT %s
"""


class Queued(msgspec.Struct, frozen=True, kw_only=True):
    """An allocation that waits. ``reason`` is why it could not be had the last time.

    ``booked_at`` is from when on something is promised to it, None where nothing is.
    """

    id: UUID
    wanted: Wanted
    priority: int
    queued_at: datetime
    reason: str
    is_borrowed: bool
    project_id: UUID
    lineage: tuple[UUID, ...]
    booked_at: datetime | None


def queue(*, priority: int = 0, limit: int = MOST) -> list[Queued]:
    """Return those who wait with that priority or a higher one, the first ones. One query."""
    with prepared.cursor() as cursor:
        cursor.execute(_QUEUE, [priority, limit])
        return [_queued(row) for row in cursor.fetchall()]


def one(allocation_id: UUID) -> Queued | None:
    """Return an allocation that waits; None when it does not. One query."""
    with connection.cursor() as cursor:
        cursor.execute(f"{_WAITS} AND a.id = %s", [allocation_id])
        row = cursor.fetchone()
    return _queued(row) if row else None


def is_anybody_waiting() -> bool:
    """Return whether somebody waits. One query."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM allocation WHERE state = 'queued')")
        return bool(cursor.fetchone()[0])


def _queued(row: Sequence[Any]) -> Queued:
    allocation_id, spec, priority, queued_at, reason, is_borrowed, project_id, lineage, booked_at = row
    return Queued(
        id=allocation_id,
        wanted=msgspec.json.decode(spec, type=Wanted),
        priority=priority,
        queued_at=queued_at,
        reason=reason,
        is_borrowed=is_borrowed,
        project_id=project_id,
        lineage=tuple(lineage),
        booked_at=booked_at,
    )
