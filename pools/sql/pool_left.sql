-- Nobody works on its targets any more, which comes first: whoever would write down now that something is sent, waits and
-- finds that the turn is lost, so that what is listed below is all that was.
UPDATE target SET due_at = NULL, turn_token = NULL, turn_until = NULL, generation = generation + 1
WHERE id IN (SELECT id FROM target WHERE pool_id = %(pool)s ORDER BY id FOR NO KEY UPDATE);

DELETE FROM delivery WHERE pool_id = %(pool)s;

-- What a pool that is removed by force may carry on: each order that was ever sent and not confirmed to be gone.
INSERT INTO orphan AS o (id, pool_id, marker, holder, node_id, milli, memory_mib, places, origin, opened_at)
SELECT new_id(), %(pool)s, sent.target_ref, left(t.kind || ' ' || t.ref, 255), m.node_id, taken.milli, taken.mib,
    CASE WHEN n.id IS NULL THEN '[]' ELSE jsonb_build_array(jsonb_build_object('node', n.name, 'device', '')) END, 'left',
    %(now)s
FROM member m JOIN target t ON t.id = m.target_id LEFT JOIN node n ON n.id = m.node_id
    CROSS JOIN LATERAL (
        SELECT max(target_ref) AS target_ref FROM operation
        WHERE allocation_id = m.allocation_id AND member_index = m.index AND pool_id = %(pool)s AND action = 'apply'
            AND attempts > 0) sent
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(l.milli::bigint * cardinality(l.positions)), 0) AS milli,
            coalesce(sum(l.memory_mib * cardinality(l.positions)), 0) AS mib
        FROM claim l JOIN capacity c ON c.id = l.capacity_id AND c.kind <> 'host'
        WHERE l.allocation_id = m.allocation_id AND l.member_index = m.index AND l.released_at IS NULL) taken
WHERE m.allocation_id = ANY(%(ids)s::uuid[]) AND m.pool_id = %(pool)s
    AND m.order_state IN ('wanted', 'carried', 'leaving') AND sent.target_ref IS NOT NULL
ON CONFLICT (pool_id, marker) WHERE closed_at IS NULL DO NOTHING;

UPDATE member SET order_state = 'gone', trouble = %(trouble)s
WHERE allocation_id = ANY(%(ids)s::uuid[]) AND pool_id = %(pool)s AND order_state IN ('wanted', 'carried', 'leaving');

UPDATE operation SET state = 'failed', trouble = %(trouble)s, ended_at = %(now)s, changed_at = %(now)s
WHERE allocation_id = ANY(%(ids)s::uuid[]) AND state NOT IN ('confirmed', 'failed');
