-- Lock order: roll-ups after capacity rows and before the first change, see merge_counters.
SELECT count(*) FROM (
    SELECT id FROM capacity_rollup WHERE pool_id = %(pool)s ORDER BY id FOR NO KEY UPDATE) locked;

-- The same of counters. What is claims' own is told of advisory ones, from which no claim takes.
UPDATE capacity c SET pos_shadow_milli = ARRAY[n.shadow_milli], pos_shadow_mib = ARRAY[n.shadow_mib],
    pos_claimed_milli = CASE WHEN c.is_advisory THEN ARRAY[n.own_milli] ELSE c.pos_claimed_milli END,
    pos_claimed_mib = CASE WHEN c.is_advisory THEN ARRAY[n.own_mib] ELSE c.pos_claimed_mib END,
    ceiling_milli = CASE WHEN c.is_advisory THEN greatest(c.pos_total_milli[1], n.own_milli) ELSE c.ceiling_milli END
FROM unnest(%(ids)s::uuid[], %(shadow_milli)s::integer[], %(shadow_mib)s::bigint[], %(own_milli)s::integer[],
            %(own_mib)s::bigint[]) n (id, shadow_milli, shadow_mib, own_milli, own_mib)
WHERE c.id = n.id;
