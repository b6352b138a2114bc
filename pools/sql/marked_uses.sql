-- Our markers among the recorded uses of a pool. Hardly anything else is read: device_marked has the devices with one.
SELECT u ->> 'marker' FROM device d CROSS JOIN LATERAL jsonb_array_elements(d.uses) u
WHERE d.pool_id = %(pool)s AND d.uses @? '$[*].marker' AND d.retired_at IS NULL AND u ->> 'marker' IS NOT NULL
UNION
SELECT u ->> 'marker' FROM capacity c CROSS JOIN LATERAL jsonb_array_elements(c.uses) u
WHERE c.pool_id = %(pool)s AND c.kind = 'counter' AND c.uses @? '$[*].marker' AND u ->> 'marker' IS NOT NULL;
