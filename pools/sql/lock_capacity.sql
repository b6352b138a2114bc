-- Lock order of every transaction: its capacity rows by id, before anything that changes one of them or a roll-up.
SELECT count(*) FROM (
    SELECT c.id FROM capacity c JOIN refresh_node r ON r.id = c.node_id AND NOT r.is_new
    ORDER BY c.id FOR NO KEY UPDATE OF c) locked;
