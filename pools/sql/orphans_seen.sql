-- Opens an orphan for each marker of the pool's recorded uses that no claim explains, or tells anew what it uses. A
-- quota that a removed pool left stays that one: see orphans_over.
WITH used AS (
    SELECT u ->> 'marker' AS marker, u ->> 'holder' AS holder, n.id AS node_id, n.name AS node, d.ref AS device,
        (u ->> 'milli')::bigint AS milli, coalesce((u ->> 'memory_mib')::bigint, 0) AS mib
    FROM device d CROSS JOIN LATERAL jsonb_array_elements(d.uses) u
        CROSS JOIN LATERAL (SELECT id, name FROM node WHERE id = d.node_id OFFSET 0) n
    WHERE d.pool_id = %(pool)s AND d.uses @? '$[*].marker' AND d.retired_at IS NULL
        AND u ->> 'marker' = ANY(%(markers)s::text[])
    UNION ALL
    SELECT u ->> 'marker', u ->> 'holder', n.id, n.name, c.resource, (u ->> 'milli')::bigint,
        coalesce((u ->> 'memory_mib')::bigint, 0)
    FROM capacity c CROSS JOIN LATERAL jsonb_array_elements(c.uses) u
        CROSS JOIN LATERAL (SELECT id, name FROM node WHERE id = c.node_id OFFSET 0) n
    WHERE c.pool_id = %(pool)s AND c.kind = 'counter' AND c.uses @? '$[*].marker'
        AND u ->> 'marker' = ANY(%(markers)s::text[])),
numbered AS (
    SELECT *, row_number() OVER (PARTITION BY marker ORDER BY node, device) AS number FROM used)
INSERT INTO orphan AS o (id, pool_id, marker, holder, node_id, milli, memory_mib, places, origin, opened_at)
SELECT new_id(), %(pool)s, marker, left(min(holder), 255), (array_agg(node_id ORDER BY number))[1], sum(milli), sum(mib),
    jsonb_agg(jsonb_build_object('node', node, 'device', device) ORDER BY number) FILTER (WHERE number <= 20), 'seen',
    %(now)s
FROM numbered GROUP BY marker
ON CONFLICT (pool_id, marker) WHERE closed_at IS NULL DO UPDATE SET holder = excluded.holder, node_id = excluded.node_id,
    milli = excluded.milli, memory_mib = excluded.memory_mib, places = excluded.places,
    origin = CASE WHEN (SELECT grain FROM pool WHERE id = o.pool_id) = 'pool' THEN o.origin ELSE 'seen' END
WHERE (o.holder, o.node_id, o.milli, o.memory_mib, o.places) IS DISTINCT FROM
        (excluded.holder, excluded.node_id, excluded.milli, excluded.memory_mib, excluded.places)
    OR o.origin <> 'seen' AND (SELECT grain FROM pool WHERE id = o.pool_id) <> 'pool';
