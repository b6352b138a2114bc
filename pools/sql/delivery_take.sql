-- Takes what is to be handed over and is due for longest. Its next try stands for whoever asks the platform now: nothing
-- is written when it changed meanwhile, and a worker that dies leaves it due again.
WITH due AS (
    SELECT d.id FROM delivery d JOIN pool p ON p.id = d.pool_id
    WHERE d.pool_id = %(pool)s AND d.due_at <= %(now)s AND p.state = ANY(%(states)s::text[])
    ORDER BY d.due_at, d.id LIMIT 1 FOR NO KEY UPDATE OF d SKIP LOCKED),
taken AS (
    UPDATE delivery d SET due_at = %(until)s FROM due WHERE d.id = due.id
    RETURNING d.id, d.allocation_id, d.target_id, d.failures)
SELECT d.id, d.allocation_id, d.failures, t.id, t.kind, t.ref, t.generation, t.mode, t.is_tenants,
    (SELECT n.ref FROM node n WHERE n.id = t.node_id), (SELECT j.path FROM project j WHERE j.id = t.project_id)
FROM taken d JOIN target t ON t.id = d.target_id;
