-- Waits for the capacity rows of an attempt, in id order.
SELECT count(*) FROM (
    SELECT id FROM capacity WHERE id = ANY(%(rows)s::uuid[]) ORDER BY id FOR NO KEY UPDATE) locked;
