-- Devices of nodes that were known before: one change row each. Those of a new node are told by the node's own row.
INSERT INTO inventory_change (at, pool_id, run_id, object_kind, object_id, object_name, action, before, after)
SELECT %(now)s, %(pool)s, %(run)s, 'device', i.id, n.name || ' ' || i.ref, 'created', NULL,
       jsonb_build_object('model_text', i.model_text, 'uuid', i.uuid, 'serial', i.serial, 'memory_mib', i.memory_mib)
FROM incoming_device i JOIN incoming_node n ON n.id = i.node_id WHERE i.is_new AND NOT n.is_new;

-- Recorded devices of these nodes that were not among the facts. What becomes of them is decided when all was seen.
SELECT d.id, n.id, n.fingerprint FROM incoming_node n
    CROSS JOIN LATERAL (SELECT id, missing_since, retired_at FROM device WHERE node_id = n.id OFFSET 0) d
WHERE NOT n.is_new AND d.retired_at IS NULL AND d.missing_since IS NULL
    AND NOT EXISTS (SELECT FROM incoming_device i WHERE i.id = d.id);
