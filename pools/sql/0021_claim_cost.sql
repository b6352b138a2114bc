-- What every claim runs, made cheaper. As in 0005_allocation, but the lists are taken apart once, and no more is asked of a
-- position of which all is given out: nothing that is used by others or faulty is left of it.
CREATE OR REPLACE FUNCTION capacity_derive() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    total bigint := 0; claimed bigint := 0; held bigint := 0; shadow bigint := 0; faulty bigint := 0;
    free bigint := 0; free_mib bigint := 0; whole integer := 0; biggest integer := 0; parts integer[] := '{}';
    totals integer[] := NEW.pos_total_milli; claims integer[] := NEW.pos_claimed_milli;
    holds integer[] := NEW.pos_held_milli;
    t integer; c integer; h integer; s integer; f integer; r integer;
BEGIN
    FOR i IN 1 .. coalesce(cardinality(totals), 0) LOOP
        t := totals[i];
        c := claims[i];
        h := holds[i];
        total := total + t; claimed := claimed + c; held := held + h;
        r := t - c - h;
        CONTINUE WHEN r <= 0;
        s := least(NEW.pos_shadow_milli[i], r);
        f := least(NEW.pos_faulty_milli[i], r - s);
        r := r - s - f;
        shadow := shadow + s; faulty := faulty + f; free := free + r;
        IF r > 0 THEN
            biggest := greatest(biggest, r);
            IF NEW.kind = 'cards' THEN
                IF r = t THEN whole := whole + 1; ELSE parts := parts || r; END IF;
            ELSIF NEW.kind = 'counter' THEN
                whole := whole + r / greatest(NEW.unit_milli, 1);
            END IF;
            free_mib := free_mib + greatest(NEW.pos_total_mib[i] - NEW.pos_claimed_mib[i] - NEW.pos_held_mib[i]
                                            - NEW.pos_shadow_mib[i] - NEW.pos_faulty_mib[i], 0);
        END IF;
    END LOOP;
    NEW.total_milli := total; NEW.claimed_milli := claimed; NEW.held_milli := held;
    NEW.shadow_milli := shadow; NEW.faulty_milli := faulty; NEW.free_milli := free;
    NEW.free_mib := free_mib; NEW.free_whole := whole; NEW.max_free_milli := biggest;
    NEW.state_key := whole::bigint << 32;
    IF parts <> '{}' THEN
        NEW.state_key := NEW.state_key | (hashtext((SELECT string_agg(p::text, ',' ORDER BY p DESC)
                                                    FROM unnest(parts) p))::bigint & 4294967295);
    END IF;
    IF TG_OP = 'INSERT' THEN
        NEW.shuffle := floor(random() * 2147483647);
    END IF;
    RETURN NEW;
END $$;

-- As in 0001_capacity, but the sums of a pool are found by its key: the planner compared all with all.
CREATE OR REPLACE FUNCTION capacity_roll_up_differences(differences rollup_difference[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM capacity_rollup WHERE id = ANY(ARRAY(
        SELECT r.id FROM unnest(differences) d CROSS JOIN LATERAL (
            SELECT id, model_id, profile, is_advisory FROM capacity_rollup
            WHERE pool_id = d.pool_id AND kind = d.kind OFFSET 0) r
        WHERE (r.model_id, r.profile, r.is_advisory) IS NOT DISTINCT FROM (d.model_id, d.profile, d.is_advisory)))
        ORDER BY id FOR NO KEY UPDATE;
    INSERT INTO capacity_rollup AS r (pool_id, kind, model_id, profile, is_advisory, units, total_milli,
            claimed_milli, held_milli, shadow_milli, faulty_milli, free_milli, free_mib, free_whole)
        SELECT pool_id, kind, model_id, profile, is_advisory, units, total_milli,
            claimed_milli, held_milli, shadow_milli, faulty_milli, free_milli, free_mib, free_whole
        FROM unnest(differences)
    ON CONFLICT (pool_id, kind, model_id, profile, is_advisory) DO UPDATE SET
        units = r.units + excluded.units,
        total_milli = r.total_milli + excluded.total_milli,
        claimed_milli = r.claimed_milli + excluded.claimed_milli, held_milli = r.held_milli + excluded.held_milli,
        shadow_milli = r.shadow_milli + excluded.shadow_milli, faulty_milli = r.faulty_milli + excluded.faulty_milli,
        free_milli = r.free_milli + excluded.free_milli, free_mib = r.free_mib + excluded.free_mib,
        free_whole = r.free_whole + excluded.free_whole;
END $$;

-- What is taken of some positions of a capacity row, added to what was taken of it before. Before, other had all positions.
CREATE FUNCTION added(one integer[], places integer[], more integer[]) RETURNS integer[] LANGUAGE plpgsql IMMUTABLE
PARALLEL SAFE AS $$
BEGIN
    FOR i IN 1 .. cardinality(places) LOOP
        one[places[i]] := one[places[i]] + more[i];
    END LOOP;
    RETURN one;
END $$;
CREATE FUNCTION added(one bigint[], places integer[], more bigint[]) RETURNS bigint[] LANGUAGE plpgsql IMMUTABLE
PARALLEL SAFE AS $$
BEGIN
    FOR i IN 1 .. cardinality(places) LOOP
        one[places[i]] := one[places[i]] + more[i];
    END LOOP;
    RETURN one;
END $$;
DROP FUNCTION added(integer[], integer[]);
DROP FUNCTION added(bigint[], bigint[]);

-- Nobody asks what happened to a capacity row: it is told by allocation, by project and in order.
DROP INDEX ledger_event_capacity;

-- Claims are looked for by their allocation, so one index is enough.
ALTER TABLE claim DROP CONSTRAINT claim_pkey, ADD CONSTRAINT claim_pkey PRIMARY KEY (allocation_id, member_index, id);
