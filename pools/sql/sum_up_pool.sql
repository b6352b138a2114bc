-- A counter of which no node tells any more, for its cards are given out by another name, has nothing.
UPDATE capacity c SET units = 0, pos_total_milli = '{0}', pos_total_mib = '{0}', pos_shadow_milli = '{0}',
    pos_shadow_mib = '{0}', pos_faulty_milli = '{0}', pos_faulty_mib = '{0}', ceiling_milli = c.claimed_milli + c.held_milli
WHERE c.pool_id = %(pool)s AND c.node_id IS NULL AND c.kind = 'counter' AND c.total_milli > 0
    AND NOT EXISTS (
        SELECT FROM capacity n WHERE n.pool_id = c.pool_id AND n.node_id IS NOT NULL AND n.is_advisory
            AND n.kind IN ('cards', 'counter') AND n.resource = c.resource
            AND (n.model_id, n.profile) IS NOT DISTINCT FROM (c.model_id, c.profile));
-- The pool's own counters, which claims take from where the platform promises no node: sums of the nodes' rows.
-- MiB that are neither free nor out of order are in use, also the rest of a card whose milli are all taken, so that as
-- many MiB are free here as on the nodes.
WITH sums AS (
    SELECT model_id, profile, resource, max(unit_milli) AS unit_milli, least(sum(units), 2147483647)::integer AS units,
           least(sum(total_milli), 2147483647)::integer AS total_milli,
           least(sum(shadow_milli), 2147483647)::integer AS shadow_milli,
           least(sum(faulty_milli), 2147483647)::integer AS faulty_milli, sum(mib.total)::bigint AS total_mib,
           sum(mib.total - mib.faulty - least(free_mib, mib.total - mib.faulty))::bigint AS shadow_mib,
           sum(mib.faulty)::bigint AS faulty_mib
    FROM capacity CROSS JOIN LATERAL (
        SELECT coalesce(sum(total), 0) AS total, coalesce(sum(least(faulty, greatest(total - shadow, 0))), 0) AS faulty
        FROM unnest(pos_total_mib, pos_shadow_mib, pos_faulty_mib) position (total, shadow, faulty)) mib
    WHERE pool_id = %(pool)s AND node_id IS NOT NULL AND kind IN ('cards', 'counter') AND is_advisory
    GROUP BY model_id, profile, resource)
INSERT INTO capacity AS c (id, pool_id, kind, model_id, profile, resource, is_advisory, unit_milli, units, uses,
    device_ids, pos_total_milli, pos_total_mib, pos_shadow_milli, pos_shadow_mib, pos_faulty_milli, pos_faulty_mib,
    pos_claimed_milli, pos_claimed_mib, pos_held_milli, pos_held_mib, layout, ceiling_milli)
SELECT new_id(), %(pool)s, 'counter', model_id, profile, resource, false, unit_milli, units, '[]', '{}',
    ARRAY[total_milli], ARRAY[total_mib], ARRAY[shadow_milli], ARRAY[shadow_mib], ARRAY[faulty_milli],
    ARRAY[faulty_mib], '{0}', '{0}', '{0}', '{0}', '{}', total_milli
FROM sums
ON CONFLICT (pool_id, node_id, kind, model_id, profile, resource) DO UPDATE SET
    unit_milli = excluded.unit_milli, units = excluded.units, pos_total_milli = excluded.pos_total_milli,
    pos_total_mib = excluded.pos_total_mib, pos_shadow_milli = excluded.pos_shadow_milli,
    pos_shadow_mib = excluded.pos_shadow_mib, pos_faulty_milli = excluded.pos_faulty_milli,
    pos_faulty_mib = excluded.pos_faulty_mib,
    ceiling_milli = greatest(excluded.pos_total_milli[1], c.claimed_milli + c.held_milli)
WHERE (c.unit_milli, c.units, c.pos_total_milli, c.pos_total_mib, c.pos_shadow_milli, c.pos_shadow_mib,
       c.pos_faulty_milli, c.pos_faulty_mib)
    IS DISTINCT FROM (excluded.unit_milli, excluded.units, excluded.pos_total_milli, excluded.pos_total_mib,
        excluded.pos_shadow_milli, excluded.pos_shadow_mib, excluded.pos_faulty_milli, excluded.pos_faulty_mib);
