-- What was held is claimed from now on. Nothing more is taken, so nothing is guarded.
SELECT count(*) FROM (
    SELECT id FROM capacity WHERE id IN (
        SELECT capacity_id FROM claim WHERE allocation_id = ANY(%(ids)s::uuid[]) AND released_at IS NULL)
    ORDER BY id FOR NO KEY UPDATE) locked;

WITH confirmed AS (
    UPDATE claim SET is_held = false
    WHERE allocation_id = ANY(%(ids)s::uuid[]) AND released_at IS NULL AND is_held
    RETURNING capacity_id, positions, milli, memory_mib),
sums AS (
    SELECT capacity_id, at.position, sum(milli)::integer AS milli, sum(memory_mib)::bigint AS mib
    FROM confirmed CROSS JOIN LATERAL unnest(positions) at (position) GROUP BY capacity_id, at.position),
after AS (
    SELECT c.id, array_agg(at.claimed_milli + coalesce(s.milli, 0) ORDER BY at.position) AS claimed_milli,
        array_agg(at.claimed_mib + coalesce(s.mib, 0) ORDER BY at.position) AS claimed_mib,
        array_agg(at.held_milli - coalesce(s.milli, 0) ORDER BY at.position) AS held_milli,
        array_agg(at.held_mib - coalesce(s.mib, 0) ORDER BY at.position) AS held_mib
    FROM capacity c CROSS JOIN LATERAL unnest(
            c.pos_claimed_milli, c.pos_claimed_mib, c.pos_held_milli, c.pos_held_mib)
            WITH ORDINALITY at (claimed_milli, claimed_mib, held_milli, held_mib, position)
        LEFT JOIN sums s ON s.capacity_id = c.id AND s.position = at.position
    WHERE c.id IN (SELECT capacity_id FROM sums) GROUP BY c.id),
changed AS (
    UPDATE capacity c SET pos_claimed_milli = a.claimed_milli, pos_claimed_mib = a.claimed_mib,
    pos_held_milli = a.held_milli, pos_held_mib = a.held_mib
    FROM after a WHERE c.id = a.id),
last AS (
    SELECT DISTINCT ON (allocation_id, member_index, capacity_id, kind) *
    FROM ledger_event WHERE allocation_id = ANY(%(ids)s::uuid[])
    ORDER BY allocation_id, member_index, capacity_id, kind, id DESC)
INSERT INTO ledger_event (at, pool_id, capacity_id, kind, milli, allocation_id, member_index, project_id, positions,
                          certainty, price_per_hour)
SELECT statement_timestamp(), l.pool_id, l.capacity_id, turn.kind, turn.milli, l.allocation_id, l.member_index,
       l.project_id, l.positions, l.certainty, l.price_per_hour
FROM last l CROSS JOIN LATERAL (VALUES ('hold', 0::bigint), (%(kind)s, l.milli)) turn (kind, milli)
WHERE l.kind = 'hold' AND l.milli > 0;
