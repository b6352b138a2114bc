-- The host rows of the nodes in refresh_node: CPU and memory, used by others and out of service. A node whose cards are all
-- given out by other pools has none to give beside them.
INSERT INTO capacity AS c (id, pool_id, node_id, kind, resource, is_advisory, unit_milli, units, uses, device_ids,
    pos_total_milli, pos_total_mib, pos_shadow_milli, pos_shadow_mib, pos_faulty_milli, pos_faulty_mib,
    pos_claimed_milli, pos_claimed_mib, pos_held_milli, pos_held_mib, layout, ceiling_milli)
SELECT new_id(), %(pool)s, n.id, 'host', '', %(is_advisory)s, 1000, 1, '[]', '{}', ARRAY[n.cpu_milli::integer],
    ARRAY[n.memory_mib], ARRAY[n.cpu_used_milli::integer], ARRAY[n.memory_used_mib],
    ARRAY[CASE WHEN n.is_available AND n.missing_since IS NULL THEN 0 ELSE n.cpu_milli END::integer],
    ARRAY[CASE WHEN n.is_available AND n.missing_since IS NULL THEN 0 ELSE n.memory_mib END],
    '{0}', '{0}', '{0}', '{0}', '{}', n.cpu_milli
FROM refresh_node r CROSS JOIN LATERAL (
    SELECT id, is_available, missing_since, retired_at, cpu_used_milli, memory_used_mib,
           CASE WHEN cards.are_elsewhere THEN 0 ELSE cpu_milli END AS cpu_milli,
           CASE WHEN cards.are_elsewhere THEN 0 ELSE memory_mib END AS memory_mib
    FROM node CROSS JOIN LATERAL (
        SELECT coalesce(bool_and(is_elsewhere), false) AS are_elsewhere
        FROM (SELECT is_elsewhere, retired_at FROM device WHERE node_id = r.id OFFSET 0) d WHERE retired_at IS NULL) cards
    WHERE id = r.id OFFSET 0) n
WHERE n.retired_at IS NULL
ON CONFLICT (pool_id, node_id, kind, model_id, profile, resource) DO UPDATE SET
    pos_total_milli = excluded.pos_total_milli, pos_total_mib = excluded.pos_total_mib,
    pos_shadow_milli = excluded.pos_shadow_milli, pos_shadow_mib = excluded.pos_shadow_mib,
    pos_faulty_milli = excluded.pos_faulty_milli, pos_faulty_mib = excluded.pos_faulty_mib, units = 1,
    is_advisory = excluded.is_advisory,
    ceiling_milli = greatest(excluded.pos_total_milli[1], c.claimed_milli + c.held_milli)
WHERE (c.pos_total_milli, c.pos_total_mib, c.pos_shadow_milli, c.pos_shadow_mib, c.pos_faulty_milli, c.pos_faulty_mib,
       c.units, c.is_advisory)
    IS DISTINCT FROM (excluded.pos_total_milli, excluded.pos_total_mib, excluded.pos_shadow_milli,
       excluded.pos_shadow_mib, excluded.pos_faulty_milli, excluded.pos_faulty_mib, 1, excluded.is_advisory);
