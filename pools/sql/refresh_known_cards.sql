-- Makes the cards rows of the nodes in refresh_node equal to what is recorded of their devices. A device that is gone
-- leaves zeros at its position, a new one goes behind the last. What claims own is not touched.
UPDATE capacity c SET units = r.units, is_advisory = %(is_advisory)s, device_ids = r.device_ids,
    pos_total_milli = r.total_milli, pos_total_mib = r.total_mib, pos_shadow_milli = r.shadow_milli,
    pos_shadow_mib = r.shadow_mib, pos_faulty_milli = r.faulty_milli, pos_faulty_mib = r.faulty_mib,
    pos_claimed_milli = c.pos_claimed_milli || array_fill(0, ARRAY[r.added]),
    pos_claimed_mib = c.pos_claimed_mib || array_fill(0::bigint, ARRAY[r.added]),
    pos_held_milli = c.pos_held_milli || array_fill(0, ARRAY[r.added]),
    pos_held_mib = c.pos_held_mib || array_fill(0::bigint, ARRAY[r.added]),
    ceiling_milli = greatest((SELECT sum(t) FROM unnest(r.total_milli) t), c.claimed_milli + c.held_milli)
FROM (
    SELECT capacity_id, count(live_id) AS units, max(size) - max(size_before) AS added,
           array_agg(coalesce(live_id, old_id)) AS device_ids, array_agg(total_milli) AS total_milli,
           array_agg(total_mib) AS total_mib, array_agg(shadow_milli) AS shadow_milli,
           array_agg(shadow_mib) AS shadow_mib, array_agg(total_milli * out) AS faulty_milli,
           array_agg(total_mib * out) AS faulty_mib
    FROM (
        SELECT c.id AS capacity_id, p.position, p.size, cardinality(c.device_ids) AS size_before,
               c.device_ids[p.position] AS old_id, d.id AS live_id, coalesce(d.total_milli, 0) AS total_milli,
               (CASE WHEN d.total_milli > 0 THEN d.memory_mib ELSE 0 END)::bigint AS total_mib,
               coalesce(d.shadow_milli, 0) AS shadow_milli, coalesce(d.shadow_mib, 0)::bigint AS shadow_mib,
               CASE WHEN d.health = 'ok' AND d.missing_since IS NULL AND n.is_available AND n.missing_since IS NULL
                    THEN 0 ELSE 1 END AS out
        FROM capacity c JOIN refresh_node r ON r.id = c.node_id AND NOT r.is_new JOIN node n ON n.id = c.node_id
        CROSS JOIN LATERAL (
            SELECT greatest(cardinality(c.device_ids), (SELECT max(position) FROM device
                WHERE node_id = c.node_id AND capacity_id = c.id AND retired_at IS NULL)) AS size) s
        CROSS JOIN LATERAL (SELECT generate_series(1, s.size) AS position, s.size) p
        LEFT JOIN device d ON d.node_id = c.node_id AND d.capacity_id = c.id AND d.position = p.position
            AND d.retired_at IS NULL
        WHERE c.kind = 'cards'
        ORDER BY c.id, p.position) ordered
    GROUP BY capacity_id) r
WHERE c.id = r.capacity_id
    AND (c.device_ids, c.units, c.pos_total_milli, c.pos_total_mib, c.pos_shadow_milli, c.pos_shadow_mib,
         c.pos_faulty_milli, c.pos_faulty_mib, c.is_advisory)
        IS DISTINCT FROM (r.device_ids, r.units::integer, r.total_milli, r.total_mib, r.shadow_milli, r.shadow_mib,
         r.faulty_milli, r.faulty_mib, %(is_advisory)s);
