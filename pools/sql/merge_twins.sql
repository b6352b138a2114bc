-- The same hardware in another pool: shown to an operator.
INSERT INTO device_twin (device_id, other_id, found_at)
SELECT least(i.id, o.id), greatest(i.id, o.id), %(now)s
FROM incoming_device i CROSS JOIN LATERAL (SELECT id, pool_id, retired_at FROM device WHERE uuid = i.uuid OFFSET 0) o
WHERE i.is_new AND o.pool_id <> %(pool)s AND o.retired_at IS NULL
UNION
SELECT least(i.id, o.id), greatest(i.id, o.id), %(now)s
FROM incoming_device i CROSS JOIN LATERAL (
    SELECT id, pool_id, retired_at FROM device WHERE serial = i.serial AND profile IS NOT DISTINCT FROM i.profile
    OFFSET 0) o
WHERE i.is_new AND o.pool_id <> %(pool)s AND o.retired_at IS NULL
ON CONFLICT DO NOTHING;
