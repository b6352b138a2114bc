-- Known nodes: what differs is recorded with before and after, then written.
INSERT INTO inventory_change (at, pool_id, run_id, object_kind, object_id, object_name, action, before, after)
SELECT %(now)s, %(pool)s, %(run)s, 'node', id, name, CASE WHEN was_missing THEN 'returned' ELSE 'changed' END,
       changed_fields(old, new), changed_fields(new, old)
FROM (
    SELECT n.id, i.name, n.missing_since IS NOT NULL AS was_missing,
           jsonb_build_object('name', n.name, 'uuid', n.uuid, 'serial', n.serial, 'topology', n.topology,
               'labels', n.labels, 'cpu_milli', n.cpu_milli, 'memory_mib', n.memory_mib, 'devices', n.device_count,
               'is_available', n.is_available, 'unavailable_reason', n.unavailable_reason,
               'unknown_resources', n.unknown_resources) AS old,
           jsonb_build_object('name', i.name, 'uuid', i.uuid, 'serial', i.serial, 'topology', i.topology,
               'labels', i.labels, 'cpu_milli', i.cpu_milli, 'memory_mib', i.memory_mib, 'devices', i.device_count,
               'is_available', i.is_available, 'unavailable_reason', i.unavailable_reason,
               'unknown_resources', i.unknown_resources) AS new
    FROM incoming_node i JOIN node n ON n.id = i.id WHERE NOT i.is_new) pairs
WHERE was_missing OR old <> new;

UPDATE node n SET name = i.name, uuid = i.uuid, serial = i.serial, topology = i.topology,
    topology_path = i.topology_path, labels = i.labels, cpu_milli = i.cpu_milli, memory_mib = i.memory_mib,
    cpu_used_milli = i.cpu_used_milli, memory_used_mib = i.memory_used_mib, device_count = i.device_count,
    is_available = i.is_available, unavailable_reason = i.unavailable_reason,
    unknown_resources = i.unknown_resources, fingerprint = i.fingerprint, missing_since = NULL, misses = 0,
    loss_accepted = false, changed_at = %(now)s
FROM incoming_node i WHERE n.id = i.id AND NOT i.is_new;
