-- Cards rows that are not there yet, for the nodes in refresh_node, from what is recorded of their devices.
-- Out of service (unwell, missing, node not available) is faulty: in the total, but for nobody. What another pool gives
-- out is in no total.
WITH live AS MATERIALIZED (
    SELECT d.capacity_id, d.position, d.id, d.node_id, d.model_id, d.profile,
           CASE WHEN d.is_elsewhere THEN 0 ELSE d.total_milli END AS total_milli,
           (CASE WHEN d.total_milli > 0 AND NOT d.is_elsewhere THEN d.memory_mib ELSE 0 END)::bigint AS total_mib, d.shadow_milli,
           d.shadow_mib::bigint AS shadow_mib, d.attributes ->> 'resource' AS resource, CASE WHEN %(is_advisory)s THEN d.own_milli ELSE 0 END AS own_milli,
           CASE WHEN %(is_advisory)s THEN d.own_mib ELSE 0 END::bigint AS own_mib,
           coalesce(d.link_group, '') AS link_group,
           CASE WHEN d.health = 'ok' AND d.missing_since IS NULL AND n.is_available AND n.missing_since IS NULL
                THEN 0 ELSE 1 END AS out
    FROM refresh_node r CROSS JOIN LATERAL (SELECT * FROM node WHERE id = r.id OFFSET 0) n
    -- The condition stays outside: inside, the planner reads the whole of a partial index of devices that are there.
    CROSS JOIN LATERAL (SELECT * FROM device WHERE node_id = r.id OFFSET 0) d
    WHERE d.retired_at IS NULL),
wanted AS (
    SELECT capacity_id, node_id, model_id, profile, count(*) AS units,
           array_agg(id) AS device_ids, array_agg(position) AS positions,
           array_agg(total_milli) AS total_milli, array_agg(total_mib) AS total_mib,
           array_agg(shadow_milli) AS shadow_milli, array_agg(shadow_mib) AS shadow_mib,
           array_agg(own_milli) AS own_milli, array_agg(own_mib) AS own_mib,
           array_agg(total_milli * out) AS faulty_milli, array_agg(total_mib * out) AS faulty_mib,
           array_agg(link_group) AS link_groups, coalesce(max(resource), '') AS resource
    FROM (SELECT * FROM live ORDER BY capacity_id, position) ordered
    GROUP BY capacity_id, node_id, model_id, profile)
INSERT INTO capacity (id, pool_id, node_id, kind, model_id, profile, resource, is_advisory, unit_milli, units, uses,
    device_ids, pos_total_milli, pos_total_mib, pos_shadow_milli, pos_shadow_mib, pos_faulty_milli, pos_faulty_mib,
    pos_claimed_milli, pos_claimed_mib, pos_held_milli, pos_held_mib, layout, pos_link_group, ceiling_milli)
SELECT w.capacity_id, %(pool)s, w.node_id, 'cards', w.model_id, w.profile, w.resource, %(is_advisory)s, 1000, w.units, '[]',
    w.device_ids, w.total_milli, w.total_mib, w.shadow_milli, w.shadow_mib, w.faulty_milli, w.faulty_mib,
    w.own_milli, w.own_mib,
    array_fill(0, ARRAY[w.units::integer]), array_fill(0::bigint, ARRAY[w.units::integer]), '{}',
    w.link_groups, (SELECT sum(t) FROM unnest(w.total_milli) t)
FROM wanted w WHERE NOT EXISTS (SELECT FROM capacity c WHERE c.id = w.capacity_id OFFSET 0);
