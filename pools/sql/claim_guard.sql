-- Locks the capacity rows of an attempt in id order and returns those that cannot give what is asked of them, each
-- position by itself. Only the positions that are asked count, so a card that died under a claim hinders nobody else.
-- Rows that somebody else has locked count as such: whoever wants to wait for them locks them before (claim_wait). A
-- lease that ends before the first booking of a position leaves it alone; any other finds the booked peak taken. No WITH
-- for the locked rows: all of them would be stored once more.
WITH asked AS (
    SELECT id, count, (%(places)s::integer[])[first:last] AS places, (%(milli)s::integer[])[first:last] AS milli,
           (%(mib)s::bigint[])[first:last] AS mib, until_at, layout,
           (%(uncut)s::integer[])[uncut_first:uncut_last] AS uncut
    FROM (SELECT unnest(%(rows)s::uuid[]) AS id, unnest(%(counts)s::integer[]) AS count,
            unnest(%(places_first)s::integer[]) AS first, unnest(%(places_last)s::integer[]) AS last,
            unnest(%(until)s::timestamptz[]) AS until_at, unnest(%(layouts)s::text[]) AS layout,
            unnest(%(uncut_first)s::integer[]) AS uncut_first, unnest(%(uncut_last)s::integer[]) AS uncut_last) asked)
SELECT a.id FROM asked a LEFT JOIN (
    SELECT id, pool_id, is_advisory, layout, pos_total_milli, pos_total_mib, pos_shadow_milli, pos_shadow_mib,
           pos_faulty_milli, pos_faulty_mib, pos_claimed_milli, pos_claimed_mib, pos_held_milli, pos_held_mib,
           pos_booked_from_at, pos_booked_peak_milli, pos_booked_peak_mib
    FROM capacity WHERE id = ANY(%(rows)s::uuid[]) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED) c
    ON c.id = a.id LEFT JOIN pool p ON p.id = c.pool_id
WHERE c.id IS NULL OR c.is_advisory OR p.state <> 'active'
    OR cardinality(c.pos_total_milli) <> a.count
    -- What lies on the cards has to be what the plan saw, and nobody may use a card that is to be cut. Of one that is
    -- booked a piece may lie in the way of what is booked.
    OR (a.layout IS NOT NULL AND EXISTS (
        SELECT FROM jsonb_each(a.layout::jsonb) seen WHERE coalesce(c.layout -> seen.key, '[]') <> seen.value
            OR seen.value <> '[]' AND c.pos_booked_from_at[seen.key::integer] < coalesce(a.until_at, 'infinity')))
    OR a.uncut <> '{}' AND EXISTS (
        SELECT FROM unnest(a.uncut) place WHERE c.pos_claimed_milli[place] + c.pos_held_milli[place] > 0
            OR c.pos_booked_from_at[place] < coalesce(a.until_at, 'infinity'))
    OR EXISTS (
        SELECT FROM (SELECT unnest(a.places) AS i, unnest(a.milli) AS milli, unnest(a.mib) AS mib) at
        WHERE milli > 0 AND c.pos_claimed_milli[i] + c.pos_held_milli[i] + c.pos_shadow_milli[i] + c.pos_faulty_milli[i]
                + milli + CASE WHEN c.pos_booked_from_at[i] < coalesce(a.until_at, 'infinity')
                    THEN c.pos_booked_peak_milli[i] ELSE 0 END > c.pos_total_milli[i]
            OR mib > 0 AND c.pos_claimed_mib[i] + c.pos_held_mib[i] + c.pos_shadow_mib[i] + c.pos_faulty_mib[i]
                + mib + CASE WHEN c.pos_booked_from_at[i] < coalesce(a.until_at, 'infinity')
                    THEN c.pos_booked_peak_mib[i] ELSE 0 END > c.pos_total_mib[i]);
