-- The same hardware in another pool: shown to an operator. Of devices that are new here, were retired, or say only now
-- who they are; so it comes before they are written. One serial number with two uuids is not one device.
INSERT INTO device_twin (device_id, other_id, found_at)
WITH shown AS (
    SELECT id, uuid, serial, profile FROM incoming_device WHERE is_new
    UNION ALL
    SELECT i.id, coalesce(i.uuid, d.uuid), coalesce(i.serial, d.serial), i.profile
    FROM incoming_device i CROSS JOIN LATERAL (SELECT uuid, serial, retired_at FROM device WHERE id = i.id OFFSET 0) d
    WHERE NOT i.is_new AND (d.retired_at IS NOT NULL OR coalesce(i.uuid, d.uuid) IS DISTINCT FROM d.uuid
        OR coalesce(i.serial, d.serial) IS DISTINCT FROM d.serial))
SELECT least(s.id, o.id), greatest(s.id, o.id), %(now)s
FROM shown s CROSS JOIN LATERAL (SELECT id, pool_id, retired_at FROM device WHERE uuid = s.uuid OFFSET 0) o
WHERE o.pool_id <> %(pool)s AND o.retired_at IS NULL
UNION
SELECT least(s.id, o.id), greatest(s.id, o.id), %(now)s
FROM shown s CROSS JOIN LATERAL (
    SELECT id, pool_id, uuid, profile, retired_at FROM device WHERE serial = s.serial OFFSET 0) o
WHERE o.pool_id <> %(pool)s AND o.retired_at IS NULL AND o.profile IS NOT DISTINCT FROM s.profile
    AND (s.uuid IS NULL OR o.uuid IS NULL)
ON CONFLICT DO NOTHING;
