-- Nodes that nobody knew. Their devices are told by the node's own change row.
INSERT INTO inventory_change (at, pool_id, run_id, object_kind, object_id, object_name, action, before, after)
SELECT %(now)s, %(pool)s, %(run)s, 'node', i.id, i.name, 'created', NULL,
       jsonb_build_object('devices', i.device_count, 'topology', i.topology_path)
FROM incoming_node i WHERE i.is_new;

INSERT INTO node (id, pool_id, ref, name, uuid, serial, topology, topology_path, labels, cpu_milli, memory_mib,
    cpu_used_milli, memory_used_mib, device_count, is_available, unavailable_reason, unknown_resources, fingerprint,
    misses, loss_accepted, created_at, changed_at)
SELECT id, %(pool)s, ref, name, uuid, serial, topology, topology_path, labels, cpu_milli, memory_mib,
    cpu_used_milli, memory_used_mib, device_count, is_available, unavailable_reason, unknown_resources, fingerprint,
    0, false, %(now)s, %(now)s
FROM incoming_node WHERE is_new;
