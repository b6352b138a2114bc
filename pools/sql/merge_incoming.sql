-- Temporary tables of one merge transaction: one row a changed node, device, counter.
CREATE TEMP TABLE IF NOT EXISTS incoming_node (
    id uuid, is_new boolean, ref text, name text, uuid text, serial text, topology jsonb, topology_path text,
    labels jsonb, cpu_milli bigint, memory_mib bigint, cpu_used_milli bigint, memory_used_mib bigint,
    device_count integer, is_available boolean, unavailable_reason text, unknown_resources jsonb, fingerprint bigint
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS incoming_device (
    id uuid, node_id uuid, capacity_id uuid, seq integer, ref text, index integer, vendor text, model_id uuid,
    model_text text, profile text, uuid text, serial text, pci_id text, pci_address text, memory_mib integer,
    total_milli integer, shadow_milli integer, shadow_mib integer, own_milli integer, own_mib integer, health text,
    health_reason text, link_group text, numa_node integer, uses jsonb, attributes jsonb, is_new boolean NOT NULL DEFAULT true,
    differs boolean NOT NULL DEFAULT false, is_elsewhere boolean NOT NULL DEFAULT false
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS incoming_counter (
    id uuid, node_id uuid, resource text, model_id uuid, profile text, unit_milli integer, units integer,
    total_milli integer, total_mib bigint, shadow_milli integer, shadow_mib bigint, own_milli integer, own_mib bigint,
    faulty_milli integer, faulty_mib bigint, uses jsonb
) ON COMMIT DELETE ROWS;
CREATE INDEX IF NOT EXISTS incoming_node_id ON incoming_node (id);
CREATE INDEX IF NOT EXISTS incoming_device_id ON incoming_device (id);
CREATE TEMP TABLE IF NOT EXISTS refresh_node (id uuid, is_new boolean) ON COMMIT DELETE ROWS;
