-- Lock order: all capacity rows by id, of whatever pools the nodes are, then their roll-ups; see lock_capacity and
-- merge_counters. Whoever has the rows of a node keeps its pool's merge and all claims away from its devices.
SELECT count(*) FROM (
    SELECT id FROM capacity WHERE id = ANY(ARRAY(
        SELECT c.id FROM refresh_node r CROSS JOIN LATERAL (SELECT id, pool_id FROM node WHERE id = r.id OFFSET 0) n
            CROSS JOIN LATERAL (SELECT id FROM capacity WHERE pool_id = n.pool_id AND node_id = n.id OFFSET 0) c
        UNION ALL
        SELECT c.id FROM capacity c WHERE c.node_id IS NULL AND c.pool_id IN (
            SELECT n.pool_id FROM refresh_node r JOIN node n ON n.id = r.id JOIN pool p ON p.id = n.pool_id
            WHERE p.grain = 'pool')))
    ORDER BY id FOR NO KEY UPDATE) locked;

SELECT count(*) FROM (
    SELECT id FROM capacity_rollup WHERE pool_id IN (SELECT n.pool_id FROM refresh_node r JOIN node n ON n.id = r.id)
    ORDER BY id FOR NO KEY UPDATE) locked;
