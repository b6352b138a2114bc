-- How many of the incoming devices are new, differ, are as recorded; and which of them move to another node.
SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE differs), count(*) FILTER (WHERE NOT is_new AND NOT differs),
    array_agg(id) FILTER (WHERE moves)
FROM (
    SELECT i.id, i.is_new, NOT i.is_new AND d.node_id <> i.node_id AS moves,
        NOT i.is_new AND (d.node_id <> i.node_id OR d.missing_since IS NOT NULL OR d.retired_at IS NOT NULL
            OR (d.ref, d.index, d.model_text, d.profile, d.pci_id, d.pci_address, d.memory_mib, d.total_milli,
                d.shadow_milli, d.health, d.health_reason, d.link_group, d.numa_node, d.uses, d.attributes)
               IS DISTINCT FROM
               (i.ref, i.index, i.model_text, i.profile, i.pci_id, i.pci_address, i.memory_mib, i.total_milli,
                i.shadow_milli, i.health, i.health_reason, i.link_group, i.numa_node, i.uses, i.attributes)) AS differs
    FROM incoming_device i LEFT JOIN device d ON d.id = i.id AND NOT i.is_new) compared;
