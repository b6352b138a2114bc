-- What is being taken off and somebody stands in the way of is asked for at once. All targets are locked here, in id order.
SELECT count(*) FROM (
    SELECT id FROM target WHERE id IN (
        SELECT target_id FROM member
        WHERE allocation_id = ANY(%(ids)s::uuid[]) AND order_state IN ('wanted', 'carried', 'leaving'))
    ORDER BY id FOR NO KEY UPDATE) locked;

UPDATE target SET generation = generation + 1, due_at = %(now)s WHERE id IN (
    SELECT target_id FROM member WHERE allocation_id = ANY(%(ids)s::uuid[]) AND order_state = 'leaving');

UPDATE member SET trouble = NULL WHERE allocation_id = ANY(%(ids)s::uuid[]) AND order_state = 'leaving';
