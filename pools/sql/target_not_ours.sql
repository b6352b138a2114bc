-- What is there is somebody else's. An order that was never sent has nothing there, so it is gone, and the operation tells
-- what was found instead. One that was sent may live there all the same, without our mark or beside it: it is asked for
-- again, and stays until the platform or a person says that it is gone. Orders that are wanted are asked for again too.
WITH settled AS (
    UPDATE target t SET turn_token = NULL, turn_until = NULL, trouble = %(trouble)s, checked_at = %(now)s,
        failures = CASE WHEN kept.is_any THEN t.failures + 1 ELSE 0 END, is_unknown = t.is_unknown AND kept.is_any,
        found = CASE WHEN kept.is_any THEN t.found END,
        due_at = CASE WHEN t.generation > %(generation)s THEN %(now)s::timestamptz
            WHEN kept.is_any THEN %(due)s::timestamptz END
    FROM (SELECT EXISTS (
        SELECT FROM member m WHERE m.target_id = %(target)s AND (m.order_state IN ('wanted', 'carried')
            OR m.order_state = 'leaving' AND EXISTS (
                SELECT FROM operation o WHERE o.allocation_id = m.allocation_id AND o.member_index = m.index
                    AND o.target_id = m.target_id AND o.action = 'apply' AND o.attempts > 0))) AS is_any) kept
    WHERE t.id = %(target)s AND t.turn_token = %(token)s
    RETURNING t.id),
left_over AS (
    UPDATE member m SET order_state = CASE WHEN was.is_sent THEN 'leaving' ELSE 'gone' END,
        trouble = CASE WHEN was.is_sent THEN %(trouble)s::jsonb ELSE m.trouble END
    FROM settled s, member n CROSS JOIN LATERAL (
        SELECT EXISTS (
            SELECT FROM operation o WHERE o.allocation_id = n.allocation_id AND o.member_index = n.index
                AND o.target_id = n.target_id AND o.action = 'apply' AND o.attempts > 0) AS is_sent) was
    WHERE n.target_id = s.id AND m.allocation_id = n.allocation_id AND m.index = n.index
        AND m.order_state = 'leaving' AND m.order_generation <= %(generation)s
    RETURNING m.allocation_id, m.index, m.order_state),
told AS (
    UPDATE operation o SET trouble = %(trouble)s, changed_at = %(now)s,
        state = CASE WHEN l.order_state = 'gone' THEN 'confirmed' WHEN o.state = 'sent' THEN 'unknown' ELSE o.state END,
        ended_at = CASE WHEN l.order_state = 'gone' THEN %(now)s::timestamptz END
    FROM left_over l WHERE o.allocation_id = l.allocation_id AND o.member_index = l.index AND o.action = 'release'
        AND o.state NOT IN ('confirmed', 'failed'))
SELECT id FROM settled;

-- What is gone is handed over to nobody any more.
DELETE FROM delivery d WHERE d.target_id = %(target)s AND NOT EXISTS (
    SELECT FROM member m WHERE m.allocation_id = d.allocation_id AND m.target_id = d.target_id
        AND m.order_state IN ('wanted', 'carried', 'leaving'));

-- Where nothing is ordered any more, nothing can differ.
UPDATE drift SET state = 'closed', closed_at = %(now)s, outcome = 'over'
WHERE target_id = %(target)s AND closed_at IS NULL AND NOT EXISTS (
    SELECT FROM member m WHERE m.target_id = %(target)s AND m.order_state IN ('wanted', 'carried'));
