-- Takes the turn of the target of a pool that is due for longest. Whoever has it is passed by. A pool that was sent as many
-- changes within the last minute as it may be sent gets no other; what is on its way is followed to its end.
WITH due AS (
    SELECT t.id FROM target t JOIN pool p ON p.id = t.pool_id
    WHERE t.pool_id = %(pool)s AND t.due_at <= %(now)s AND (t.turn_until IS NULL OR t.turn_until <= %(now)s)
        AND p.state = ANY(%(states)s::text[])
        AND (p.changes_per_minute IS NULL
            OR p.changes_per_minute > (
                SELECT count(*) FROM operation o
                WHERE o.pool_id = p.id AND o.sent_at > %(now)s::timestamptz - interval '1 minute')
            OR EXISTS (
                SELECT FROM operation o
                WHERE o.pool_id = p.id AND o.state IN ('sent', 'unknown') AND o.target_id = t.id))
    ORDER BY t.due_at, t.id LIMIT 1 FOR NO KEY UPDATE OF t SKIP LOCKED)
UPDATE target t SET turn_token = %(token)s, turn_until = %(until)s FROM due WHERE t.id = due.id
RETURNING t.id, t.kind, t.ref, t.generation, t.mode, t.is_tenants, t.is_unknown, t.failures,
    t.trouble ->> 'code', (SELECT n.ref FROM node n WHERE n.id = t.node_id), (SELECT j.path FROM project j WHERE j.id = t.project_id),
    ARRAY(SELECT o.marker FROM orphan o WHERE o.pool_id = t.pool_id AND o.node_id = t.node_id
        AND o.closed_at IS NULL AND o.reap_asked_at IS NULL AND NOT EXISTS (
            SELECT FROM operation p JOIN member m ON m.allocation_id = p.allocation_id AND m.index = p.member_index
            WHERE p.target_ref = o.marker AND p.action = 'apply' AND m.target_id = t.id
                AND m.order_state IN ('wanted', 'carried', 'leaving')) ORDER BY o.marker),
    EXISTS (SELECT FROM member m WHERE m.target_id = t.id AND m.order_state = 'wanted'),
    EXISTS (SELECT FROM member m WHERE m.target_id = t.id AND m.order_state = 'leaving');
