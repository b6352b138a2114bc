-- What the platform handed over, only while nobody else asked for it and every order of the allocation is still carried:
-- what is being given back is given to nobody any more. What ends with the lease is not asked for again; platforms count
-- in whole seconds or minutes.
UPDATE delivery d SET kind = %(kind)s, facts = %(facts)s, ciphertext = %(ciphertext)s, key_id = %(key)s,
    secret_names = %(names)s, made_at = %(now)s, expires_at = %(expires)s, failures = 0, trouble = NULL,
    due_at = CASE WHEN a.end_at IS NULL OR a.end_at > %(expires)s::timestamptz + interval '1 minute'
        THEN %(due)s::timestamptz END
FROM allocation a JOIN pool p ON p.id = a.pool_id
WHERE d.id = %(id)s AND d.due_at = %(taken)s AND a.id = d.allocation_id AND a.ended_at IS NULL AND NOT EXISTS (
    SELECT FROM member m WHERE m.allocation_id = d.allocation_id AND m.target_id = d.target_id
        AND m.order_state IS DISTINCT FROM 'carried')
RETURNING a.name, a.project_id, p.name;
