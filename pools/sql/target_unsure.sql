-- It did not work, or nobody knows: asked again later. An order that was sent is unknown until somebody asked.
UPDATE target SET turn_token = NULL, turn_until = NULL, failures = failures + 1, trouble = %(trouble)s,
    checked_at = %(now)s, is_unknown = is_unknown OR %(is_doubtful)s,
    due_at = CASE WHEN generation > %(generation)s THEN %(now)s::timestamptz ELSE %(due)s::timestamptz END
WHERE id = %(target)s AND turn_token = %(token)s;

UPDATE operation o SET state = CASE o.state WHEN 'sent' THEN 'unknown' ELSE o.state END, trouble = %(trouble)s,
    changed_at = %(now)s
FROM member m WHERE m.target_id = %(target)s AND m.order_generation <= %(generation)s
    AND m.order_state IN ('wanted', 'leaving') AND o.allocation_id = m.allocation_id AND o.member_index = m.index
    AND o.action = CASE m.order_state WHEN 'wanted' THEN 'apply' ELSE 'release' END
    AND o.state NOT IN ('confirmed', 'failed');
