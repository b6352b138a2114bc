-- What bookings promise of each position, derived from their rows, so that no writer can forget it: from when on there is
-- one, and the most that they take together at any moment. Windows are half open: one that ends frees before one begins.
CREATE FUNCTION booked_peak(of_capacity uuid, at_position integer, OUT milli integer, OUT memory_mib bigint)
LANGUAGE sql STABLE AS $$
    SELECT coalesce(max(sums.milli), 0)::integer, coalesce(max(sums.mib), 0)::bigint FROM (
        SELECT sum(turn.sign * b.milli) OVER in_order AS milli, sum(turn.sign * b.memory_mib) OVER in_order AS mib
        FROM booking b CROSS JOIN LATERAL (VALUES (b.start_at, 1), (b.end_at, -1)) turn (at, sign)
        WHERE b.capacity_id = of_capacity AND b.position = at_position AND turn.at IS NOT NULL
        WINDOW in_order AS (ORDER BY turn.at, turn.sign ROWS UNBOUNDED PRECEDING)) sums
$$;

-- The rows are locked in id order before they are changed, and only then are their bookings read: whoever books or lets go
-- at the same moment is waited for, and seen. Without bookings both lists are empty.
CREATE FUNCTION booking_derive() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE touched uuid[];
BEGIN
    SELECT array_agg(DISTINCT capacity_id) INTO touched FROM changed_rows;
    IF touched IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM 1 FROM capacity WHERE id = ANY(touched) ORDER BY id FOR NO KEY UPDATE;
    UPDATE capacity c SET pos_booked_from_at = coalesce(d.from_at, '{}'), pos_booked_peak_milli = coalesce(d.peak, '{}')
    FROM unnest(touched) t (id) LEFT JOIN LATERAL (
        SELECT array_agg(first.at ORDER BY place) AS from_at,
               array_agg(CASE WHEN first.at IS NULL THEN 0 ELSE (booked_peak(t.id, place)).milli END ORDER BY place) AS peak
        FROM generate_series(1, (SELECT max(position) FROM booking WHERE capacity_id = t.id)) place
            CROSS JOIN LATERAL (
                SELECT min(start_at) FROM booking WHERE capacity_id = t.id AND position = place) first (at)) d ON true
    WHERE c.id = t.id;
    RETURN NULL;
END $$;

CREATE TRIGGER booking_derive_insert AFTER INSERT ON booking
    REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION booking_derive();
CREATE TRIGGER booking_derive_delete AFTER DELETE ON booking
    REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION booking_derive();

-- A window that is moved would have to be guarded anew, so bookings are made and let go, never changed.
CREATE FUNCTION booking_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a booking is made and let go, never changed' USING ERRCODE = 'check_violation',
        CONSTRAINT = 'booking_stays';
END $$;
CREATE TRIGGER booking_stays BEFORE UPDATE ON booking FOR EACH ROW EXECUTE FUNCTION booking_stays();
