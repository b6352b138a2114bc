-- Locks the capacity rows of an attempt in id order and returns those that cannot give what is asked of them, each
-- position by itself. Only the positions that are asked count, so a card that died under a claim hinders nobody else.
-- Rows that somebody else has locked count as such: whoever wants to wait for them locks them before (claim_wait). A
-- lease that ends before the first booking of a position leaves it alone; any other finds the booked peak taken.
WITH asked AS (
    SELECT * FROM unnest(%(rows)s::uuid[], %(milli)s::text[], %(mib)s::text[], %(until)s::timestamptz[],
                         %(layouts)s::text[], %(uncut)s::text[]) asked (id, milli, mib, until_at, layout, uncut)),
locked AS MATERIALIZED (
    SELECT id, pool_id, is_advisory, layout, pos_total_milli, pos_total_mib, pos_shadow_milli, pos_shadow_mib,
           pos_faulty_milli, pos_faulty_mib, pos_claimed_milli, pos_claimed_mib, pos_held_milli, pos_held_mib,
           pos_booked_from_at, pos_booked_peak_milli
    FROM capacity WHERE id = ANY(%(rows)s::uuid[]) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)
SELECT a.id FROM asked a LEFT JOIN locked c ON c.id = a.id LEFT JOIN pool p ON p.id = c.pool_id
WHERE c.id IS NULL OR c.is_advisory OR p.state <> 'active'
    OR cardinality(c.pos_total_milli) <> cardinality(a.milli::integer[])
    -- What lies on the cards has to be what the plan saw, and nobody may use a card that is to be cut.
    OR (a.layout IS NOT NULL AND EXISTS (
        SELECT FROM jsonb_each(a.layout::jsonb) seen WHERE coalesce(c.layout -> seen.key, '[]') <> seen.value))
    OR EXISTS (
        SELECT FROM unnest(a.uncut::integer[]) place WHERE c.pos_claimed_milli[place] + c.pos_held_milli[place] > 0)
    OR EXISTS (
        SELECT FROM unnest(a.milli::integer[], a.mib::bigint[], c.pos_total_milli, c.pos_total_mib,
            c.pos_shadow_milli, c.pos_shadow_mib, c.pos_faulty_milli, c.pos_faulty_mib, c.pos_claimed_milli,
            c.pos_claimed_mib, c.pos_held_milli, c.pos_held_mib, c.pos_booked_from_at, c.pos_booked_peak_milli)
            WITH ORDINALITY at (milli, mib, total_milli, total_mib, shadow_milli, shadow_mib, faulty_milli, faulty_mib,
                claimed_milli, claimed_mib, held_milli, held_mib, booked_from_at, booked_peak_milli, place)
        WHERE (milli > 0 AND claimed_milli + held_milli + shadow_milli + faulty_milli + milli
                + CASE WHEN booked_from_at < coalesce(a.until_at, 'infinity') THEN booked_peak_milli ELSE 0 END
                > total_milli)
            OR (mib > 0 AND claimed_mib + held_mib + shadow_mib + faulty_mib + mib
                + CASE WHEN booked_from_at < coalesce(a.until_at, 'infinity')
                    THEN (booked_peak(c.id, place::integer)).memory_mib ELSE 0 END > total_mib));
