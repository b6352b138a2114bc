-- One audit row for each allocation that ocenter itself moved on.
INSERT INTO audit_event (at, actor, actor_id, token_prefix, project_id, request_id, reason, action, object_kind,
                         object_id, object_name, before, after)
SELECT %(now)s, %(actor)s, NULL, '', a.project_id, '', '', %(action)s, 'allocation', a.id::text, a.name,
    jsonb_build_object('state', %(before)s::text), jsonb_build_object('state', a.state, 'reason', a.reason)
FROM allocation a WHERE a.id = ANY(%(ids)s::uuid[]) ORDER BY a.id;
