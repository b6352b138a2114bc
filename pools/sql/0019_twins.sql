-- Pairs of devices that are one piece of hardware now, each from both sides. A pair whose cards say by now that they are
-- two, or of which one is retired, is none. OFFSET 0: two index scans for each pair, however large the fleet is.
CREATE VIEW live_twin AS
SELECT t.id, t.found_at, t.device_id, a.pool_id, a.node_id, a.is_elsewhere, a.created_at,
       t.other_id, b.pool_id AS other_pool_id, b.node_id AS other_node_id, b.is_elsewhere AS other_is_elsewhere,
       b.created_at AS other_created_at
FROM (SELECT id, found_at, device_id, other_id FROM device_twin
      UNION ALL SELECT id, found_at, other_id, device_id FROM device_twin) t
    CROSS JOIN LATERAL (SELECT * FROM device WHERE id = t.device_id OFFSET 0) a
    CROSS JOIN LATERAL (SELECT * FROM device WHERE id = t.other_id OFFSET 0) b
WHERE a.retired_at IS NULL AND b.retired_at IS NULL
    AND (a.uuid = b.uuid OR (a.uuid IS NULL OR b.uuid IS NULL) AND a.serial = b.serial
        AND a.profile IS NOT DISTINCT FROM b.profile);

-- Has its pool given a device out, or promised it: is there a claim, a hold, a booking, or a marker of ours on it? Where
-- the pool does not promise single devices, any of those on the row that the device is counted in may be on this one.
CREATE FUNCTION is_promised(of_device uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM device d JOIN pool p ON p.id = d.pool_id JOIN capacity own ON own.id = d.capacity_id
            JOIN capacity c ON c.pool_id = d.pool_id AND (c.id = own.id AND p.grain <> 'pool'
                OR p.grain = 'pool' AND c.node_id IS NULL AND c.kind = 'counter' AND c.resource = own.resource
                    AND (c.model_id, c.profile) IS NOT DISTINCT FROM (own.model_id, own.profile))
        WHERE d.id = of_device AND (d.uses @? '$[*].marker' OR CASE p.grain
            WHEN 'device' THEN c.pos_claimed_milli[d.position] + c.pos_held_milli[d.position] > 0
                OR c.pos_booked_from_at[d.position] IS NOT NULL
            ELSE c.claimed_milli + c.held_milli > 0 OR cardinality(c.pos_booked_from_at) > 0 END))
$$;
