-- Devices and counters of which another part is explained by claims than is recorded. Counters of a pool that promises
-- nodes do not tell what is claims' own, for claims themselves write that.
SELECT 'device', d.id, d.node_id, d.total_milli, d.memory_mib, d.uses::text
FROM device d CROSS JOIN LATERAL (
    SELECT least(coalesce(sum((u ->> 'milli')::bigint) FILTER (WHERE u ->> 'marker' = ANY(%(explained)s::text[])), 0),
            d.total_milli) AS own,
        least(coalesce(sum((u ->> 'milli')::bigint)
            FILTER (WHERE (u ->> 'marker' = ANY(%(explained)s::text[])) IS NOT TRUE), 0), d.total_milli) AS shadow
    FROM jsonb_array_elements(d.uses) u) now
WHERE d.pool_id = %(pool)s AND d.uses @? '$[*].marker' AND d.retired_at IS NULL
    AND (now.own <> d.own_milli OR now.shadow <> d.shadow_milli)
UNION ALL
SELECT 'counter', c.id, c.node_id, c.pos_total_milli[1], c.pos_total_mib[1], c.uses::text
FROM capacity c CROSS JOIN LATERAL (
    SELECT least(coalesce(sum((u ->> 'milli')::bigint) FILTER (WHERE u ->> 'marker' = ANY(%(explained)s::text[])), 0),
            c.pos_total_milli[1]) AS own,
        least(coalesce(sum((u ->> 'milli')::bigint)
            FILTER (WHERE (u ->> 'marker' = ANY(%(explained)s::text[])) IS NOT TRUE), 0), c.pos_total_milli[1]) AS shadow
    FROM jsonb_array_elements(c.uses) u) now
WHERE c.pool_id = %(pool)s AND c.kind = 'counter' AND c.node_id IS NOT NULL AND c.uses @? '$[*].marker'
    AND (now.shadow <> c.pos_shadow_milli[1] OR (c.is_advisory AND now.own <> c.pos_claimed_milli[1]));
