-- Which incoming devices are already known? By uuid, else by serial, else by their slot in the node. A retired device
-- that comes back keeps its row and so its history.
UPDATE incoming_device i SET id = d.id, is_new = false
FROM device d WHERE d.pool_id = %(pool)s AND i.uuid IS NOT NULL AND d.uuid = i.uuid;

UPDATE incoming_device i SET id = d.id, is_new = false
FROM device d WHERE d.pool_id = %(pool)s AND i.is_new AND i.serial IS NOT NULL AND d.serial = i.serial
    AND d.profile IS NOT DISTINCT FROM i.profile AND (i.uuid IS NULL OR d.uuid IS NULL)
    AND NOT EXISTS (SELECT FROM incoming_device taken WHERE taken.id = d.id);

UPDATE incoming_device i SET id = d.id, is_new = false
FROM device d WHERE i.is_new AND d.node_id = i.node_id AND d.ref = i.ref AND d.retired_at IS NULL
    AND (i.uuid IS NULL OR d.uuid IS NULL) AND (i.serial IS NULL OR d.serial IS NULL)
    AND NOT EXISTS (SELECT FROM incoming_device taken WHERE taken.id = d.id);

-- The capacity of these nodes is made anew: the incoming ones, and those that a device leaves.
INSERT INTO refresh_node (id, is_new) SELECT id, is_new FROM incoming_node;
INSERT INTO refresh_node (id, is_new)
SELECT DISTINCT d.node_id, false FROM incoming_device i JOIN device d ON d.id = i.id
WHERE NOT i.is_new AND d.node_id <> i.node_id AND d.node_id NOT IN (SELECT id FROM incoming_node);
