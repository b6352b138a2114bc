-- The platform refused what was new: it is taken off again, whatever there is of it, so that it stands in nobody's way.
-- The operation keeps the node, for the next candidate is another one.
UPDATE target SET turn_token = NULL, turn_until = NULL, generation = generation + 1, failures = 0,
    trouble = %(trouble)s, checked_at = %(now)s, due_at = %(now)s
WHERE id = %(target)s AND turn_token = %(token)s;

WITH refused AS (
    UPDATE member m SET order_state = 'leaving', order_generation = t.generation, trouble = %(trouble)s
    FROM target t WHERE t.id = %(target)s AND m.target_id = t.id AND m.order_state = 'wanted'
        AND m.order_generation <= %(generation)s
    RETURNING m.allocation_id, m.index, m.target_id, m.order_generation, m.node_id)
UPDATE operation o SET state = 'failed', target_id = r.target_id, generation = coalesce(o.generation, r.order_generation),
    trouble = %(trouble)s::jsonb || jsonb_build_object('node_id', r.node_id), ended_at = %(now)s, changed_at = %(now)s
FROM refused r WHERE o.allocation_id = r.allocation_id AND o.member_index = r.index AND o.action = 'apply'
    AND o.state NOT IN ('confirmed', 'failed');
