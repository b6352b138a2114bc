-- What is carried changes a little, such as the end of a lease: its targets are applied anew.
SELECT count(*) FROM (
    SELECT id FROM target WHERE id IN (
        SELECT target_id FROM member WHERE allocation_id = ANY(%(ids)s::uuid[]) AND order_state IN ('wanted', 'carried'))
    ORDER BY id FOR NO KEY UPDATE) locked;

UPDATE target SET generation = generation + 1, due_at = %(now)s WHERE id IN (
    SELECT target_id FROM member WHERE allocation_id = ANY(%(ids)s::uuid[]) AND order_state IN ('wanted', 'carried'));
