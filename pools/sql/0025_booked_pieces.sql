-- As in 0009_bookings; and of a card of which pieces are booked all is. Where a piece may lie depends on all that lies on
-- its card, which the guard of claims does not know of what is booked. What is booked beside it does (services/bookings).
ALTER TABLE booking ALTER pieces SET DEFAULT '[]';

CREATE OR REPLACE FUNCTION booked_peak(of_capacity uuid, at_position integer, OUT milli integer, OUT memory_mib bigint)
LANGUAGE sql STABLE AS $$
    SELECT greatest(max(sums.milli), CASE WHEN bool_or(sums.is_cut) THEN 1000 ELSE 0 END)::integer,
           coalesce(max(sums.mib), 0)::bigint
    FROM (
        SELECT sum(turn.sign * b.milli) OVER in_order AS milli, sum(turn.sign * b.memory_mib) OVER in_order AS mib,
               b.pieces <> '[]' AS is_cut
        FROM booking b CROSS JOIN LATERAL (VALUES (b.start_at, 1), (b.end_at, -1)) turn (at, sign)
        WHERE b.capacity_id = of_capacity AND b.position = at_position AND turn.at IS NOT NULL
        WINDOW in_order AS (ORDER BY turn.at, turn.sign ROWS UNBOUNDED PRECEDING)) sums
$$;
