"""The statements that read candidates: which rows, and what of each. ``candidates`` makes values of their columns."""

from typing import Final

from pools.selectors import positions
from pools.selectors.widths import STATES_LEAST

_ROW: Final = """
SELECT c.id, c.pool_id, c.node_id, n.name, c.kind, m.slug, c.profile, c.resource, c.unit_milli, c.is_advisory,
    c.state_key, n.topology, h.id, h.free_milli, h.free_mib, h.booked_from_at, h.booked_peak_milli, h.booked_peak_mib"""
COLUMNS: Final = f"{_ROW}, c.pos_total_milli, c.pos_total_mib, c.pos_faulty_milli, c.pos_link_group, c.layout"
_COLUMNS: Final = f"{_ROW}, {positions.COLUMN}"
_MODEL: Final = "LEFT JOIN chip_model m ON m.id = c.model_id"
_NODE: Final = "LEFT JOIN LATERAL (SELECT name, topology FROM node WHERE id = c.node_id OFFSET 0) n ON true"
_NO_NODE: Final = "CROSS JOIN (SELECT NULL::text AS name, NULL::text AS topology) n"
_HOST: Final = """LEFT JOIN LATERAL (SELECT id, kind, free_milli, free_mib, pos_booked_from_at[1] AS booked_from_at,
        pos_booked_peak_milli[1] AS booked_peak_milli, pos_booked_peak_mib[1] AS booked_peak_mib
        FROM capacity WHERE pool_id = c.pool_id AND node_id = c.node_id OFFSET 0) h ON h.kind = 'host'"""
_NO_HOST: Final = """CROSS JOIN (SELECT NULL::uuid AS id, NULL::bigint AS free_milli, NULL::bigint AS free_mib,
        NULL::timestamptz AS booked_from_at, NULL::integer AS booked_peak_milli, NULL::bigint AS booked_peak_mib) h"""
_ORDER: Final = "ORDER BY c.state_key, c.id"
JOINS: Final = f"""
    {_MODEL}
    {_NODE}
    {_HOST}
{_ORDER}"""
_OF_POOL: Final = "(c.node_id IS NULL AND c.kind = 'counter')"
# A loose index scan: it jumps from state to state in the index capacity_free, and takes of each some rows from a number
# by chance on: the states of a pair share what is wanted of it. Pools that promise no node give their counters too.
_FIND: Final = f"""
WITH RECURSIVE pair AS (
    SELECT * FROM unnest(%(pools)s::uuid[], %(models)s::uuid[], %(least)s::bigint[], %(rows)s::bigint[],
                         %(rows_together)s::bigint[])
        pair (pool_id, model_id, least, rows, rows_together)),
state AS (
    SELECT p.pool_id, p.model_id, p.rows, p.rows_together, least.state_key, 1 AS number
    FROM pair p CROSS JOIN LATERAL (
        SELECT state_key FROM capacity c WHERE c.pool_id = p.pool_id AND c.model_id = p.model_id AND c.free_milli > 0
            AND c.state_key >= p.least ORDER BY c.pool_id, c.model_id, c.state_key LIMIT 1) least
    UNION ALL
    SELECT s.pool_id, s.model_id, s.rows, s.rows_together, following.state_key, s.number + 1
    FROM state s CROSS JOIN LATERAL (
        SELECT state_key FROM capacity c WHERE c.pool_id = s.pool_id AND c.model_id = s.model_id AND c.free_milli > 0
            AND c.state_key > s.state_key ORDER BY c.pool_id, c.model_id, c.state_key LIMIT 1) following
    WHERE s.number < %(states)s),
counted AS (
    SELECT pool_id, model_id, state_key,
        greatest(rows, ceil(rows_together::float8
            / greatest(count(*) OVER (PARTITION BY pool_id, model_id), {STATES_LEAST})))::bigint AS rows
    FROM state),
found AS (
    SELECT near.* FROM counted s CROSS JOIN LATERAL (
        (SELECT * FROM capacity c WHERE c.pool_id = s.pool_id AND c.model_id = s.model_id AND c.free_milli > 0
            AND c.state_key = s.state_key AND c.shuffle >= %(chance)s AND NOT {_OF_POOL}
            ORDER BY c.pool_id, c.model_id, c.state_key, c.shuffle LIMIT s.rows)
        UNION ALL
        (SELECT * FROM capacity c WHERE c.pool_id = s.pool_id AND c.model_id = s.model_id AND c.free_milli > 0
            AND c.state_key = s.state_key AND c.shuffle < %(chance)s AND NOT {_OF_POOL}
            ORDER BY c.pool_id, c.model_id, c.state_key, c.shuffle LIMIT s.rows)
        LIMIT s.rows) near
    UNION ALL
    SELECT c.* FROM pair p JOIN capacity c ON c.pool_id = p.pool_id AND {_OF_POOL} AND c.model_id = p.model_id
    UNION ALL
    SELECT near.* FROM unnest(%(host_pools)s::uuid[]) p (pool_id) CROSS JOIN LATERAL (
        (SELECT * FROM capacity c WHERE c.pool_id = p.pool_id AND c.model_id IS NULL AND c.kind = 'host'
            AND c.free_milli > 0 AND c.state_key = 0 AND c.shuffle >= %(chance)s
            ORDER BY c.pool_id, c.model_id, c.state_key, c.shuffle LIMIT %(hosts)s)
        UNION ALL
        (SELECT * FROM capacity c WHERE c.pool_id = p.pool_id AND c.model_id IS NULL AND c.kind = 'host'
            AND c.free_milli > 0 AND c.state_key = 0 AND c.shuffle < %(chance)s
            ORDER BY c.pool_id, c.model_id, c.state_key, c.shuffle LIMIT %(hosts)s)
        LIMIT %(hosts)s) near)
{_COLUMNS}
FROM (SELECT * FROM found LIMIT %(most)s) c
    {_MODEL}
"""


def _with(has_nodes: bool, has_hosts: bool) -> str:
    return f"{_FIND}    {_NODE if has_nodes else _NO_NODE}\n    {_HOST if has_hosts else _NO_HOST}\n{_ORDER}"


# By whether nodes and hosts are looked up, row by row, each for as much as all else of a row.
FIND: Final = {(nodes, hosts): _with(nodes, hosts) for nodes in (True, False) for hosts in (True, False)}
AGAIN: Final = f"{_COLUMNS} FROM capacity c {JOINS.replace('ORDER', 'WHERE c.id = ANY(%s::uuid[]) ORDER')}"
