-- Word of leases that end soon, in the statement that takes it off the list of what is to be told: so each end is told once.
WITH due AS (
    SELECT id FROM allocation
    WHERE notice_at <= %(now)s AND ended_at IS NULL AND end_at > %(now)s
        AND state IN ('claimed', 'binding', 'active', 'needs_attention')
    ORDER BY notice_at LIMIT %(most)s FOR NO KEY UPDATE SKIP LOCKED),
told AS (
    UPDATE allocation a SET notice_at = NULL FROM due WHERE a.id = due.id
    RETURNING a.id, a.name, a.project_id, a.end_at)
INSERT INTO audit_event (at, actor, actor_id, token_prefix, project_id, request_id, reason, action, object_kind,
                         object_id, object_name, after)
SELECT %(now)s, %(actor)s, NULL, '', project_id, '', '', 'allocation.ends_soon', 'allocation', id::text, name,
    jsonb_build_object('end_at', end_at)
FROM told ORDER BY id;
