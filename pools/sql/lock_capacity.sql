-- Lock order of every transaction: its capacity rows by id, before anything that changes one of them or a roll-up.
SELECT count(*) FROM (
    SELECT id FROM capacity WHERE node_id = ANY(ARRAY(SELECT id FROM refresh_node WHERE NOT is_new))
    ORDER BY id FOR NO KEY UPDATE) locked;
