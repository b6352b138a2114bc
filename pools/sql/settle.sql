-- Missing: not shown by this observation. Each further complete observation counts one more miss.
INSERT INTO inventory_change (at, pool_id, run_id, object_kind, object_id, object_name, action, before)
SELECT %(now)s, n.pool_id, %(run)s, 'node', n.id, n.name, 'missing', jsonb_build_object('devices', n.device_count)
FROM node n JOIN unseen_node u ON u.id = n.id WHERE n.missing_since IS NULL AND n.retired_at IS NULL;

INSERT INTO inventory_change (at, pool_id, run_id, object_kind, object_id, object_name, action, before)
SELECT %(now)s, d.pool_id, %(run)s, 'device', d.id, n.name || ' ' || d.ref, 'missing',
       jsonb_build_object('uuid', d.uuid, 'serial', d.serial, 'model_text', d.model_text)
FROM device d JOIN unseen_device u ON u.id = d.id JOIN node n ON n.id = d.node_id
WHERE d.missing_since IS NULL AND d.retired_at IS NULL;

UPDATE node n SET misses = least(n.misses + 1, 1000), missing_since = coalesce(n.missing_since, %(now)s),
    loss_accepted = n.loss_accepted OR %(accepted)s,
    changed_at = CASE WHEN n.missing_since IS NULL THEN %(now)s ELSE n.changed_at END
FROM unseen_node u WHERE n.id = u.id AND n.retired_at IS NULL;

UPDATE device d SET misses = least(d.misses + 1, 1000), missing_since = coalesce(d.missing_since, %(now)s),
    changed_at = CASE WHEN d.missing_since IS NULL THEN %(now)s ELSE d.changed_at END
FROM unseen_device u WHERE d.id = u.id AND d.retired_at IS NULL;

-- Lock order: roll-ups after capacity rows and before the first change, see merge_counters.
SELECT count(*) FROM (
    SELECT id FROM capacity_rollup WHERE pool_id = %(pool)s ORDER BY id FOR NO KEY UPDATE) locked;

-- A missing node's counters and host row are out of service; refresh_capacity sees to its cards.
UPDATE capacity c SET pos_faulty_milli = c.pos_total_milli, pos_faulty_mib = c.pos_total_mib
FROM unseen_node u WHERE c.pool_id = %(pool)s AND c.node_id = u.id AND c.kind IN ('counter', 'host')
    AND (c.pos_faulty_milli, c.pos_faulty_mib) IS DISTINCT FROM (c.pos_total_milli, c.pos_total_mib);

-- Retired: missing in enough complete observations, for long enough, and held by no claim.
UPDATE node n SET retired_at = %(now)s, changed_at = %(now)s
FROM unseen_node u WHERE n.id = u.id AND n.retired_at IS NULL AND n.misses >= %(misses)s
    AND n.missing_since <= %(now)s - make_interval(secs => %(seconds)s)
    AND NOT EXISTS (SELECT FROM capacity c WHERE c.pool_id = n.pool_id AND c.node_id = n.id
        AND c.claimed_milli + c.held_milli > 0);

UPDATE device SET retired_at = %(now)s, changed_at = %(now)s
WHERE id = ANY(ARRAY(
    SELECT d.id FROM unseen_node u JOIN node n ON n.id = u.id
        CROSS JOIN LATERAL (SELECT id, retired_at FROM device WHERE node_id = n.id OFFSET 0) d
    WHERE n.retired_at = %(now)s AND d.retired_at IS NULL
    UNION
    SELECT d.id FROM unseen_device u JOIN device d ON d.id = u.id
    WHERE d.retired_at IS NULL AND d.misses >= %(misses)s
        AND d.missing_since <= %(now)s - make_interval(secs => %(seconds)s)
        AND NOT EXISTS (SELECT FROM capacity c WHERE c.id = d.capacity_id
            AND c.pos_claimed_milli[d.position] + c.pos_held_milli[d.position] > 0)));

UPDATE capacity c SET units = 0, pos_total_milli = array_fill(0, ARRAY[cardinality(c.pos_total_milli)]),
    pos_total_mib = array_fill(0::bigint, ARRAY[cardinality(c.pos_total_mib)]),
    pos_shadow_milli = array_fill(0, ARRAY[cardinality(c.pos_shadow_milli)]),
    pos_shadow_mib = array_fill(0::bigint, ARRAY[cardinality(c.pos_shadow_mib)]),
    pos_faulty_milli = array_fill(0, ARRAY[cardinality(c.pos_faulty_milli)]),
    pos_faulty_mib = array_fill(0::bigint, ARRAY[cardinality(c.pos_faulty_mib)]), ceiling_milli = 0
FROM node n, unseen_node u WHERE c.pool_id = n.pool_id AND c.node_id = n.id AND n.id = u.id AND n.retired_at = %(now)s
    AND c.kind IN ('counter', 'host');

INSERT INTO inventory_change (at, pool_id, run_id, object_kind, object_id, object_name, action, before)
SELECT %(now)s, n.pool_id, %(run)s, 'node', n.id, n.name, 'retired', jsonb_build_object('devices', n.device_count)
FROM node n JOIN unseen_node u ON u.id = n.id WHERE n.retired_at = %(now)s
UNION ALL
SELECT %(now)s, d.pool_id, %(run)s, 'device', d.id, n.name || ' ' || d.ref, 'retired',
       jsonb_build_object('uuid', d.uuid, 'serial', d.serial, 'model_text', d.model_text)
FROM device d JOIN unseen_device u ON u.id = d.id JOIN node n ON n.id = d.node_id WHERE d.retired_at = %(now)s;

SELECT 'node', 'missing', count(*) FROM node n JOIN unseen_node u ON u.id = n.id WHERE n.missing_since = %(now)s
UNION ALL SELECT 'device', 'missing', count(*) FROM device d JOIN unseen_device u ON u.id = d.id
    WHERE d.missing_since = %(now)s
UNION ALL SELECT 'device', 'missing', count(*) FROM node n JOIN unseen_node u ON u.id = n.id
    CROSS JOIN LATERAL (SELECT missing_since, retired_at FROM device WHERE node_id = n.id OFFSET 0) d
    WHERE n.missing_since = %(now)s AND d.missing_since IS NULL AND d.retired_at IS NULL
UNION ALL SELECT 'node', 'retired', count(*) FROM node n JOIN unseen_node u ON u.id = n.id WHERE n.retired_at = %(now)s
UNION ALL SELECT 'device', 'retired', count(*) FROM device d JOIN refresh_node r ON r.id = d.node_id
    WHERE d.retired_at = %(now)s;
