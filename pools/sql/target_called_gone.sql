-- Somebody looked on the platform: what could not be taken off because somebody else stands there is not there any more.
SELECT count(*) FROM (
    SELECT id FROM target WHERE id IN (
        SELECT target_id FROM member
        WHERE allocation_id = %(id)s AND order_state = 'leaving' AND trouble ->> 'code' = 'not_ours')
    ORDER BY id FOR NO KEY UPDATE) locked;

WITH gone AS (
    UPDATE member SET order_state = 'gone'
    WHERE allocation_id = %(id)s AND order_state = 'leaving' AND trouble ->> 'code' = 'not_ours'
    RETURNING allocation_id, index, target_id),
operations AS (
    UPDATE operation o SET state = 'failed', ended_at = %(now)s, changed_at = %(now)s FROM gone g
    WHERE o.allocation_id = g.allocation_id AND o.member_index = g.index AND o.action = 'release'
        AND o.state NOT IN ('confirmed', 'failed')),
targets AS (
    -- Nobody asks for what nobody wants.
    UPDATE target t SET due_at = NULL FROM gone g WHERE t.id = g.target_id AND NOT EXISTS (
        SELECT FROM member m WHERE m.target_id = t.id AND m.order_state IN ('wanted', 'carried', 'leaving')
            AND NOT EXISTS (SELECT FROM gone h WHERE h.allocation_id = m.allocation_id AND h.index = m.index)))
SELECT index FROM gone ORDER BY index;
