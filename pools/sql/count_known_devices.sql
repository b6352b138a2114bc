-- Of the incoming devices that are known: how many differ, how many do not, and which move to another node.
SELECT count(*) FILTER (WHERE differs), count(*) FILTER (WHERE NOT differs), array_agg(id) FILTER (WHERE moves)
FROM (
    SELECT i.id, d.node_id <> i.node_id AS moves,
        d.node_id <> i.node_id OR d.missing_since IS NOT NULL OR d.retired_at IS NOT NULL
            OR (d.ref, d.index, d.model_text, d.profile, d.pci_id, d.pci_address, d.memory_mib, d.total_milli,
                d.shadow_milli, d.health, d.health_reason, d.link_group, d.numa_node, d.uses, d.attributes, d.uuid,
                d.serial)
               IS DISTINCT FROM
               (i.ref, i.index, i.model_text, i.profile, i.pci_id, i.pci_address, i.memory_mib, i.total_milli,
                i.shadow_milli, i.health, i.health_reason, i.link_group, i.numa_node, i.uses, i.attributes,
                coalesce(i.uuid, d.uuid), coalesce(i.serial, d.serial)) AS differs
    FROM incoming_device i JOIN device d ON d.id = i.id WHERE NOT i.is_new) compared;
