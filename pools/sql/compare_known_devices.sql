-- Which incoming devices that are known differ from what is recorded of them? This is the one list of what is compared:
-- what it finds is counted as changed and written. What of that people read is in the change log, merge_known_devices.
UPDATE incoming_device i SET differs = true
FROM device d
WHERE d.id = i.id AND NOT i.is_new
    AND (d.missing_since IS NOT NULL OR d.retired_at IS NOT NULL OR d.capacity_id IS NULL
        OR (d.node_id, d.ref, d.index, d.vendor, d.model_id, d.model_text, d.profile, d.pci_id, d.pci_address,
            d.memory_mib, d.total_milli, d.shadow_milli, d.shadow_mib, d.own_milli, d.own_mib, d.health, d.health_reason,
            d.link_group, d.numa_node, d.uses, d.attributes, d.uuid, d.serial)
           IS DISTINCT FROM
           (i.node_id, i.ref, i.index, i.vendor, i.model_id, i.model_text, i.profile, i.pci_id, i.pci_address,
            i.memory_mib, i.total_milli, i.shadow_milli, i.shadow_mib, i.own_milli, i.own_mib, i.health, i.health_reason,
            i.link_group, i.numa_node, i.uses, i.attributes, coalesce(i.uuid, d.uuid), coalesce(i.serial, d.serial)));

-- How many differ, how many do not, which move to another node, and whether any may have a twin now (merge_twins).
SELECT count(*) FILTER (WHERE i.differs), count(*) FILTER (WHERE NOT i.differs), found.moved, found.is_told
FROM incoming_device i CROSS JOIN (
    SELECT array_agg(i.id) FILTER (WHERE d.node_id <> i.node_id) AS moved, coalesce(bool_or(d.retired_at IS NOT NULL
        OR (coalesce(i.uuid, d.uuid), coalesce(i.serial, d.serial)) IS DISTINCT FROM (d.uuid, d.serial)), false) AS is_told
    FROM incoming_device i JOIN device d ON d.id = i.id WHERE i.differs) found
WHERE NOT i.is_new GROUP BY found.moved, found.is_told;
