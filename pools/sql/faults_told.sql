-- Tells allocations in use of what became of the hardware that they have, once, and when it is well again.
-- A claim's devices are known where the pool promises them; else by the marker of what is used.
WITH bad AS (
    SELECT d.id, d.uses, d.capacity_id, d.position,
        CASE WHEN d.missing_since IS NULL THEN 'device_faulty' ELSE 'device_missing' END AS code
    FROM device d
    WHERE d.pool_id = %(pool)s AND d.retired_at IS NULL AND (d.health = 'faulty' OR d.missing_since IS NOT NULL)),
hit AS (
    SELECT l.allocation_id, b.code, b.id FROM bad b JOIN claim l ON l.capacity_id = b.capacity_id
    WHERE (SELECT grain = 'device' FROM pool WHERE id = %(pool)s) AND l.released_at IS NULL AND b.position = ANY(l.positions)
    UNION
    SELECT l.allocation_id, b.code, b.id FROM bad b CROSS JOIN LATERAL jsonb_array_elements(b.uses) u
        JOIN operation o ON o.target_ref = u ->> 'marker' AND o.action = 'apply' AND o.pool_id = %(pool)s
        JOIN claim l ON l.allocation_id = o.allocation_id AND l.member_index = o.member_index
    WHERE l.released_at IS NULL AND l.pool_id = %(pool)s
    UNION
    SELECT l.allocation_id, CASE WHEN n.missing_since IS NULL THEN 'node_unavailable' ELSE 'node_missing' END, n.id
    FROM node n JOIN capacity c ON c.pool_id = n.pool_id AND c.node_id = n.id JOIN claim l ON l.capacity_id = c.id
    WHERE n.pool_id = %(pool)s AND n.retired_at IS NULL AND (n.missing_since IS NOT NULL OR NOT n.is_available)
        AND l.released_at IS NULL),
worst AS (
    SELECT allocation_id, (array_agg(code ORDER BY array_position(%(codes)s::text[], code)))[1] AS code,
        count(DISTINCT id) AS places
    FROM hit GROUP BY allocation_id),
-- Whoever is being changed by others at this moment is told by the next observation.
free AS (
    SELECT a.id, a.reason FROM allocation a
    WHERE a.state = 'active' AND (a.reason = '' OR a.reason = ANY(%(codes)s::text[])) AND a.id IN (
        SELECT allocation_id FROM worst
        UNION SELECT id FROM allocation WHERE pool_id = %(pool)s AND reason = ANY(%(codes)s::text[]))
    ORDER BY a.id FOR NO KEY UPDATE OF a SKIP LOCKED),
changed AS (
    UPDATE allocation a SET reason = coalesce(w.code, ''), changed_at = %(now)s, generation = a.generation + 1
    FROM free f LEFT JOIN worst w ON w.allocation_id = f.id
    WHERE a.id = f.id AND f.reason <> coalesce(w.code, '')
    RETURNING a.id, a.project_id, a.name, a.reason, f.reason AS before, w.places)
INSERT INTO audit_event (at, actor, actor_id, token_prefix, project_id, request_id, reason, action, object_kind,
                         object_id, object_name, before, after)
SELECT %(now)s, %(actor)s, NULL, '', c.project_id, '', '',
    CASE WHEN c.reason = '' THEN 'allocation.well_again' ELSE 'allocation.faulty' END, 'allocation', c.id::text, c.name,
    jsonb_build_object('reason', c.before), jsonb_build_object('reason', c.reason, 'places', coalesce(c.places, 0))
FROM changed c ORDER BY c.id;
