"""The next candidate: what one place had no room for is freed there and claimed elsewhere, a few times at most."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from pools.domain.actors import SYSTEM
from pools.domain.request import Wanted
from pools.selectors import prepared
from pools.services import allocations, binding, claims, writing
from pools.services.asked import Asked

AT_ONCE: Final = 200

# Nothing of them is on a platform any more, and what they hold is to be free.
_TAKEN_OFF: Final = """
SELECT a.id FROM allocation a WHERE a.state = 'claimed' AND a.reason = %s AND a.pool_id IS NOT NULL
    AND NOT EXISTS (
        SELECT FROM member m WHERE m.allocation_id = a.id AND m.order_state IN ('wanted', 'carried', 'leaving'))
ORDER BY a.id LIMIT %s FOR NO KEY UPDATE OF a SKIP LOCKED
"""
_FREED: Final = """
UPDATE allocation SET pool_id = NULL, model_id = NULL, milli = 0, units_milli = 0, quota_ids = '{}',
    is_borrowed = false, changed_at = %(now)s, generation = generation + 1 WHERE id = ANY(%(ids)s)
"""
_HOMELESS: Final = """
SELECT a.id, a.spec::text, a.project_id, p.lineage,
    ARRAY(SELECT DISTINCT o.trouble ->> 'node_id' FROM operation o
        WHERE o.allocation_id = a.id AND o.trouble ->> 'class' = 'no_capacity' AND o.trouble ->> 'node_id' IS NOT NULL
            AND (a.retried_at IS NULL OR o.created_at >= a.retried_at)),
    ARRAY(SELECT DISTINCT o.pool_id::text FROM operation o
        WHERE o.allocation_id = a.id AND o.trouble ->> 'class' = 'no_capacity' AND o.trouble ->> 'node_id' IS NULL
            AND (a.retried_at IS NULL OR o.created_at >= a.retried_at))
FROM allocation a JOIN project p ON p.id = a.project_id
WHERE a.state = 'claimed' AND a.pool_id IS NULL ORDER BY a.id LIMIT %s
"""


@writing.transaction
def free(*, now: datetime) -> int:
    """Free what the next candidate shall replace once the platforms confirmed that nothing is left; return how many."""
    with prepared.cursor() as cursor:
        cursor.execute(_TAKEN_OFF, [binding.NEXT_CANDIDATE, AT_ONCE])
        found = [row[0] for row in cursor.fetchall()]
        if found:
            allocations.free(cursor, found, now)
            cursor.execute("DELETE FROM member WHERE allocation_id = ANY(%s)", [found])
            cursor.execute(_FREED, {"ids": found, "now": now})
    return len(found)


def claim_elsewhere(*, now: datetime) -> int:
    """Claim for those that have no place any more, not where there was no room; return how many got another.

    Whoever gets none is shown to people, and holds nothing.
    """
    with prepared.cursor() as cursor:
        cursor.execute(_HOMELESS, [AT_ONCE])
        asked = [_asked(*row) for row in cursor.fetchall()]
    if not asked:
        return 0
    answers = claims.submit(asked, now=now)
    placed = {answer.allocation_id for answer in answers if isinstance(answer, claims.Made)}
    binding.without_place(allocation_ids=[each.id for each in asked if each.id not in placed], now=now)
    return len(placed)


def _asked(
    id: UUID, spec: str, project_id: UUID, lineage: Sequence[UUID], nodes: Sequence[str], pools: Sequence[str]
) -> Asked:
    wanted = msgspec.json.decode(spec, type=Wanted)
    avoid = wanted.topology.avoid
    avoid = replace(avoid, nodes=(*avoid.nodes, *nodes), pools=(*avoid.pools, *pools))
    topology = replace(wanted.topology, avoid=avoid)
    return Asked(
        id=id,
        wanted=replace(wanted, topology=topology, mode="claim", hold_seconds=None),
        project_id=project_id,
        lineage=tuple(lineage),
        actor=SYSTEM,
        is_waiting=True,
    )
