-- The platform did some of it, and was asked which: orders that are delivered are carried, and those of which nothing is
-- left are gone, whatever stands in the way of the others. It is asked for the rest again later.
UPDATE target SET turn_token = NULL, turn_until = NULL, is_unknown = false, failures = failures + 1,
    trouble = %(trouble)s, found = %(found)s, found_at = %(now)s, checked_at = %(now)s,
    due_at = CASE WHEN generation > %(generation)s THEN %(now)s::timestamptz ELSE %(due)s::timestamptz END
WHERE id = %(target)s AND turn_token = %(token)s;

WITH told AS (
    SELECT * FROM unnest(%(allocations)s::uuid[], %(indexes)s::integer[], %(bindings)s::text[])
        told (allocation_id, index, binding)),
settled AS (
    UPDATE member m SET order_state = CASE m.order_state WHEN 'wanted' THEN 'carried' ELSE 'gone' END,
        binding = CASE m.order_state WHEN 'wanted' THEN d.binding::jsonb ELSE m.binding END
    FROM member n LEFT JOIN told d ON d.allocation_id = n.allocation_id AND d.index = n.index
    WHERE m.allocation_id = n.allocation_id AND m.index = n.index AND m.target_id = %(target)s
        AND m.order_generation <= %(generation)s AND (m.order_state = 'wanted' AND d.binding IS NOT NULL
            OR m.order_state = 'leaving' AND NOT EXISTS (
                SELECT FROM operation o WHERE o.allocation_id = m.allocation_id AND o.member_index = m.index
                    AND o.action = 'apply' AND o.target_ref = ANY(%(there)s::text[])))
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

UPDATE operation o SET state = CASE o.state WHEN 'sent' THEN 'unknown' ELSE o.state END, trouble = %(trouble)s,
    changed_at = %(now)s
FROM member m WHERE m.target_id = %(target)s AND m.order_generation <= %(generation)s
    AND m.order_state IN ('wanted', 'leaving') AND o.allocation_id = m.allocation_id AND o.member_index = m.index
    AND o.action = CASE m.order_state WHEN 'wanted' THEN 'apply' ELSE 'release' END
    AND o.state NOT IN ('confirmed', 'failed');

DELETE FROM delivery d WHERE d.target_id = %(target)s AND NOT EXISTS (
    SELECT FROM member m WHERE m.allocation_id = d.allocation_id AND m.target_id = d.target_id
        AND m.order_state IN ('wanted', 'carried', 'leaving'));
