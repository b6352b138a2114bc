-- The nodes of devices of a pool to which twins_unsettled applies, and of their twins: so many at once.
INSERT INTO refresh_node (id, is_new)
SELECT DISTINCT unnest(nodes), false FROM (
    SELECT ARRAY[node_id, other_node_id] AS nodes FROM live_twin
    WHERE pool_id = %(pool)s AND NOT is_elsewhere AND NOT other_is_elsewhere
    UNION ALL
    SELECT ARRAY[d.node_id] FROM device d WHERE d.pool_id = %(pool)s AND d.is_elsewhere AND d.retired_at IS NULL
        AND NOT EXISTS (SELECT FROM live_twin t WHERE t.device_id = d.id AND NOT t.other_is_elsewhere)
    LIMIT %(most)s) found;
