-- As in 0009_bookings, and the MiB that bookings take together at most: a plan asks for them as for the milli.
ALTER TABLE capacity ALTER pos_booked_peak_mib SET DEFAULT '{}';

CREATE OR REPLACE FUNCTION booking_derive() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE touched uuid[];
BEGIN
    SELECT array_agg(DISTINCT capacity_id) INTO touched FROM changed_rows;
    IF touched IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM 1 FROM capacity WHERE id = ANY(touched) ORDER BY id FOR NO KEY UPDATE;
    UPDATE capacity c SET pos_booked_from_at = coalesce(d.from_at, '{}'), pos_booked_peak_milli = coalesce(d.milli, '{}'),
        pos_booked_peak_mib = coalesce(d.mib, '{}')
    FROM unnest(touched) t (id) LEFT JOIN LATERAL (
        SELECT array_agg(first.at ORDER BY place) AS from_at, array_agg(coalesce(peak.milli, 0) ORDER BY place) AS milli,
               array_agg(coalesce(peak.memory_mib, 0) ORDER BY place) AS mib
        FROM generate_series(1, (SELECT max(position) FROM booking WHERE capacity_id = t.id)) place
            CROSS JOIN LATERAL (
                SELECT min(start_at) FROM booking WHERE capacity_id = t.id AND position = place) first (at)
            LEFT JOIN LATERAL booked_peak(t.id, place) peak ON first.at IS NOT NULL) d ON true
    WHERE c.id = t.id;
    RETURN NULL;
END $$;

-- Rows with bookings are few; what there is of them is derived anew.
UPDATE capacity c SET pos_booked_peak_mib = (
    SELECT array_agg((booked_peak(c.id, place)).memory_mib ORDER BY place)
    FROM generate_series(1, cardinality(c.pos_booked_from_at)) place)
WHERE id IN (SELECT capacity_id FROM booking);
