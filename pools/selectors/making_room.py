"""Who still has to leave before an allocation has the place that is booked for it."""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from django.db import connection

MOST: Final = 64
# Nothing notes who came for whom: whoever was told to leave and has what is booked for the other is it.
_LEAVING: Final = """
SELECT DISTINCT a.id, a.name, p.path, a.state, a.end_at
FROM booking b JOIN claim l ON l.capacity_id = b.capacity_id AND b.position = ANY(l.positions) AND l.released_at IS NULL
JOIN allocation a ON a.id = l.allocation_id AND a.reason = 'preempted' JOIN project p ON p.id = a.project_id
WHERE b.allocation_id = %s ORDER BY a.end_at, a.id LIMIT %s
"""


class Leaving(msgspec.Struct, frozen=True, kw_only=True):
    """An allocation that was told to leave and is still there; ``end_at`` is when it has to end."""

    id: UUID
    name: str
    project: str
    state: str
    end_at: datetime | None


def leaving(allocation_id: UUID) -> list[Leaving]:
    """Return those who still have to leave, the first to go first. One query; for who may know of all projects."""
    with connection.cursor() as cursor:
        cursor.execute(_LEAVING, [allocation_id, MOST])
        return [Leaving(**dict(zip(Leaving.__struct_fields__, row, strict=True))) for row in cursor.fetchall()]
