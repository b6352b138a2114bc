"""Who has what of capacity rows, from when until when: claims and bookings, position by position."""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import msgspec
from django.db import connection

from pools.domain.profiles import Layout
from pools.domain.windows import Span

# A hold may be confirmed in its last second. What should have ended already ends nobody knows when.
_USES: Final = """
WITH ends AS (
    SELECT l.*, CASE a.state WHEN 'held' THEN a.held_until_at + a.lease_seconds * interval '1 second' ELSE a.end_at END
        AS end_at
    FROM claim l JOIN allocation a ON a.id = l.allocation_id
    WHERE l.capacity_id = ANY(%(rows)s) AND l.released_at IS NULL)
SELECT e.capacity_id, at.position, e.allocation_id, false, NULL::timestamptz,
    CASE WHEN e.end_at > %(now)s THEN e.end_at END, e.milli, e.memory_mib,
    CASE WHEN e.profile IS NOT NULL AND e.starts[at.number] IS NOT NULL
        THEN json_build_array(json_build_object('profile', e.profile, 'start', e.starts[at.number])) END::text
FROM ends e CROSS JOIN LATERAL unnest(e.positions) WITH ORDINALITY at (position, number)
UNION ALL
SELECT capacity_id, position, allocation_id, true, start_at, end_at, milli, memory_mib,
    CASE WHEN pieces <> '[]' THEN pieces END::text
FROM booking WHERE capacity_id = ANY(%(rows)s)
"""


# What each position could give if nobody had anything of it; nothing where nobody can have anything.
_ROOM: Final = """
SELECT c.id, at.position, at.t - at.s - at.f, at.tm - at.sm - at.fm
FROM capacity c JOIN pool p ON p.id = c.pool_id CROSS JOIN LATERAL unnest(c.pos_total_milli, c.pos_shadow_milli,
    c.pos_faulty_milli, c.pos_total_mib, c.pos_shadow_mib, c.pos_faulty_mib) WITH ORDINALITY
    at (t, s, f, tm, sm, fm, position)
WHERE c.id = ANY(%s) AND p.state = 'active' AND NOT c.is_advisory
"""


# By what the catalogue knows a card of a row.
_MODELS: Final = """
SELECT c.id, m.slug FROM capacity c JOIN chip_model m ON m.id = c.model_id WHERE c.id = ANY(%s)
"""
_layout: Final = msgspec.json.Decoder(Layout)


class Use(NamedTuple):
    """What an allocation has of one position, or will have (``is_booked``). ``pieces`` are those of a profile."""

    allocation_id: UUID
    is_booked: bool
    span: Span
    pieces: Layout


def uses(capacity_ids: Collection[UUID], *, now: datetime) -> dict[tuple[UUID, int], list[Use]]:
    """Return by (row, position) what is claimed and booked there. One query.

    It is all there will be while the caller has the rows locked.
    """
    found: dict[tuple[UUID, int], list[Use]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_USES, {"rows": list(capacity_ids), "now": now})
        for row, position, allocation_id, is_booked, start_at, end_at, milli, mib, pieces in cursor.fetchall():
            span = Span(start_at, end_at, milli, mib)
            layout = _layout.decode(pieces) if pieces else ()
            found[row, position].append(Use(allocation_id, is_booked, span, layout))
    return found


def room(capacity_ids: Collection[UUID]) -> dict[tuple[UUID, int], tuple[int, int]]:
    """Return by (row, position) the milli and MiB that are not out of reach, whoever has them. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_ROOM, [list(capacity_ids)])
        return {(row, position): (milli, mib) for row, position, milli, mib in cursor.fetchall()}


def models(capacity_ids: Collection[UUID]) -> dict[UUID, str]:
    """Return the models of rows. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_MODELS, [list(capacity_ids)])
        return dict(cursor.fetchall())
