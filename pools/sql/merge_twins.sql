-- The same hardware in another pool. Of devices that are new here, were retired, or say only now who they are; so it
-- comes before they are written. One serial number with two uuids is not one device.
-- What another pool gives out counts for nothing here. What counts here already goes on to until it is settled by
-- twins_settle, for it may be given out.
WITH shown AS (
    SELECT id, uuid, serial, profile FROM incoming_device WHERE is_new
    UNION ALL
    SELECT i.id, coalesce(i.uuid, d.uuid), coalesce(i.serial, d.serial), i.profile
    FROM incoming_device i CROSS JOIN LATERAL (SELECT uuid, serial, retired_at FROM device WHERE id = i.id OFFSET 0) d
    WHERE NOT i.is_new AND (d.retired_at IS NOT NULL OR coalesce(i.uuid, d.uuid) IS DISTINCT FROM d.uuid
        OR coalesce(i.serial, d.serial) IS DISTINCT FROM d.serial)),
found AS MATERIALIZED (
    SELECT s.id, o.id AS other_id, o.is_elsewhere
    FROM shown s CROSS JOIN LATERAL (
        SELECT id, pool_id, is_elsewhere, retired_at FROM device WHERE uuid = s.uuid OFFSET 0) o
    WHERE o.pool_id <> %(pool)s AND o.retired_at IS NULL
    UNION
    SELECT s.id, o.id, o.is_elsewhere
    FROM shown s CROSS JOIN LATERAL (
        SELECT id, pool_id, uuid, profile, is_elsewhere, retired_at FROM device WHERE serial = s.serial OFFSET 0) o
    WHERE o.pool_id <> %(pool)s AND o.retired_at IS NULL AND o.profile IS NOT DISTINCT FROM s.profile
        AND (s.uuid IS NULL OR o.uuid IS NULL)),
recorded AS (
    INSERT INTO device_twin (device_id, other_id, found_at)
    SELECT least(id, other_id), greatest(id, other_id), %(now)s FROM found
    ON CONFLICT DO NOTHING)
UPDATE incoming_device i SET is_elsewhere = true WHERE i.id IN (SELECT id FROM found WHERE NOT is_elsewhere);
