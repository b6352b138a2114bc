-- What has to be done anew for the members of an allocation. What was sent and nobody knows of goes on as it is.
INSERT INTO operation (id, pool_id, allocation_id, member_index, action, state, target_id, target_ref, attempts, words,
                       created_at, changed_at)
SELECT new_id(), m.pool_id, m.allocation_id, m.index, 'apply', 'planned', m.target_id, l.target_ref, 0, '{}', %(now)s,
    %(now)s
FROM member m CROSS JOIN LATERAL (
    SELECT o.target_ref FROM operation o
    WHERE o.allocation_id = m.allocation_id AND o.member_index = m.index AND o.action = 'apply'
    ORDER BY o.id DESC LIMIT 1) l
WHERE m.allocation_id = %(id)s AND NOT EXISTS (
    SELECT FROM operation o WHERE o.allocation_id = m.allocation_id AND o.member_index = m.index
        AND o.action = 'apply' AND o.state IN ('planned', 'sent', 'unknown'));
