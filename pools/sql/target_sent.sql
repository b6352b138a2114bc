-- Says before anything is sent that it may have been: who dies now leaves that to be found out. Which operations are open
-- is told by what they are not, as wherever they are found by their allocation: told by the states of the index of open
-- ones, all of that index is read as well, and a rush has thousands.
WITH ours AS (
    UPDATE target SET is_unknown = true, turn_until = greatest(turn_until, %(until)s::timestamptz)
    WHERE id = %(target)s AND turn_token = %(token)s
    RETURNING id),
operations AS (
    UPDATE operation o SET state = 'sent', target_id = m.target_id, generation = %(generation)s, calls = %(calls)s,
        attempts = o.attempts + 1, sent_at = %(now)s, changed_at = %(now)s
    FROM member m JOIN ours ON ours.id = m.target_id
    WHERE m.order_generation <= %(generation)s AND m.order_state IN ('wanted', 'leaving')
        AND o.allocation_id = m.allocation_id AND o.member_index = m.index
        AND o.action = CASE m.order_state WHEN 'wanted' THEN 'apply' ELSE 'release' END
        AND o.state NOT IN ('confirmed', 'failed')
    RETURNING o.id)
SELECT count(*) FROM ours;
