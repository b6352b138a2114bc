-- Which incoming devices are already known? By uuid, else by serial, else by their slot in the node. A retired device
-- that comes back keeps its row and so its history. Of several the one that is there now comes first.
-- OFFSET 0 makes each look-up an index scan of its own. The tables grow by a fleet within one run; the planner's
-- statistics still say that the pool has hardly a device, and it would compare all with all.
UPDATE incoming_device i SET id = known.id, is_new = false
FROM (
    SELECT j.ctid AS at, d.id
    FROM incoming_device j CROSS JOIN LATERAL (SELECT id, pool_id FROM device WHERE uuid = j.uuid OFFSET 0) d
    WHERE d.pool_id = %(pool)s) known
WHERE i.ctid = known.at;

UPDATE incoming_device i SET id = known.id, is_new = false
FROM (
    SELECT DISTINCT ON (id) at, id FROM (
        SELECT DISTINCT ON (j.ctid) j.ctid AS at, j.seq, d.id
        FROM incoming_device j CROSS JOIN LATERAL (
            SELECT id, pool_id, uuid, profile, retired_at, missing_since FROM device WHERE serial = j.serial OFFSET 0) d
        WHERE d.pool_id = %(pool)s AND j.is_new AND d.profile IS NOT DISTINCT FROM j.profile
            AND (j.uuid IS NULL OR d.uuid IS NULL)
            AND NOT EXISTS (SELECT FROM incoming_device taken WHERE taken.id = d.id)
        ORDER BY j.ctid, d.retired_at IS NOT NULL, d.missing_since IS NOT NULL, d.id DESC) best
    ORDER BY id, seq) known
WHERE i.ctid = known.at;

UPDATE incoming_device i SET id = known.id, is_new = false
FROM (
    SELECT DISTINCT ON (j.ctid) j.ctid AS at, d.id
    FROM incoming_device j CROSS JOIN LATERAL (
        SELECT id, ref, uuid, serial, retired_at, missing_since FROM device WHERE node_id = j.node_id OFFSET 0) d
    WHERE j.is_new AND d.ref = j.ref AND d.retired_at IS NULL
        AND (j.uuid IS NULL OR d.uuid IS NULL) AND (j.serial IS NULL OR d.serial IS NULL)
        AND NOT EXISTS (SELECT FROM incoming_device taken WHERE taken.id = d.id)
    ORDER BY j.ctid, d.missing_since IS NOT NULL, d.id DESC) known
WHERE i.ctid = known.at;

-- The capacity of these nodes is made anew: the incoming ones, and those that a device leaves.
INSERT INTO refresh_node (id, is_new) SELECT id, is_new FROM incoming_node;

INSERT INTO refresh_node (id, is_new)
SELECT DISTINCT d.node_id, false FROM incoming_device i JOIN device d ON d.id = i.id
WHERE NOT i.is_new AND d.node_id <> i.node_id AND NOT EXISTS (SELECT FROM incoming_node n WHERE n.id = d.node_id);
