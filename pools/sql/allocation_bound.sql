-- What was reserved is used from now on: the platforms confirmed all of it.
WITH last AS (
    SELECT DISTINCT ON (allocation_id, member_index, capacity_id, kind) *
    FROM ledger_event WHERE allocation_id = ANY(%(ids)s::uuid[])
    ORDER BY allocation_id, member_index, capacity_id, kind, id DESC)
INSERT INTO ledger_event (at, pool_id, capacity_id, kind, milli, allocation_id, member_index, project_id, positions,
                          certainty, price_per_hour)
SELECT statement_timestamp(), l.pool_id, l.capacity_id, turn.kind, turn.milli, l.allocation_id, l.member_index,
       l.project_id, l.positions, l.certainty, l.price_per_hour
FROM last l CROSS JOIN LATERAL (VALUES ('reserve', 0::bigint), ('use', l.milli)) turn (kind, milli)
WHERE l.kind = 'reserve' AND l.milli > 0;
