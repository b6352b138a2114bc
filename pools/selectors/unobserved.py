"""Claims of pools that promise no node, as far as no observation can show them on a node yet."""

from collections.abc import Collection
from typing import Final
from uuid import UUID

from pools.domain.candidates import Unobserved
from pools.selectors import prepared

MEMBERS_MOST: Final = 256
# What a platform has not got yet, and what came after the pool was last seen; the newest first. What older claims use
# stands on the nodes, and what they do not use nobody can place.
_UNOBSERVED: Final = """
SELECT pool_id, slug, profile, devices, milli, memory_mib, cpu_milli, host_mib, count(*) FROM (
    SELECT l.pool_id, m.slug, l.profile, a.devices_per_member AS devices, l.milli / greatest(a.devices_per_member, 1),
        l.memory_mib / greatest(a.devices_per_member, 1), (a.spec -> 'per_member' ->> 'cpu_milli')::bigint,
        (a.spec -> 'per_member' ->> 'memory_mib')::bigint
    FROM capacity c JOIN claim l ON l.capacity_id = c.id AND l.released_at IS NULL
        JOIN allocation a ON a.id = l.allocation_id JOIN pool_sync s ON s.pool_id = c.pool_id
        JOIN chip_model m ON m.id = c.model_id
    WHERE c.pool_id = ANY(%s) AND c.node_id IS NULL AND c.kind = 'counter'
        AND (a.state IN ('held', 'claimed', 'binding') OR l.created_at >= s.observed_at)
    ORDER BY l.id DESC LIMIT %s) made (pool_id, slug, profile, devices, milli, memory_mib, cpu_milli, host_mib)
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 ORDER BY milli * devices DESC, 1, 2, 3, 4, 5, 6, 7, 8
"""


def of(pool_ids: Collection[UUID]) -> tuple[Unobserved, ...]:
    """Return the claims that no node of these pools shows, the largest first; of many the newest. One query."""
    with prepared.cursor() as cursor:
        cursor.execute(_UNOBSERVED, [list(pool_ids), MEMBERS_MOST])
        return tuple(
            Unobserved(
                pool_id=pool_id,
                model=model,
                profile=profile,
                devices=max(devices, 1),
                milli=milli,
                mib=mib,
                cpu_milli=cpu_milli or 0,
                memory_mib=host_mib or 0,
                count=count,
            )
            for pool_id, model, profile, devices, milli, mib, cpu_milli, host_mib, count in cursor.fetchall()
        )
