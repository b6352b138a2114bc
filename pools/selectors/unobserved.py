"""Claims of pools that promise no node, as far as no observation can show them on a node yet."""

from collections.abc import Collection
from typing import Final
from uuid import UUID

from pools.domain.candidates import Unobserved
from pools.selectors import prepared

MEMBERS_MOST: Final = 256
# Of what is claimed of a pool's counter beyond what its nodes show as claims' own, the newest claims: what came last is
# used last.
_UNOBSERVED: Final = """
SELECT pool_id, slug, profile, devices, milli / devices, memory_mib / devices, cpu_milli, host_mib, count(*) FROM (
    SELECT c.pool_id, m.slug, l.profile, l.devices, l.milli, l.memory_mib, l.cpu_milli, l.host_mib,
        c.claimed_milli + c.held_milli - shown.milli AS unseen_milli,
        sum(l.milli) OVER (PARTITION BY c.id ORDER BY l.id DESC) - l.milli AS newer_milli
    FROM capacity c JOIN chip_model m ON m.id = c.model_id
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(r.claimed_milli), 0) AS milli FROM capacity_rollup r
            WHERE r.pool_id = c.pool_id AND r.model_id = c.model_id AND r.profile IS NOT DISTINCT FROM c.profile
                AND r.is_advisory) shown
        CROSS JOIN LATERAL (
            SELECT l.id, l.profile, l.milli, l.memory_mib, greatest(a.devices_per_member, 1) AS devices,
                (a.spec -> 'per_member' ->> 'cpu_milli')::bigint AS cpu_milli,
                (a.spec -> 'per_member' ->> 'memory_mib')::bigint AS host_mib
            FROM claim l JOIN allocation a ON a.id = l.allocation_id
            WHERE l.capacity_id = c.id AND l.released_at IS NULL ORDER BY l.id DESC LIMIT %s) l
    WHERE c.pool_id = ANY(%s) AND c.node_id IS NULL AND c.kind = 'counter'
        AND c.claimed_milli + c.held_milli > shown.milli) made
WHERE newer_milli < unseen_milli
GROUP BY pool_id, slug, profile, devices, milli, memory_mib, cpu_milli, host_mib
ORDER BY milli DESC, pool_id, slug, profile, devices, memory_mib, cpu_milli, host_mib
"""


def of(pool_ids: Collection[UUID]) -> tuple[Unobserved, ...]:
    """Return the claims that no node of these pools shows, the largest first; the newest of each counter. One query."""
    with prepared.cursor() as cursor:
        cursor.execute(_UNOBSERVED, [MEMBERS_MOST, list(pool_ids)])
        return tuple(
            Unobserved(
                pool_id=pool_id,
                model=model,
                profile=profile,
                devices=devices,
                milli=milli,
                mib=mib,
                cpu_milli=cpu_milli or 0,
                memory_mib=host_mib or 0,
                count=count,
            )
            for pool_id, model, profile, devices, milli, mib, cpu_milli, host_mib, count in cursor.fetchall()
        )
