-- The platform confirmed: each order that was as it is when the turn was taken is carried or gone. What changed since
-- then is due at once.
UPDATE target SET turn_token = NULL, turn_until = NULL, is_unknown = false, failures = 0, trouble = NULL,
    applied_generation = %(generation)s, found = %(found)s, found_at = %(now)s, checked_at = %(now)s,
    due_at = CASE WHEN generation > %(generation)s THEN %(now)s::timestamptz END
WHERE id = %(target)s AND turn_token = %(token)s;

WITH settled AS (
    UPDATE member m SET order_state = CASE m.order_state WHEN 'wanted' THEN 'carried' ELSE 'gone' END,
        binding = CASE m.order_state WHEN 'wanted' THEN coalesce(b.binding::jsonb, '{}') ELSE m.binding END
    FROM member n LEFT JOIN unnest(%(allocations)s::uuid[], %(indexes)s::integer[], %(bindings)s::text[])
            b (allocation_id, index, binding)
        ON b.allocation_id = n.allocation_id AND b.index = n.index
    WHERE m.allocation_id = n.allocation_id AND m.index = n.index AND m.target_id = %(target)s
        AND m.order_state IN ('wanted', 'leaving') AND m.order_generation <= %(generation)s
    RETURNING m.allocation_id, m.index, m.order_state),
confirmed AS (
    UPDATE operation o SET state = 'confirmed', trouble = NULL, ended_at = %(now)s, changed_at = %(now)s FROM settled s
    WHERE o.allocation_id = s.allocation_id AND o.member_index = s.index
        AND o.action = CASE s.order_state WHEN 'carried' THEN 'apply' ELSE 'release' END
        AND o.state NOT IN ('confirmed', 'failed'))
INSERT INTO delivery (id, pool_id, allocation_id, target_id, kind, facts, ciphertext, key_id, secret_names, due_at,
                      failures)
SELECT new_id(), s.*, '', '{}', '', '', '[]', %(now)s, 0 FROM (
    SELECT DISTINCT t.pool_id, s.allocation_id, t.id FROM settled s JOIN target t ON t.id = %(target)s
    WHERE s.order_state = 'carried') s
ON CONFLICT (allocation_id, target_id) DO UPDATE SET due_at = excluded.due_at;

-- A lease that was made longer: what was handed over ends before it. And what was made anew may be another thing now; of
-- a host that carries several only where it differed, for what comes and goes beside an order changes nothing for it.
UPDATE delivery d SET due_at = %(now)s FROM allocation a, target t
WHERE d.target_id = %(target)s AND a.id = d.allocation_id AND t.id = d.target_id AND (
    d.expires_at IS NOT NULL AND (a.end_at IS NULL OR a.end_at > d.expires_at + interval '1 minute')
    OR %(is_changed)s AND (t.project_id IS NOT NULL
        OR EXISTS (SELECT FROM drift f WHERE f.target_id = t.id AND f.closed_at IS NULL)));

-- What is gone is handed over to nobody any more.
DELETE FROM delivery d WHERE d.target_id = %(target)s AND NOT EXISTS (
    SELECT FROM member m WHERE m.allocation_id = d.allocation_id AND m.target_id = d.target_id
        AND m.order_state IN ('wanted', 'carried', 'leaving'));

-- What differed is as ordered now.
UPDATE drift SET state = 'closed', closed_at = %(now)s, outcome = CASE WHEN state = 'repairing' THEN 'repaired'
    WHEN %(found)s::jsonb IS NULL THEN 'over' ELSE 'agrees' END
WHERE target_id = %(target)s AND closed_at IS NULL;
