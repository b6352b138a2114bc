-- What a complete observation did not show: whole nodes, and single devices of nodes that are there.
CREATE TEMP TABLE IF NOT EXISTS unseen_node (id uuid) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS unseen_device (id uuid, node_id uuid) ON COMMIT DELETE ROWS;
INSERT INTO unseen_node SELECT unnest(%(nodes)s::uuid[]);
INSERT INTO unseen_device SELECT id, node_id FROM device WHERE id = ANY(%(devices)s::uuid[]) AND retired_at IS NULL;
INSERT INTO refresh_node (id, is_new) SELECT id, false FROM unseen_node UNION SELECT node_id, false FROM unseen_device;
