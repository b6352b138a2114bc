"""Leases that end: what becomes free when, for whoever wants to know how long it takes until there is room."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection
from msgspec.structs import replace

from pools.domain import waiting
from pools.domain.candidates import End, PoolView, View
from pools.domain.profiles import Piece
from pools.domain.request import Wanted
from pools.selectors import candidates, columns, prepared
from pools.selectors.candidates import Read, Scores
from pools.selectors.placeable import Fleet

MOST: Final = 256
INSTANTS_MOST: Final = 1_024
_LOOKED_AT: Final = 2_000
_SEARCHED: Final = 20_000
# Of the leases that end soonest (index allocation_end_due), those that have something of these pools and models. Each
# one's project and claims are looked up by their ids, whatever statistics say.
_ENDS: Final = """
WITH soon AS (
    SELECT id, project_id, pool_id, model_id, end_at FROM allocation
    WHERE end_at > %(now)s AND ended_at IS NULL AND end_at IS NOT NULL ORDER BY end_at LIMIT %(looked_at)s)
SELECT l.capacity_id, s.end_at, l.positions, l.milli, l.memory_mib, l.profile, l.starts, c.kind
FROM (
    SELECT s.id, s.end_at FROM soon s
        CROSS JOIN LATERAL (SELECT lineage FROM project WHERE id = s.project_id OFFSET 0) p
    WHERE s.pool_id = ANY(%(pools)s::uuid[]) AND (s.model_id = ANY(%(models)s::uuid[]) OR s.model_id IS NULL)
        AND (%(tenant)s::uuid IS NULL OR p.lineage[1] = %(tenant)s::uuid) OFFSET 0) s
    CROSS JOIN LATERAL (SELECT * FROM claim WHERE allocation_id = s.id OFFSET 0) l
    CROSS JOIN LATERAL (SELECT kind FROM capacity WHERE id = l.capacity_id OFFSET 0) c
WHERE l.released_at IS NULL
ORDER BY s.end_at, l.id LIMIT %(most)s
"""
# Also the windows of bookings: what comes after them may be free.
_INSTANTS: Final = """
WITH soon AS MATERIALIZED (
    SELECT pool_id, model_id, end_at FROM allocation
    WHERE end_at > %(now)s AND ended_at IS NULL AND end_at IS NOT NULL ORDER BY end_at LIMIT %(looked_at)s)
SELECT end_at FROM soon WHERE pool_id = ANY(%(pools)s) AND (model_id = ANY(%(models)s) OR model_id IS NULL)
UNION
SELECT b.end_at FROM booking b JOIN capacity c ON c.id = b.capacity_id
WHERE b.end_at > %(now)s AND c.pool_id = ANY(%(pools)s) AND (c.model_id = ANY(%(models)s) OR c.model_id IS NULL)
ORDER BY 1 LIMIT %(most)s
"""


def known(
    read: Read,
    wanted: Wanted,
    scores: Scores,
    *,
    tenant_id: UUID | None,
    now: datetime,
    most: int = MOST,
    looked_at: int = _LOOKED_AT,
) -> View:
    """Return the view with the leases that end first of what the request could be given, and with their rows whole.

    Only those of one tenant, or of all (None). Two queries; the soonest ``looked_at`` leases of all are looked at.
    """
    reach = waiting.reach(wanted, read.view.pools, frozenset(scores.chips) | set(read.models), scores.chips)
    with prepared.cursor() as cursor:
        cursor.execute(
            _ENDS,
            {
                "now": now,
                "pools": columns.uuids(reach.pools),
                "models": columns.uuids(id for model, id in read.models.items() if model in reach.models),
                "tenant": tenant_id,
                "looked_at": looked_at,
                "most": most,
            },
        )
        found = tuple([_end(row, now) for row in cursor.fetchall()])
    if not found:
        return read.view
    alike = {row.capacity_id: row.alike for row in read.view.candidates}
    whole = {row.capacity_id: row for row in candidates.full(read, {end.capacity_id for end in found}, now=now)}
    rows = [replace(row, alike=alike.get(row.capacity_id, 1)) for row in whole.values()]
    others = [row for row in read.view.candidates if row.capacity_id not in whole]
    return replace(read.view, candidates=(*others, *rows), ends=found)


def instants(
    wanted: Wanted, pools: Sequence[PoolView], fleet: Fleet, scores: Scores, *, now: datetime
) -> list[datetime]:
    """Return when something ends of what the request could be given, the soonest first, at most INSTANTS_MOST."""
    reach = waiting.reach(wanted, pools, frozenset(scores.chips) | set(fleet.models), scores.chips)
    with connection.cursor() as cursor:
        cursor.execute(
            _INSTANTS,
            {
                "now": now,
                "pools": list(reach.pools),
                "models": [id for model, id in fleet.models.items() if model in reach.models],
                "looked_at": _SEARCHED,
                "most": INSTANTS_MOST,
            },
        )
        return [row[0] for row in cursor.fetchall()]


def _end(row: Sequence[Any], now: datetime) -> End:
    capacity_id, end_at, positions, milli, mib, profile, starts, kind = row
    in_seconds = -int((now - end_at).total_seconds() // 1)  # a part of a second is waited for as well
    if kind == "host":
        return End(capacity_id=capacity_id, in_seconds=in_seconds, cpu_milli=milli, memory_mib=mib)
    pieces = tuple(Piece(profile=profile, start=start) for start in starts or ())
    return End(
        capacity_id=capacity_id, in_seconds=in_seconds, positions=tuple(positions), milli=milli, mib=mib, pieces=pieces
    )
