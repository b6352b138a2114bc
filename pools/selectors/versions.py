"""Whether what somebody has seen is still so, told without making the answer again.

A version is made of the ``xmin`` of every row that an answer is made of: PostgreSQL gives a row another one whenever
it is written, whoever writes it.
"""

from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Final
from uuid import UUID

from django.db import connection
from django.db.models import CharField, Func

from pools.domain.access import Access
from pools.domain.errors import PoolMissing
from pools.domain.freshness import STALE_AFTER_AT_LEAST_SECONDS, STALE_AFTER_INTERVALS
from pools.models import SyncRun
from pools.selectors import access as rights
from pools.selectors import pages, sync_runs

_OF_POOLS: Final = f"""
SELECT sum(generation)::bigint, md5(string_agg(version, ' ' ORDER BY version)) FROM (
    SELECT p.generation, concat_ws('.', p.xmin, s.xmin, r.xmin, s.observed_at > %(now)s - make_interval(
        secs => greatest({STALE_AFTER_INTERVALS} * p.sync_interval_seconds, {STALE_AFTER_AT_LEAST_SECONDS}))) AS version
    FROM pool p JOIN pool_sync s ON s.pool_id = p.id LEFT JOIN sync_run r ON r.id = s.last_run_id
    WHERE p.id = %(pool)s OR %(pool)s IS NULL
    UNION ALL
    SELECT 0, concat_ws('.', c.xmin, m.xmin) FROM capacity_rollup c LEFT JOIN chip_model m ON m.id = c.model_id
    WHERE c.pool_id = %(pool)s OR %(pool)s IS NULL
    UNION ALL
    SELECT 0, xmin::text FROM pool_grant WHERE pool_id = %(pool)s OR %(pool)s IS NULL
    UNION ALL
    SELECT 0, xmin::text FROM credential WHERE pool_id = %(pool)s OR %(pool)s IS NULL
) versions
"""
_XMIN: Final = Func(template='"sync_run"."xmin"::text', output_field=CharField())


def of_pools(now: datetime) -> str:
    """Return the version of everything that lists of pools are made of. One query."""
    return _of_pools(None, now)[1]


def of_pool(pool_id: UUID, now: datetime) -> str:
    """Return <generation>.<version> of one pool, also of a removed one. One query. Raises PoolMissing."""
    generation, version = _of_pools(pool_id, now)
    if not generation:
        raise PoolMissing
    return f"{generation}.{version}"


def of_run(run_id: UUID, access: Access) -> str:
    """Return the version of one run; the same whenever there is none. One query."""
    return _digest(
        list(
            SyncRun.objects.filter(rights.pools(access, "sync_run", column="pool"), pk=run_id).values_list(
                _XMIN, "pool__name"
            )
        )
    )


def of_runs(*, params: Mapping[str, str], cursor: str | None, limit: int, access: Access) -> str:
    """Return the version of one page of runs. One query, one more for names of pools in the filter. Raises Invalid."""
    query = sync_runs.matching(params, access).values("queued_at", "id", "pool__name", version=_XMIN)
    page = pages.cut(query, pages.NEWEST_RUN_FIRST, cursor, limit)
    return _digest([*[list(row.values()) for row in page.rows], page.next_cursor])


def _of_pools(pool_id: UUID | None, now: datetime) -> tuple[int, str]:
    with connection.cursor() as cursor:
        cursor.execute(_OF_POOLS, {"pool": pool_id, "now": now})
        generation, version = cursor.fetchone()
    return generation or 0, version or "none"


def _digest(seen: list[object]) -> str:
    return blake2b(repr(seen).encode(), digest_size=16).hexdigest()
