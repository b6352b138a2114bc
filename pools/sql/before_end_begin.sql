-- The time to save begins for those that end soon, each once. Nobody may ask for more than an hour, so the index is short.
WITH due AS (
    SELECT id FROM allocation
    WHERE before_end_state = 'pending' AND state = 'active' AND end_at > %(now)s
        AND end_at <= %(now)s::timestamptz + %(most_seconds)s * interval '1 second'
        AND end_at <= %(now)s::timestamptz + (spec ->> 'before_end_seconds')::bigint * interval '1 second'
    ORDER BY end_at LIMIT %(most)s FOR NO KEY UPDATE SKIP LOCKED),
begun AS (
    UPDATE allocation a SET before_end_state = 'running', changed_at = %(now)s, generation = generation + 1
    FROM due WHERE a.id = due.id
    RETURNING a.id, a.name, a.project_id, a.end_at)
INSERT INTO audit_event (at, actor, actor_id, token_prefix, project_id, request_id, reason, action, object_kind,
                         object_id, object_name, after)
SELECT %(now)s, %(actor)s, NULL, '', project_id, '', '', 'allocation.before_end', 'allocation', id::text, name,
    jsonb_build_object('end_at', end_at)
FROM begun ORDER BY id;
