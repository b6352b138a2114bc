"""The calendar: what is had, held, scheduled and booked in a window, each with its beginning and its end."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db import connection

from pools.domain import filters
from pools.domain.access import Access
from pools.domain.errors import FieldError, Invalid
from pools.models import Pool, Project
from pools.selectors import access as rights
from pools.selectors import pages, projects, references
from pools.selectors.pages import Page

FILTERS: Final = {
    "from": filters.instant,
    "to": filters.instant,
    "pool": filters.words,
    "model": filters.words,
    "project": filters.words,
}
DAYS: Final = timedelta(days=14)
DAYS_MOST: Final = timedelta(days=366)

_IN_ORDER: Final = pages.Order(("from_at", "key"), tuple[pages.Instant, UUID])
# The key names a row and nobody's allocation. Of others there are bookings only: that something is taken then. What
# should have ended is on until somebody knows that it has.
_ENTRIES: Final = """
WITH found AS (
    SELECT a.id, CASE a.state WHEN 'held' THEN 'hold' WHEN 'scheduled' THEN 'scheduled' ELSE 'lease' END AS kind,
        a.project_id, a.pool_id, a.model_id, a.milli,
        CASE a.state WHEN 'held' THEN a.created_at ELSE a.start_at END AS from_at,
        CASE a.state WHEN 'held' THEN a.held_until_at ELSE a.end_at END AS to_at
    FROM allocation a
    WHERE a.state IN ('held', 'claimed', 'binding', 'active', 'needs_attention', 'releasing', 'scheduled')
        AND a.pool_id IS NOT NULL
    UNION ALL
    SELECT a.id, 'booking', a.project_id, c.pool_id, c.model_id, sum(b.milli), min(b.start_at),
        CASE WHEN bool_or(b.end_at IS NULL) THEN NULL ELSE max(b.end_at) END
    FROM booking b JOIN capacity c ON c.id = b.capacity_id AND c.kind <> 'host'
        JOIN allocation a ON a.id = b.allocation_id AND a.state = 'queued'
    GROUP BY a.id, c.pool_id, c.model_id),
mine AS (
    SELECT f.*, %(projects)s::uuid[] IS NULL OR f.project_id = ANY(%(projects)s) AS is_seen,
        md5(f.id::text || f.pool_id::text || coalesce(f.model_id::text, ''))::uuid AS key
    FROM found f)
SELECT m.key, CASE WHEN m.is_seen THEN m.kind ELSE 'booked' END, m.from_at, m.to_at, pool.name, c.slug,
    m.to_at <= %(now)s, s.id, s.name, p.path, s.state, s.profile, s.members, CASE WHEN m.is_seen THEN m.milli END
FROM mine m JOIN pool ON pool.id = m.pool_id LEFT JOIN chip_model c ON c.id = m.model_id
    LEFT JOIN allocation s ON s.id = m.id AND m.is_seen LEFT JOIN project p ON p.id = s.project_id
WHERE m.from_at < %(to)s AND (m.to_at IS NULL OR m.to_at > %(from)s OR m.to_at <= %(now)s AND m.kind = 'lease')
    AND (m.is_seen OR m.kind IN ('scheduled', 'booking') AND m.pool_id = ANY(%(shared)s::uuid[]))
    AND (%(pools)s::uuid[] IS NULL OR m.pool_id = ANY(%(pools)s))
    AND (%(models)s::uuid[] IS NULL OR m.model_id = ANY(%(models)s))
    AND (%(only)s::uuid[] IS NULL OR m.is_seen AND m.project_id = ANY(%(only)s))
    AND (%(after_at)s::timestamptz IS NULL OR (m.from_at, m.key) > (%(after_at)s, %(after_key)s::uuid))
ORDER BY m.from_at, m.key LIMIT %(limit)s
"""


class CalendarRow(msgspec.Struct, frozen=True, kw_only=True):
    """A window [from, to) in which something is taken; ``to_at`` null is open.

    ``kind``: a lease that is on, a hold, scheduled to begin, a booking of somebody who waits; booked is what was
    promised to others, of whom nothing more is told. ``is_overdue``: it should have ended, and has not yet.
    """

    key: UUID
    kind: str
    from_at: datetime
    to_at: datetime | None
    pool: str
    model: str | None
    is_overdue: bool
    allocation: UUID | None
    name: str | None
    project: str | None
    state: str | None
    profile: str | None
    members: int | None
    milli: int | None


def page(
    *, params: Mapping[str, str], cursor: str | None, limit: int, access: Access, now: datetime
) -> Page[CalendarRow]:
    """Return what is in the calendar between two instants (the next two weeks), by beginning. Raises Invalid.

    One query, more for people of projects and for names in filters.
    """
    wanted = filters.read(params, FILTERS)
    after_at, after_key = pages.decode(cursor, _IN_ORDER) if cursor else (None, None)
    from_at, to_at = window(wanted, now)
    found = {
        "from": from_at,
        "to": to_at,
        "now": now,
        "projects": seen_projects(access),
        "shared": shared_pools(access),
        "pools": references.pool_ids(wanted["pool"], access) if "pool" in wanted else None,
        "models": references.model_ids(wanted["model"]) if "model" in wanted else None,
        "only": list(projects.project_ids(wanted["project"], access)) if "project" in wanted else None,
        "after_at": after_at,
        "after_key": after_key,
        "limit": limit + 1,
    }
    with connection.cursor() as read:
        read.execute(_ENTRIES, found)
        rows = [_row(row) for row in read.fetchall()]
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(rows[:limit], pages.encode([last.from_at, last.key]) if last else None)


def window(wanted: Mapping[str, Any], now: datetime) -> tuple[datetime, datetime]:
    """Return the window that filters name, else the two weeks from now or from its beginning. Raises Invalid."""
    from_at = wanted.get("from", now)
    try:
        to_at: datetime = wanted.get("to", from_at + DAYS)
    except OverflowError:
        to_at = from_at
    if not from_at < to_at <= from_at + min(DAYS_MOST, datetime.max.replace(tzinfo=from_at.tzinfo) - from_at):
        detail = f"An instant after the beginning is needed, at most {DAYS_MOST.days} days later."
        raise Invalid(fields=(FieldError("to", "bad_value", detail),))
    return from_at, to_at


def seen_projects(access: Access) -> list[UUID] | None:
    """Return the projects whose allocations one may read, None where it is all of them."""
    if access.everywhere("allocation", "read"):
        return None
    return list(Project.objects.filter(rights.projects(access, "allocation")).values_list("pk", flat=True))


def shared_pools(access: Access) -> list[UUID]:
    """Return the pools of which people of projects may know; none for those who see everything anyway."""
    if access.everywhere("allocation", "read"):
        return []
    return list(Pool.objects.filter(rights.pools(access), removed_at=None).values_list("pk", flat=True))


def _row(found: tuple[Any, ...]) -> CalendarRow:
    values = dict(zip(CalendarRow.__struct_fields__, found, strict=True))
    return CalendarRow(**values | {"is_overdue": bool(values["is_overdue"]) and values["kind"] == "lease"})
