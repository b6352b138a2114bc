-- Lock order: the capacity rows are ours by now. Several statements change roll-ups from here on, each some of them, so
-- all of the pool's are taken first: a claim takes its own in id order, and the two would wait for each other.
SELECT count(*) FROM (
    SELECT id FROM capacity_rollup WHERE pool_id = %(pool)s ORDER BY id FOR NO KEY UPDATE) locked;

-- Counters of the incoming nodes. One that a node no longer has keeps its row with zeros, for claims may refer to it.
UPDATE capacity c SET units = 0, uses = '[]', pos_total_milli = '{0}', pos_total_mib = '{0}', pos_shadow_milli = '{0}',
    pos_shadow_mib = '{0}', pos_faulty_milli = '{0}', pos_faulty_mib = '{0}',
    pos_claimed_milli = CASE WHEN c.is_advisory THEN '{0}' ELSE c.pos_claimed_milli END,
    pos_claimed_mib = CASE WHEN c.is_advisory THEN '{0}' ELSE c.pos_claimed_mib END,
    ceiling_milli = CASE WHEN c.is_advisory THEN 0 ELSE c.claimed_milli + c.held_milli END
FROM incoming_node n WHERE c.pool_id = %(pool)s AND c.node_id = n.id AND c.kind = 'counter' AND (c.units > 0 OR c.total_milli > 0)
    AND NOT EXISTS (SELECT FROM incoming_counter i WHERE i.node_id = c.node_id AND i.resource = c.resource
        AND i.model_id IS NOT DISTINCT FROM c.model_id AND i.profile IS NOT DISTINCT FROM c.profile);

INSERT INTO capacity AS c (id, pool_id, node_id, kind, model_id, profile, resource, is_advisory, unit_milli, units, uses,
    device_ids, pos_total_milli, pos_total_mib, pos_shadow_milli, pos_shadow_mib, pos_faulty_milli, pos_faulty_mib,
    pos_claimed_milli, pos_claimed_mib, pos_held_milli, pos_held_mib, layout, ceiling_milli)
SELECT i.id, %(pool)s, i.node_id, 'counter', i.model_id, i.profile, i.resource, %(is_advisory)s, i.unit_milli, i.units,
    i.uses, '{}', ARRAY[i.total_milli], ARRAY[i.total_mib], ARRAY[i.shadow_milli], ARRAY[i.shadow_mib],
    ARRAY[CASE WHEN n.is_available THEN i.faulty_milli ELSE i.total_milli END],
    ARRAY[CASE WHEN n.is_available THEN i.faulty_mib ELSE i.total_mib END],
    ARRAY[CASE WHEN %(is_advisory)s THEN i.own_milli ELSE 0 END],
    ARRAY[CASE WHEN %(is_advisory)s THEN i.own_mib ELSE 0 END], '{0}', '{0}', '{}', i.total_milli
FROM incoming_counter i JOIN incoming_node n ON n.id = i.node_id
ON CONFLICT (pool_id, node_id, kind, model_id, profile, resource) DO UPDATE SET
    unit_milli = excluded.unit_milli, units = excluded.units, uses = excluded.uses,
    pos_total_milli = excluded.pos_total_milli, pos_total_mib = excluded.pos_total_mib,
    pos_shadow_milli = excluded.pos_shadow_milli, pos_shadow_mib = excluded.pos_shadow_mib,
    pos_faulty_milli = excluded.pos_faulty_milli, pos_faulty_mib = excluded.pos_faulty_mib,
    pos_claimed_milli = CASE WHEN c.is_advisory THEN excluded.pos_claimed_milli ELSE c.pos_claimed_milli END,
    pos_claimed_mib = CASE WHEN c.is_advisory THEN excluded.pos_claimed_mib ELSE c.pos_claimed_mib END,
    ceiling_milli = greatest(excluded.pos_total_milli[1],
        CASE WHEN c.is_advisory THEN 0 ELSE c.claimed_milli + c.held_milli END)
WHERE (c.unit_milli, c.units, c.uses, c.pos_total_milli, c.pos_total_mib, c.pos_shadow_milli, c.pos_shadow_mib,
       c.pos_faulty_milli, c.pos_faulty_mib, CASE WHEN c.is_advisory THEN c.pos_claimed_milli END,
       CASE WHEN c.is_advisory THEN c.pos_claimed_mib END)
    IS DISTINCT FROM (excluded.unit_milli, excluded.units, excluded.uses, excluded.pos_total_milli,
       excluded.pos_total_mib, excluded.pos_shadow_milli, excluded.pos_shadow_mib, excluded.pos_faulty_milli,
       excluded.pos_faulty_mib, CASE WHEN c.is_advisory THEN excluded.pos_claimed_milli END,
       CASE WHEN c.is_advisory THEN excluded.pos_claimed_mib END);
