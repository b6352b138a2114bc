-- What the platform handed over, only while nobody else asked for it and every order of the allocation is still carried:
-- what is being given back is given to nobody any more. What ends with the lease is not asked for again; platforms count
-- in whole seconds or minutes.
WITH filled AS (
    UPDATE delivery d SET kind = %(kind)s, facts = %(facts)s, ciphertext = %(ciphertext)s, key_id = %(key)s,
        secret_names = %(names)s, made_at = %(now)s, expires_at = %(expires)s, failures = 0, trouble = NULL,
        due_at = CASE WHEN a.end_at IS NULL OR a.end_at > %(expires)s::timestamptz + interval '1 minute'
            THEN %(due)s::timestamptz END
    FROM allocation a JOIN pool p ON p.id = a.pool_id
    WHERE d.id = %(id)s AND d.due_at = %(taken)s AND a.id = d.allocation_id AND a.ended_at IS NULL AND NOT EXISTS (
        SELECT FROM member m WHERE m.allocation_id = d.allocation_id AND m.target_id = d.target_id
            AND m.order_state IS DISTINCT FROM 'carried')
    RETURNING d.allocation_id, d.secret_names, a.name, a.project_id, p.name AS pool)
INSERT INTO audit_event (at, actor, actor_id, token_prefix, project_id, request_id, reason, action, object_kind,
                         object_id, object_name, before, after)
SELECT %(now)s, %(actor)s, NULL, '', f.project_id, '', '', 'allocation.delivered', 'allocation', f.allocation_id::text,
    f.name, NULL, %(told)s::jsonb || jsonb_build_object('pool', f.pool, 'secret_names', f.secret_names)
FROM filled f;
