-- What is there is somebody else's, so nothing of ours is: what was to be taken off is gone, and the operation tells what
-- was found instead. Orders that were carried there stay wanted, and are asked for again.
WITH settled AS (
    UPDATE target t SET turn_token = NULL, turn_until = NULL, trouble = %(trouble)s, checked_at = %(now)s,
        failures = CASE WHEN kept.is_any THEN t.failures + 1 ELSE 0 END, is_unknown = t.is_unknown AND kept.is_any,
        found = CASE WHEN kept.is_any THEN t.found END,
        due_at = CASE WHEN t.generation > %(generation)s THEN %(now)s::timestamptz
            WHEN kept.is_any THEN %(due)s::timestamptz END
    FROM (SELECT EXISTS (
        SELECT FROM member WHERE target_id = %(target)s AND order_state IN ('wanted', 'carried')) AS is_any) kept
    WHERE t.id = %(target)s AND t.turn_token = %(token)s
    RETURNING t.id),
gone AS (
    UPDATE member m SET order_state = 'gone' FROM settled s
    WHERE m.target_id = s.id AND m.order_state = 'leaving' AND m.order_generation <= %(generation)s
    RETURNING m.allocation_id, m.index, m.target_id),
confirmed AS (
    UPDATE operation o SET state = 'confirmed', trouble = %(trouble)s, ended_at = %(now)s, changed_at = %(now)s
    FROM gone g WHERE o.allocation_id = g.allocation_id AND o.member_index = g.index AND o.action = 'release'
        AND o.state IN ('planned', 'sent', 'unknown'))
SELECT id FROM settled;

-- What is gone is handed over to nobody any more.
DELETE FROM delivery d WHERE d.target_id = %(target)s AND NOT EXISTS (
    SELECT FROM member m WHERE m.allocation_id = d.allocation_id AND m.target_id = d.target_id
        AND m.order_state IN ('wanted', 'carried', 'leaving'));

-- Where nothing is ordered any more, nothing can differ.
UPDATE drift SET state = 'closed', closed_at = %(now)s, outcome = 'over'
WHERE target_id = %(target)s AND closed_at IS NULL AND NOT EXISTS (
    SELECT FROM member m WHERE m.target_id = %(target)s AND m.order_state IN ('wanted', 'carried'));
