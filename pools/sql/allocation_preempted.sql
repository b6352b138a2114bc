-- Word to those who have to give way: until when. Who comes instead is none of theirs.
INSERT INTO audit_event (at, actor, actor_id, token_prefix, project_id, request_id, reason, action, object_kind,
                         object_id, object_name, after)
SELECT %(now)s, %(actor)s, %(actor_id)s, %(token)s, project_id, %(request_id)s, %(reason)s, 'allocation.preempted',
    'allocation', id::text, name, jsonb_build_object('end_at', end_at, 'reason', reason)
FROM allocation WHERE id = ANY(%(ids)s) ORDER BY id;
