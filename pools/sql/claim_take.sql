-- Takes what was guarded: the capacity rows, and for every member what it holds, what is to be done for it on the
-- platform, and the ledger's rows. The instant is the statement's own: it began after the rows were locked, so that what
-- was given back before ends before. Lists are taken apart as in claim_insert.
WITH taken AS (
    SELECT id, claimed_first <= claimed_last AS is_claimed, held_first <= held_last AS is_held, layout,
           (%(claimed)s::integer[])[claimed_first:claimed_last] AS claimed_places,
           (%(claimed_milli)s::integer[])[claimed_first:claimed_last] AS claimed_milli,
           (%(claimed_mib)s::bigint[])[claimed_first:claimed_last] AS claimed_mib,
           (%(held)s::integer[])[held_first:held_last] AS held_places,
           (%(held_milli)s::integer[])[held_first:held_last] AS held_milli,
           (%(held_mib)s::bigint[])[held_first:held_last] AS held_mib
    FROM (SELECT unnest(%(rows)s::uuid[]) AS id, unnest(%(claimed_first)s::integer[]) AS claimed_first,
            unnest(%(claimed_last)s::integer[]) AS claimed_last, unnest(%(held_first)s::integer[]) AS held_first,
            unnest(%(held_last)s::integer[]) AS held_last, unnest(%(layouts)s::text[]) AS layout) taken),
changed AS (
    UPDATE capacity c SET
        claiming = CASE WHEN t.is_claimed
            THEN ROW(t.claimed_places, t.claimed_milli, t.claimed_mib)::capacity_share END,
        holding = CASE WHEN t.is_held THEN ROW(t.held_places, t.held_milli, t.held_mib)::capacity_share END,
        layout = CASE WHEN t.layout IS NULL THEN c.layout ELSE c.layout || t.layout::jsonb END
    FROM taken t WHERE c.id = t.id),
-- A row is of a member, of a claim, or as most are of a member with its claim.
made AS MATERIALIZED (
    SELECT allocation_id, number, pool_id, node_id, target_ref, operation_id, operation_state, claim_id, capacity_id,
           (%(positions)s::integer[])[positions_first:positions_last] AS positions,
           (%(starts)s::integer[])[starts_first:starts_last] AS starts,
           milli, memory_mib, profile, kind, project_id, certainty, price_per_hour
    FROM (SELECT unnest(%(allocations)s::uuid[]) AS allocation_id, unnest(%(numbers)s::integer[]) AS number,
            unnest(%(pools)s::uuid[]) AS pool_id, unnest(%(nodes)s::uuid[]) AS node_id,
            unnest(%(targets)s::text[]) AS target_ref, unnest(%(operations)s::uuid[]) AS operation_id,
            unnest(%(operation_states)s::text[]) AS operation_state, unnest(%(claims)s::uuid[]) AS claim_id,
            unnest(%(claim_rows)s::uuid[]) AS capacity_id, unnest(%(positions_first)s::integer[]) AS positions_first,
            unnest(%(positions_last)s::integer[]) AS positions_last,
            unnest(%(starts_first)s::integer[]) AS starts_first, unnest(%(starts_last)s::integer[]) AS starts_last,
            unnest(%(milli)s::integer[]) AS milli, unnest(%(mib)s::bigint[]) AS memory_mib,
            unnest(%(profiles)s::text[]) AS profile, unnest(%(kinds)s::text[]) AS kind,
            unnest(%(projects)s::uuid[]) AS project_id, unnest(%(certainties)s::text[]) AS certainty,
            unnest(%(prices)s::numeric[]) AS price_per_hour) made),
joined AS (
    INSERT INTO member (allocation_id, index, pool_id, node_id, binding)
    SELECT allocation_id, number, pool_id, node_id, '{}' FROM made WHERE operation_id IS NOT NULL),
intended AS (
    INSERT INTO operation (id, pool_id, allocation_id, member_index, action, state, target_ref, attempts, words,
                           created_at, changed_at)
    SELECT operation_id, pool_id, allocation_id, number, 'apply', operation_state, target_ref, 0, '{}', %(now)s, %(now)s
    FROM made WHERE operation_id IS NOT NULL),
held AS (
    INSERT INTO claim (id, allocation_id, member_index, pool_id, capacity_id, positions, starts, milli, memory_mib,
                       profile, is_held, created_at)
    SELECT claim_id, allocation_id, number, pool_id, capacity_id, positions, starts, milli, memory_mib, profile,
           kind = 'hold', %(now)s
    FROM made WHERE claim_id IS NOT NULL)
INSERT INTO ledger_event (at, pool_id, capacity_id, kind, milli, allocation_id, member_index, project_id, positions,
                          certainty, price_per_hour)
SELECT statement_timestamp(), pool_id, capacity_id, kind, milli * cardinality(positions), allocation_id,
       number, project_id, positions, certainty, price_per_hour
FROM made WHERE claim_id IS NOT NULL;
