"""For how many nodes each row of a read stands, where somebody wants to know how many there are."""

from collections import Counter
from uuid import UUID

from msgspec.structs import replace

from pools.domain.candidates import View
from pools.selectors import prepared

_COUNTS = """
SELECT p.pool_id, p.model_id, c.state_key, count(*)
FROM unnest(%s::uuid[], %s::uuid[]) p (pool_id, model_id)
    JOIN capacity c ON c.pool_id = p.pool_id AND c.model_id = p.model_id
WHERE c.free_milli > 0 AND c.node_id IS NOT NULL GROUP BY 1, 2, 3
"""


def counted(view: View, models: dict[str, UUID]) -> View:
    """Return the view with ``alike`` of each row: nodes with the same free devices, shared by the rows read of them.

    One query, whose cost grows with the nodes of these pools and models; a decision needs none of it.
    """
    read = Counter((row.pool_id, row.model or "", row.state_key) for row in view.candidates if row.node_id)
    pairs = sorted({(pool_id, models[model]) for pool_id, model, _ in read if model}, key=str)
    slugs = {id: slug for slug, id in models.items()}
    with prepared.cursor() as cursor:
        cursor.execute(_COUNTS, [[pool for pool, _ in pairs], [model for _, model in pairs]])
        there = {(pool, slugs[model], key): count for pool, model, key, count in cursor.fetchall()}
    candidates = []
    for row in view.candidates:
        state = (row.pool_id, row.model or "", row.state_key)
        if row.node_id is not None and row.model:
            share = max(there.get(state, 0) // read[state], 1)
            there[state] = there.get(state, share) - share
            read[state] -= 1
            if not read[state]:
                share += max(there[state], 0)  # what does not divide
                del read[state]
            row = replace(row, alike=share)
        candidates.append(row)
    return replace(view, candidates=tuple(candidates))
