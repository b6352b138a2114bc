-- The hardware's own id goes before where it is plugged in. Two devices that answer to one name are nobody.
WITH reading AS (
    SELECT row_number() OVER () AS number, * FROM incoming_reading
), here AS (
    SELECT d.id, d.uuid, d.ref, d.index, lower(d.pci_address) AS pci_address, n.ref AS node_ref, n.name AS node_name
    FROM device d JOIN node n ON n.id = d.node_id
    WHERE d.pool_id = %(pool)s AND d.retired_at IS NULL
), found AS (
    SELECT r.number, d.id, 1 AS rank FROM reading r JOIN here d ON d.uuid = r.uuid
    UNION ALL
    SELECT r.number, d.id, 2 FROM reading r JOIN here d ON d.pci_address = lower(r.pci_address)
        AND r.node IN (d.node_ref, d.node_name)
    UNION ALL
    SELECT r.number, d.id, 3 FROM reading r JOIN here d ON d.ref = r.ref AND r.node IN (d.node_ref, d.node_name)
    UNION ALL
    SELECT r.number, d.id, 4 FROM reading r JOIN here d ON d.index = r.index AND r.node IN (d.node_ref, d.node_name)
        WHERE r.uuid IS NULL AND r.pci_address IS NULL AND r.ref IS NULL
), ranked AS (
    SELECT number, (array_agg(DISTINCT id))[1] AS device_id, count(DISTINCT id) AS devices, rank,
        row_number() OVER (PARTITION BY number ORDER BY rank) AS place
    FROM found GROUP BY number, rank
)
INSERT INTO device_usage_hour AS h (device_id, hour_at, pool_id, samples,
    utilisation_count, utilisation_sum, utilisation_max, memory_count, memory_sum, memory_max,
    power_count, power_sum, power_max, temperature_max)
SELECT f.device_id, r.hour_at, %(pool)s, count(*),
    count(r.utilisation), sum(r.utilisation), max(r.utilisation), count(r.memory), sum(r.memory), max(r.memory),
    count(r.power), sum(r.power), max(r.power), max(r.temperature)
FROM reading r JOIN ranked f ON f.number = r.number AND f.place = 1 AND f.devices = 1
GROUP BY f.device_id, r.hour_at
ORDER BY f.device_id, r.hour_at
ON CONFLICT (device_id, hour_at) DO UPDATE SET
    samples = h.samples + EXCLUDED.samples,
    utilisation_count = h.utilisation_count + EXCLUDED.utilisation_count,
    utilisation_sum = CASE WHEN h.utilisation_sum IS NULL THEN EXCLUDED.utilisation_sum
        ELSE h.utilisation_sum + coalesce(EXCLUDED.utilisation_sum, 0) END,
    utilisation_max = greatest(h.utilisation_max, EXCLUDED.utilisation_max),
    memory_count = h.memory_count + EXCLUDED.memory_count,
    memory_sum = CASE WHEN h.memory_sum IS NULL THEN EXCLUDED.memory_sum
        ELSE h.memory_sum + coalesce(EXCLUDED.memory_sum, 0) END,
    memory_max = greatest(h.memory_max, EXCLUDED.memory_max),
    power_count = h.power_count + EXCLUDED.power_count,
    power_sum = CASE WHEN h.power_sum IS NULL THEN EXCLUDED.power_sum
        ELSE h.power_sum + coalesce(EXCLUDED.power_sum, 0) END,
    power_max = greatest(h.power_max, EXCLUDED.power_max),
    temperature_max = greatest(h.temperature_max, EXCLUDED.temperature_max);
