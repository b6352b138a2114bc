-- New devices, each behind the last position of its capacity row; the row itself follows in refresh_new_cards.
INSERT INTO device (id, pool_id, node_id, ref, index, vendor, model_id, model_text, profile, uuid, serial, pci_id,
    pci_address, memory_mib, total_milli, shadow_milli, shadow_mib, own_milli, own_mib, health, health_reason, link_group, numa_node,
    uses, attributes, capacity_id, position, is_elsewhere, misses, created_at, changed_at)
SELECT i.id, %(pool)s, i.node_id, i.ref, i.index, i.vendor, i.model_id, i.model_text, i.profile, i.uuid, i.serial,
    i.pci_id, i.pci_address, i.memory_mib, i.total_milli, i.shadow_milli, i.shadow_mib, i.own_milli, i.own_mib,
    i.health, i.health_reason, i.link_group, i.numa_node, i.uses, i.attributes,
    coalesce(c.id, i.capacity_id), coalesce(cardinality(c.device_ids), 0)
        + row_number() OVER (PARTITION BY i.node_id, i.model_id, i.profile ORDER BY i.seq),
    i.is_elsewhere, 0, %(now)s, %(now)s
FROM incoming_device i LEFT JOIN LATERAL (
    SELECT id, device_ids, kind, model_id, profile FROM capacity
    WHERE pool_id = %(pool)s AND node_id = i.node_id OFFSET 0) c
    ON c.kind = 'cards' AND c.model_id = i.model_id AND c.profile IS NOT DISTINCT FROM i.profile
WHERE i.is_new;
