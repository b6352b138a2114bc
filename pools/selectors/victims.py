"""Live allocations that may have to give way to others, with what would be free then."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection
from msgspec.structs import replace

from pools.domain import waiting
from pools.domain.candidates import End, View
from pools.domain.preemption import Victim
from pools.domain.profiles import Piece
from pools.domain.quotas import Ask
from pools.domain.request import Wanted
from pools.selectors import candidates
from pools.selectors.candidates import Read, Scores

MOST: Final = 512

# Those first that are first to go. What is over or told to go already is on its way.
_VICTIMS: Final = """
SELECT a.id, a.name, p.path, p.lineage[1], a.pool_id, a.priority, a.is_preemptible, a.is_borrowed, a.start_at,
    coalesce((a.spec ->> 'min_run_seconds')::bigint, 0), greatest(
        coalesce((a.spec ->> 'notice_seconds')::bigint, 0), coalesce((a.spec ->> 'before_end_seconds')::bigint, 0)),
    a.milli, p.lineage, a.model_id, a.profile, a.units_milli
FROM allocation a JOIN project p ON p.id = a.project_id
WHERE a.state = 'active' AND a.reason = '' AND (a.is_preemptible OR a.is_borrowed) AND a.priority <= %(priority)s
    AND a.pool_id = ANY(%(pools)s) AND (a.model_id = ANY(%(models)s) OR a.model_id IS NULL) AND a.start_at <= %(now)s
ORDER BY a.priority, a.start_at DESC, a.id LIMIT %(most)s
"""
_CLAIMS: Final = """
SELECT l.allocation_id, l.capacity_id, l.positions, l.milli, l.memory_mib, l.profile, l.starts, c.kind
FROM claim l JOIN capacity c ON c.id = l.capacity_id
WHERE l.allocation_id = ANY(%s) AND l.released_at IS NULL ORDER BY l.id
"""


def known(read: Read, wanted: Wanted, scores: Scores, *, now: datetime) -> tuple[View, list[Victim]]:
    """Return the view with the rows whole of which those have something who may have to give way, and these.

    Three queries. Whether each may go, the rules say (domain.preemption).
    """
    reach = waiting.reach(wanted, read.view.pools, frozenset(scores.chips) | set(read.models), scores.chips)
    params: dict[str, Any] = {
        "priority": wanted.priority,
        "pools": list(reach.pools),
        "models": [id for model, id in read.models.items() if model in reach.models],
        "now": now,
        "most": MOST,
    }
    with connection.cursor() as cursor:
        cursor.execute(_VICTIMS, params)
        found = cursor.fetchall()
        cursor.execute(_CLAIMS, [[row[0] for row in found]])
        ends: dict[UUID, list[End]] = defaultdict(list)
        for allocation_id, *claim in cursor.fetchall():
            ends[allocation_id].append(_end(claim))
    victims = [_victim(row, ends[row[0]]) for row in found]
    whole = candidates.full(read, {end.capacity_id for each in ends.values() for end in each}, now=now)
    ids = {row.capacity_id for row in whole}
    others = [row for row in read.view.candidates if row.capacity_id not in ids]
    return replace(read.view, candidates=(*others, *whole)), victims


def _victim(row: Sequence[Any], ends: Sequence[End]) -> Victim:
    *row, lineage, model_id, profile, units_milli = row
    known = dict(zip(Victim.__struct_fields__, row, strict=False))
    ask = Ask(tuple(lineage), model_id, profile, known["pool_id"], known["milli"], units_milli)
    return Victim(**known, ask=ask, ends=tuple(ends))


def _end(claim: Sequence[Any]) -> End:
    capacity_id, positions, milli, mib, profile, starts, kind = claim
    if kind == "host":
        return End(capacity_id=capacity_id, in_seconds=0, cpu_milli=milli, memory_mib=mib)
    pieces = tuple(Piece(profile=profile, start=start) for start in starts or ())
    return End(capacity_id=capacity_id, in_seconds=0, positions=tuple(positions), milli=milli, mib=mib, pieces=pieces)
