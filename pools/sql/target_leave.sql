-- Lets all orders of allocations be taken off their targets. The targets are locked first, in id order.
SELECT count(*) FROM (
    SELECT id FROM target WHERE id IN (
        SELECT target_id FROM member WHERE allocation_id = ANY(%(ids)s::uuid[]) AND order_state IN ('wanted', 'carried'))
    ORDER BY id FOR NO KEY UPDATE) locked;

WITH gone AS (
    SELECT DISTINCT target_id FROM member
    WHERE allocation_id = ANY(%(ids)s::uuid[]) AND order_state IN ('wanted', 'carried')),
targets AS (
    UPDATE target t SET generation = t.generation + 1, due_at = %(now)s FROM gone WHERE t.id = gone.target_id
    RETURNING t.id, t.generation)
UPDATE member m SET order_state = 'leaving', order_generation = t.generation FROM targets t
WHERE m.target_id = t.id AND m.allocation_id = ANY(%(ids)s::uuid[]) AND m.order_state IN ('wanted', 'carried');
