-- Which of the markers stand for a claim of the pool that lives, or was given back after the last complete observation?
-- A marker is an order's, or its target's where the platform cannot tell which of the orders is meant.
SELECT marker FROM unnest(%(markers)s::text[]) marker
WHERE EXISTS (
    SELECT FROM operation o JOIN claim l ON l.allocation_id = o.allocation_id AND l.member_index = o.member_index
    WHERE o.target_ref = marker AND o.action = 'apply' AND o.pool_id = %(pool)s AND l.pool_id = %(pool)s
        AND (l.released_at IS NULL OR %(since)s::timestamptz IS NULL OR l.released_at >= %(since)s))
OR EXISTS (
    SELECT FROM target t
    WHERE t.pool_id = %(pool)s AND t.kind = ANY(%(kinds)s::text[]) AND t.ref = marker AND (
        EXISTS (SELECT FROM member m
            WHERE m.target_id = t.id AND m.order_state IN ('wanted', 'carried', 'leaving'))
        OR %(since)s::timestamptz IS NULL OR t.found_at >= %(since)s));
