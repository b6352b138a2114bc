"""For how many nodes each row of a read stands, where somebody wants to know how many there are."""

from collections import defaultdict
from uuid import UUID

from msgspec.structs import replace

from pools.domain.candidates import View
from pools.selectors import columns, prepared

# Told by the index capacity_free alone, which does not know nodes: what a pool has beside them is in the read.
_COUNTS = """
SELECT p.number, s.state_key, s.count
FROM unnest(%s::uuid[], %s::uuid[]) WITH ORDINALITY p (pool_id, model_id, number) CROSS JOIN LATERAL (
    SELECT c.state_key, count(*) FROM capacity c
    WHERE c.pool_id = p.pool_id AND c.model_id = p.model_id AND c.free_milli > 0 GROUP BY c.state_key) s
"""


def counted(view: View, models: dict[str, UUID]) -> View:
    """Return the view with ``alike`` of each row: nodes with the same free devices, shared by the rows read of them.

    One query, whose cost grows with the nodes of these pools and models; a decision needs none of it.
    """
    of_pairs: defaultdict[tuple[UUID, str], defaultdict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for number, row in enumerate(view.candidates):
        if row.model:
            of_pairs[row.pool_id, row.model][row.state_key].append(number)
    pairs = list(of_pairs)
    with prepared.cursor() as cursor:
        cursor.execute(
            _COUNTS,
            [columns.uuids(pool_id for pool_id, _ in pairs), columns.uuids(models[model] for _, model in pairs)],
        )
        counts = cursor.fetchall()
    rows = list(view.candidates)
    for place, state_key, count in counts:
        read = of_pairs[pairs[place - 1]].get(state_key, ())
        nodes = [number for number in read if rows[number].node_id is not None]
        left = count - sum(rows[number].node_id is None and bool(rows[number].cards) for number in read)
        for done, number in enumerate(nodes):
            share = max(left // (len(nodes) - done), 1)  # what does not divide goes to the last
            rows[number] = replace(rows[number], alike=share)
            left -= share
    return replace(view, candidates=tuple(rows))
