-- Makes the cards rows of the nodes in refresh_node equal to what is recorded of their devices. A device that is gone
-- leaves zeros at its position, a new one goes behind the last. What claims own is not touched; of advisory rows, from
-- which no claim takes, it is the use that claims explain. A card that another pool gives out has its position and counts
-- for nothing.
-- OFFSET 0, here and elsewhere: an index scan for each node, see merge_match.
UPDATE capacity c SET units = r.units, is_advisory = %(is_advisory)s, device_ids = r.device_ids,
    pos_total_milli = r.total_milli, pos_total_mib = r.total_mib, pos_shadow_milli = r.shadow_milli,
    pos_shadow_mib = r.shadow_mib, pos_faulty_milli = r.faulty_milli, pos_faulty_mib = r.faulty_mib,
    pos_link_group = r.link_groups, resource = r.resource,
    pos_claimed_milli = CASE WHEN %(is_advisory)s THEN r.own_milli
        ELSE c.pos_claimed_milli || array_fill(0, ARRAY[r.added]) END,
    pos_claimed_mib = CASE WHEN %(is_advisory)s THEN r.own_mib
        ELSE c.pos_claimed_mib || array_fill(0::bigint, ARRAY[r.added]) END,
    pos_held_milli = c.pos_held_milli || array_fill(0, ARRAY[r.added]),
    pos_held_mib = c.pos_held_mib || array_fill(0::bigint, ARRAY[r.added]),
    ceiling_milli = greatest((SELECT sum(t) FROM unnest(r.total_milli) t),
        CASE WHEN %(is_advisory)s THEN (SELECT sum(t) FROM unnest(r.own_milli) t) ELSE c.claimed_milli + c.held_milli END)
FROM (
    SELECT known.id AS capacity_id, sums.*
    FROM refresh_node r CROSS JOIN LATERAL (SELECT * FROM node WHERE id = r.id OFFSET 0) n
    CROSS JOIN LATERAL (SELECT id, device_ids, resource FROM capacity
        WHERE pool_id = %(pool)s AND node_id = r.id AND kind = 'cards' OFFSET 0) known
    CROSS JOIN LATERAL (
        SELECT count(d.id)::integer AS units, count(*)::integer - cardinality(known.device_ids) AS added,
            array_agg(coalesce(d.id, known.device_ids[place]) ORDER BY place) AS device_ids,
            array_agg(coalesce(d.total_milli, 0) ORDER BY place) AS total_milli,
            array_agg(coalesce(d.total_mib, 0) ORDER BY place) AS total_mib,
            array_agg(coalesce(d.shadow_milli, 0) ORDER BY place) AS shadow_milli,
            array_agg(coalesce(d.shadow_mib, 0) ORDER BY place) AS shadow_mib,
            array_agg(coalesce(d.own_milli, 0) ORDER BY place) AS own_milli,
            array_agg(coalesce(d.own_mib, 0) ORDER BY place) AS own_mib,
            array_agg(coalesce(d.total_milli * d.out, 0) ORDER BY place) AS faulty_milli,
            array_agg(coalesce(d.total_mib * d.out, 0) ORDER BY place) AS faulty_mib,
            array_agg(coalesce(d.link_group, '') ORDER BY place) AS link_groups,
            coalesce(max(d.resource), known.resource) AS resource
        FROM (
            SELECT id, position, link_group, shadow_milli,
                CASE WHEN is_elsewhere THEN 0 ELSE total_milli END AS total_milli, shadow_mib::bigint AS shadow_mib,
                attributes ->> 'resource' AS resource, own_milli, own_mib::bigint AS own_mib,
                (CASE WHEN total_milli > 0 AND NOT is_elsewhere THEN memory_mib ELSE 0 END)::bigint AS total_mib,
                CASE WHEN health = 'ok' AND missing_since IS NULL AND n.is_available AND n.missing_since IS NULL
                     THEN 0 ELSE 1 END AS out
            FROM device WHERE node_id = r.id AND capacity_id = known.id AND retired_at IS NULL OFFSET 0) d
        FULL JOIN generate_series(1, cardinality(known.device_ids)) kept ON kept = d.position
        CROSS JOIN LATERAL (SELECT coalesce(kept, d.position) AS place) at) sums
    WHERE NOT r.is_new) r
WHERE c.id = r.capacity_id
    AND (c.device_ids, c.units, c.pos_total_milli, c.pos_total_mib, c.pos_shadow_milli, c.pos_shadow_mib,
         c.pos_faulty_milli, c.pos_faulty_mib, c.pos_link_group, c.resource, c.is_advisory,
         CASE WHEN %(is_advisory)s THEN c.pos_claimed_milli END, CASE WHEN %(is_advisory)s THEN c.pos_claimed_mib END)
        IS DISTINCT FROM (r.device_ids, r.units, r.total_milli, r.total_mib, r.shadow_milli, r.shadow_mib,
         r.faulty_milli, r.faulty_mib, r.link_groups, r.resource, %(is_advisory)s,
         CASE WHEN %(is_advisory)s THEN r.own_milli END, CASE WHEN %(is_advisory)s THEN r.own_mib END);
