-- Lock order of every transaction: its capacity rows by id, before anything that changes one of them or a roll-up. At pool
-- grain the pool's own counters are among them, for they follow their nodes' rows in the same transaction.
SELECT count(*) FROM (
    SELECT id FROM capacity WHERE id = ANY(ARRAY(
        SELECT c.id FROM refresh_node r
            CROSS JOIN LATERAL (
                SELECT id FROM capacity WHERE pool_id = %(pool)s AND node_id = r.id OFFSET 0) c WHERE NOT r.is_new
        UNION ALL
        SELECT id FROM capacity WHERE %(is_advisory)s AND pool_id = %(pool)s AND node_id IS NULL))
    ORDER BY id FOR NO KEY UPDATE) locked;
