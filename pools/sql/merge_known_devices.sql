-- Known devices that differ, by compare_known_devices: what people read is recorded with before and after, then all is
-- written.
INSERT INTO inventory_change (at, pool_id, run_id, object_kind, object_id, object_name, action, before, after)
SELECT %(now)s, %(pool)s, %(run)s, 'device', id, name,
       CASE WHEN was_gone THEN 'returned' WHEN has_moved THEN 'moved' ELSE 'changed' END,
       changed_fields(old, new), changed_fields(new, old)
FROM (
    SELECT d.id, n.name || ' ' || i.ref AS name, d.node_id <> i.node_id AS has_moved,
           d.missing_since IS NOT NULL OR d.retired_at IS NOT NULL AS was_gone,
           jsonb_build_object('node', before_node.name, 'ref', d.ref, 'index', d.index, 'model_text', d.model_text,
               'profile', d.profile, 'uuid', d.uuid, 'serial', d.serial, 'pci_id', d.pci_id,
               'pci_address', d.pci_address, 'memory_mib', d.memory_mib, 'total_milli', d.total_milli,
               'shadow_milli', d.shadow_milli, 'health', d.health, 'health_reason', d.health_reason,
               'link_group', d.link_group, 'numa_node', d.numa_node, 'attributes', d.attributes) AS old,
           jsonb_build_object('node', n.name, 'ref', i.ref, 'index', i.index, 'model_text', i.model_text,
               'profile', i.profile, 'uuid', coalesce(i.uuid, d.uuid), 'serial', coalesce(i.serial, d.serial),
               'pci_id', i.pci_id, 'pci_address', i.pci_address, 'memory_mib', i.memory_mib,
               'total_milli', i.total_milli, 'shadow_milli', i.shadow_milli, 'health', i.health,
               'health_reason', i.health_reason, 'link_group', i.link_group, 'numa_node', i.numa_node,
               'attributes', i.attributes) AS new
    FROM incoming_device i JOIN device d ON d.id = i.id JOIN incoming_node n ON n.id = i.node_id
        JOIN node before_node ON before_node.id = d.node_id
    WHERE i.differs) pairs
WHERE was_gone OR has_moved OR old <> new;

-- A device that moved, changed its model or came back from retirement is placed anew; where it was, zeros stay behind.
UPDATE device d SET node_id = i.node_id, ref = i.ref, index = i.index, vendor = i.vendor, model_id = i.model_id,
    model_text = i.model_text, profile = i.profile, uuid = coalesce(i.uuid, d.uuid),
    serial = coalesce(i.serial, d.serial), pci_id = i.pci_id, pci_address = i.pci_address, memory_mib = i.memory_mib,
    total_milli = i.total_milli, shadow_milli = i.shadow_milli, shadow_mib = i.shadow_mib, own_milli = i.own_milli,
    own_mib = i.own_mib, health = i.health, health_reason = i.health_reason, link_group = i.link_group, numa_node = i.numa_node, uses = i.uses,
    attributes = i.attributes, missing_since = NULL, misses = 0, retired_at = NULL, changed_at = %(now)s,
    is_elsewhere = CASE WHEN d.retired_at IS NULL THEN d.is_elsewhere ELSE i.is_elsewhere END,
    capacity_id = CASE WHEN kept THEN d.capacity_id END, position = CASE WHEN kept THEN d.position END
FROM (SELECT i.*, d.node_id = i.node_id AND d.model_id IS NOT DISTINCT FROM i.model_id AND d.retired_at IS NULL
             AND d.profile IS NOT DISTINCT FROM i.profile AND d.capacity_id IS NOT NULL AS kept
      FROM incoming_device i JOIN device d ON d.id = i.id WHERE i.differs) i
WHERE d.id = i.id;

-- Known devices without a position: the one they had in this capacity row before, which is nobody else's, or behind all
-- others of the row. A card that goes to and fro would make the row longer for ever.
UPDATE device d SET capacity_id = placed.capacity_id, position = placed.position
FROM (
    SELECT i.id, coalesce(c.id, i.capacity_id) AS capacity_id, coalesce(array_position(c.device_ids, i.id),
           coalesce(cardinality(c.device_ids), 0)
           + (SELECT count(*) FROM incoming_device fresh WHERE fresh.is_new AND fresh.node_id = i.node_id
                AND fresh.model_id = i.model_id AND fresh.profile IS NOT DISTINCT FROM i.profile)
           + row_number() OVER (PARTITION BY i.node_id, i.model_id, i.profile,
                array_position(c.device_ids, i.id) IS NULL ORDER BY i.seq)) AS position
    FROM incoming_device i JOIN device placeless ON placeless.id = i.id AND placeless.capacity_id IS NULL
        LEFT JOIN LATERAL (
            SELECT id, device_ids, kind, model_id, profile FROM capacity
            WHERE pool_id = %(pool)s AND node_id = i.node_id OFFSET 0) c
            ON c.kind = 'cards' AND c.model_id = i.model_id AND c.profile IS NOT DISTINCT FROM i.profile
    WHERE i.differs) placed
WHERE d.id = placed.id;
