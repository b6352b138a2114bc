-- Takes what was guarded: the capacity rows, and for every member what it holds, what is to be done for it on the
-- platform, and the ledger's rows. The instant is the statement's own: it began after the rows were locked, so that what
-- was given back before ends before.
WITH taken AS (
    SELECT * FROM unnest(%(rows)s::uuid[], %(claimed_places)s::text[], %(claimed_milli)s::text[], %(claimed_mib)s::text[],
                         %(held_places)s::text[], %(held_milli)s::text[], %(held_mib)s::text[], %(layouts)s::text[])
        taken (id, claimed_places, claimed_milli, claimed_mib, held_places, held_milli, held_mib, layout)),
changed AS (
    UPDATE capacity c SET
        pos_claimed_milli = CASE WHEN t.claimed_places IS NULL THEN c.pos_claimed_milli
            ELSE added(c.pos_claimed_milli, t.claimed_places::integer[], t.claimed_milli::integer[]) END,
        pos_claimed_mib = CASE WHEN t.claimed_places IS NULL THEN c.pos_claimed_mib
            ELSE added(c.pos_claimed_mib, t.claimed_places::integer[], t.claimed_mib::bigint[]) END,
        pos_held_milli = CASE WHEN t.held_places IS NULL THEN c.pos_held_milli
            ELSE added(c.pos_held_milli, t.held_places::integer[], t.held_milli::integer[]) END,
        pos_held_mib = CASE WHEN t.held_places IS NULL THEN c.pos_held_mib
            ELSE added(c.pos_held_mib, t.held_places::integer[], t.held_mib::bigint[]) END,
        layout = CASE WHEN t.layout IS NULL THEN c.layout ELSE c.layout || t.layout::jsonb END
    FROM taken t WHERE c.id = t.id),
members AS (
    SELECT * FROM unnest(%(member_allocations)s::uuid[], %(member_numbers)s::integer[], %(member_pools)s::uuid[],
                         %(member_nodes)s::uuid[], %(targets)s::text[], %(operations)s::uuid[],
                         %(operation_states)s::text[])
        members (allocation_id, number, pool_id, node_id, target_ref, operation_id, operation_state)),
joined AS (
    INSERT INTO member (allocation_id, index, pool_id, node_id, binding)
    SELECT allocation_id, number, pool_id, node_id, '{}' FROM members),
intended AS (
    INSERT INTO operation (id, pool_id, allocation_id, member_index, action, state, target_ref, attempts, words,
                           created_at, changed_at)
    SELECT operation_id, pool_id, allocation_id, number, 'apply', operation_state, target_ref, 0, '{}', %(now)s, %(now)s
    FROM members),
claims AS MATERIALIZED (
    SELECT id, allocation_id, member_index, pool_id, capacity_id, positions::integer[], starts::integer[], milli,
           memory_mib, profile, kind, project_id, certainty, price_per_hour
    FROM unnest(%(claims)s::uuid[], %(claim_allocations)s::uuid[], %(claim_members)s::integer[],
                         %(claim_pools)s::uuid[], %(claim_rows)s::uuid[], %(positions)s::text[], %(starts)s::text[],
                         %(claim_milli)s::integer[], %(claim_mib)s::bigint[], %(profiles)s::text[],
                         %(kinds)s::text[], %(projects)s::uuid[], %(certainties)s::text[], %(prices)s::numeric[])
        claims (id, allocation_id, member_index, pool_id, capacity_id, positions, starts, milli, memory_mib, profile,
                kind, project_id, certainty, price_per_hour)),
held AS (
    INSERT INTO claim (id, allocation_id, member_index, pool_id, capacity_id, positions, starts, milli, memory_mib,
                       profile, is_held, created_at)
    SELECT id, allocation_id, member_index, pool_id, capacity_id, positions, starts, milli, memory_mib, profile,
           kind = 'hold', %(now)s
    FROM claims)
INSERT INTO ledger_event (at, pool_id, capacity_id, kind, milli, allocation_id, member_index, project_id, positions,
                          certainty, price_per_hour)
SELECT statement_timestamp(), pool_id, capacity_id, kind, milli * cardinality(positions), allocation_id,
       member_index, project_id, positions, certainty, price_per_hour
FROM claims;
