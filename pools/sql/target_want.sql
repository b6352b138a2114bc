-- Lets members be carried by their targets, which are made where they are not there yet. Those that are there are
-- locked first, in id order, as whoever takes orders off has it.
SELECT count(*) FROM (
    SELECT t.id FROM target t JOIN unnest(%(pools)s::uuid[], %(kinds)s::text[], %(refs)s::text[]) w (pool_id, kind, ref)
        ON t.pool_id = w.pool_id AND t.kind = w.kind AND t.ref = w.ref
    ORDER BY t.id FOR NO KEY UPDATE OF t) locked;

WITH wanted AS (
    SELECT * FROM unnest(%(allocations)s::uuid[], %(indexes)s::integer[], %(pools)s::uuid[], %(kinds)s::text[],
                         %(refs)s::text[], %(nodes)s::uuid[], %(projects)s::uuid[], %(modes)s::text[])
        wanted (allocation_id, index, pool_id, kind, ref, node_id, project_id, mode)),
targets AS (
    INSERT INTO target AS t (id, pool_id, kind, ref, node_id, project_id, mode, is_tenants, generation,
                             applied_generation, is_unknown, due_at, failures, created_at)
    SELECT new_id(), w.* FROM (
        SELECT DISTINCT ON (pool_id, kind, ref) pool_id, kind, ref, node_id, project_id, mode, false, 1, 0, false,
            %(now)s::timestamptz, 0, %(now)s::timestamptz
        FROM wanted ORDER BY pool_id, kind, ref) w
    ON CONFLICT (pool_id, kind, ref) DO UPDATE SET generation = t.generation + 1, due_at = %(now)s,
        node_id = excluded.node_id, mode = excluded.mode
    RETURNING id, pool_id, kind, ref, generation),
members AS (
    UPDATE member m SET target_id = t.id, order_state = 'wanted', order_generation = t.generation, trouble = NULL
    FROM wanted w JOIN targets t USING (pool_id, kind, ref)
    WHERE m.allocation_id = w.allocation_id AND m.index = w.index
    RETURNING m.allocation_id, m.index, m.target_id)
UPDATE operation o SET target_id = m.target_id, changed_at = %(now)s
FROM members m CROSS JOIN LATERAL (SELECT * FROM operation WHERE allocation_id = m.allocation_id OFFSET 0) p
WHERE o.id = p.id AND p.member_index = m.index AND p.action = 'apply' AND p.state = 'planned';
