-- The pool's own counters, which claims take from where the platform promises no node: sums of the nodes' rows.
WITH sums AS (
    SELECT model_id, profile, resource, max(unit_milli) AS unit_milli, least(sum(units), 2147483647)::integer AS units,
           least(sum(total_milli), 2147483647)::integer AS total_milli,
           least(sum(shadow_milli), 2147483647)::integer AS shadow_milli,
           least(sum(faulty_milli), 2147483647)::integer AS faulty_milli, sum(free_mib)::bigint AS free_mib
    FROM capacity WHERE pool_id = %(pool)s AND node_id IS NOT NULL AND kind IN ('cards', 'counter') AND is_advisory
    GROUP BY model_id, profile, resource)
INSERT INTO capacity AS c (id, pool_id, kind, model_id, profile, resource, is_advisory, unit_milli, units, uses,
    device_ids, pos_total_milli, pos_total_mib, pos_shadow_milli, pos_shadow_mib, pos_faulty_milli, pos_faulty_mib,
    pos_claimed_milli, pos_claimed_mib, pos_held_milli, pos_held_mib, layout, ceiling_milli)
SELECT new_id(), %(pool)s, 'counter', model_id, profile, resource, false, unit_milli, units, '[]', '{}',
    ARRAY[total_milli], ARRAY[free_mib], ARRAY[shadow_milli], '{0}', ARRAY[faulty_milli], '{0}', '{0}', '{0}', '{0}',
    '{0}', '{}', total_milli
FROM sums
ON CONFLICT (pool_id, node_id, kind, model_id, profile, resource) DO UPDATE SET
    unit_milli = excluded.unit_milli, units = excluded.units, pos_total_milli = excluded.pos_total_milli,
    pos_total_mib = excluded.pos_total_mib, pos_shadow_milli = excluded.pos_shadow_milli,
    pos_faulty_milli = excluded.pos_faulty_milli,
    ceiling_milli = greatest(excluded.pos_total_milli[1], c.claimed_milli + c.held_milli)
WHERE (c.unit_milli, c.units, c.pos_total_milli, c.pos_total_mib, c.pos_shadow_milli, c.pos_faulty_milli)
    IS DISTINCT FROM (excluded.unit_milli, excluded.units, excluded.pos_total_milli, excluded.pos_total_mib,
        excluded.pos_shadow_milli, excluded.pos_faulty_milli);
