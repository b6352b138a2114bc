-- Gives back what allocations hold: the capacity rows in id order first, as every transaction has it.
SELECT count(*) FROM (
    SELECT id FROM capacity WHERE id IN (
        SELECT capacity_id FROM claim WHERE allocation_id = ANY(%(ids)s::uuid[]) AND released_at IS NULL)
    ORDER BY id FOR NO KEY UPDATE) locked;

WITH freed AS (
    UPDATE claim SET released_at = %(now)s WHERE allocation_id = ANY(%(ids)s::uuid[]) AND released_at IS NULL
    RETURNING capacity_id, is_held, positions, starts, milli, memory_mib, profile),
pieces AS (
    SELECT f.capacity_id, at.position, f.is_held, f.milli, f.memory_mib, f.profile, f.starts[at.number] AS start
    FROM freed f CROSS JOIN LATERAL unnest(f.positions) WITH ORDINALITY at (position, number)),
sums AS (
    SELECT capacity_id, position, coalesce(sum(milli) FILTER (WHERE NOT is_held), 0)::integer AS claimed_milli,
        coalesce(sum(memory_mib) FILTER (WHERE NOT is_held), 0)::bigint AS claimed_mib,
        coalesce(sum(milli) FILTER (WHERE is_held), 0)::integer AS held_milli,
        coalesce(sum(memory_mib) FILTER (WHERE is_held), 0)::bigint AS held_mib
    FROM pieces GROUP BY capacity_id, position),
rest AS (
    SELECT c.id, array_agg(at.claimed_milli - coalesce(s.claimed_milli, 0) ORDER BY at.position) AS claimed_milli,
        array_agg(at.claimed_mib - coalesce(s.claimed_mib, 0) ORDER BY at.position) AS claimed_mib,
        array_agg(at.held_milli - coalesce(s.held_milli, 0) ORDER BY at.position) AS held_milli,
        array_agg(at.held_mib - coalesce(s.held_mib, 0) ORDER BY at.position) AS held_mib
    FROM capacity c CROSS JOIN LATERAL unnest(
            c.pos_claimed_milli, c.pos_claimed_mib, c.pos_held_milli, c.pos_held_mib)
            WITH ORDINALITY at (claimed_milli, claimed_mib, held_milli, held_mib, position)
        LEFT JOIN sums s ON s.capacity_id = c.id AND s.position = at.position
    WHERE c.id IN (SELECT capacity_id FROM sums) GROUP BY c.id),
changed AS (
    UPDATE capacity c SET pos_claimed_milli = r.claimed_milli, pos_claimed_mib = r.claimed_mib,
        pos_held_milli = r.held_milli, pos_held_mib = r.held_mib,
        layout = CASE WHEN c.layout = '{}' THEN c.layout ELSE (
        SELECT coalesce(jsonb_object_agg(kept.key, kept.pieces), '{}') FROM (
            SELECT card.key, jsonb_agg(piece ORDER BY number) AS pieces
            FROM jsonb_each(c.layout) card CROSS JOIN LATERAL jsonb_array_elements(card.value) WITH ORDINALITY
                pieces (piece, number)
            WHERE NOT EXISTS (SELECT FROM pieces gone WHERE gone.capacity_id = c.id AND gone.position = card.key::integer
                AND gone.start = (piece ->> 'start')::integer AND gone.profile = piece ->> 'profile')
            GROUP BY card.key) kept) END
    FROM rest r WHERE c.id = r.id),
last AS (
    SELECT DISTINCT ON (allocation_id, member_index, capacity_id, kind) *
    FROM ledger_event WHERE allocation_id = ANY(%(ids)s::uuid[])
    ORDER BY allocation_id, member_index, capacity_id, kind, id DESC)
-- The ledger ends in the statement that frees: what the change makes faulty or idle begins at the same instant.
INSERT INTO ledger_event (at, pool_id, capacity_id, kind, milli, allocation_id, member_index, project_id, positions,
                          certainty, price_per_hour)
SELECT statement_timestamp(), pool_id, capacity_id, kind, 0, allocation_id, member_index, project_id, positions,
       certainty, price_per_hour
FROM last WHERE milli > 0;
