-- Derives the sums of a capacity row from its positions, so that no writer can forget or get them wrong.
-- Shadow and faulty are capped to what is left, so that total = claimed + held + shadow + faulty + free (invariant 11)
-- wherever claims do not exceed the total (then the row is overcommitted, and nothing is free).
CREATE FUNCTION capacity_derive() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    total bigint := 0; claimed bigint := 0; held bigint := 0; shadow bigint := 0; faulty bigint := 0;
    free bigint := 0; free_mib bigint := 0; whole integer := 0; biggest integer := 0;
    t integer; c integer; h integer; s integer; f integer; r integer;
BEGIN
    FOR i IN 1 .. coalesce(cardinality(NEW.pos_total_milli), 0) LOOP
        t := NEW.pos_total_milli[i];
        c := NEW.pos_claimed_milli[i];
        h := NEW.pos_held_milli[i];
        s := least(NEW.pos_shadow_milli[i], greatest(t - c - h, 0));
        f := least(NEW.pos_faulty_milli[i], greatest(t - c - h - s, 0));
        r := greatest(t - c - h - s - f, 0);
        total := total + t; claimed := claimed + c; held := held + h;
        shadow := shadow + s; faulty := faulty + f; free := free + r;
        IF r > 0 THEN
            biggest := greatest(biggest, r);
            IF NEW.kind = 'cards' THEN
                whole := whole + (r = t)::integer;
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
    RETURN NEW;
END $$;

CREATE TRIGGER capacity_derive BEFORE INSERT OR UPDATE ON capacity
    FOR EACH ROW EXECUTE FUNCTION capacity_derive();

-- A UUIDv7 made in SQL (PostgreSQL 15 has no uuidv7()): 48 bits of milliseconds, version 7, the rest random.
CREATE FUNCTION new_id() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
        52, 1), 53, 1), 'hex')::uuid
$$;

-- Adds a statement's differences to the roll-ups. The rows are locked in id order before they are changed: every
-- transaction takes its capacity rows first and the roll-ups after, in this order, so two of them never wait in a ring.
CREATE TYPE rollup_difference AS (
    pool_id uuid, kind text, model_id uuid, profile text, is_advisory boolean, units bigint,
    total_milli bigint, claimed_milli bigint, held_milli bigint, shadow_milli bigint, faulty_milli bigint,
    free_milli bigint, free_mib bigint, free_whole bigint);

CREATE FUNCTION capacity_roll_up_differences(differences rollup_difference[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM capacity_rollup r JOIN unnest(differences) d
        ON r.pool_id = d.pool_id AND r.kind = d.kind AND r.is_advisory = d.is_advisory
        AND r.model_id IS NOT DISTINCT FROM d.model_id AND r.profile IS NOT DISTINCT FROM d.profile
        ORDER BY r.id FOR NO KEY UPDATE OF r;
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

CREATE FUNCTION capacity_roll_up() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE differences rollup_difference[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(row(pool_id, kind, model_id, profile, is_advisory, units, total, claimed, held,
                             shadow, faulty, free, free_mib, free_whole)::rollup_difference) INTO differences
        FROM (SELECT pool_id, kind, model_id, profile, is_advisory, sum(units) units,
                     sum(total_milli) total, sum(claimed_milli) claimed, sum(held_milli) held,
                     sum(shadow_milli) shadow, sum(faulty_milli) faulty, sum(free_milli) free,
                     sum(free_mib) free_mib, sum(free_whole) free_whole
              FROM after_rows GROUP BY 1, 2, 3, 4, 5) s;
    ELSE
        SELECT array_agg(row(pool_id, kind, model_id, profile, is_advisory, units, total, claimed, held,
                             shadow, faulty, free, free_mib, free_whole)::rollup_difference) INTO differences
        FROM (SELECT pool_id, kind, model_id, profile, is_advisory, sum(n * units) units,
                     sum(n * total_milli) total, sum(n * claimed_milli) claimed, sum(n * held_milli) held,
                     sum(n * shadow_milli) shadow, sum(n * faulty_milli) faulty, sum(n * free_milli) free,
                     sum(n * free_mib) free_mib, sum(n * free_whole) free_whole
              FROM (SELECT 1 n, a.* FROM after_rows a UNION ALL SELECT -1, b.* FROM before_rows b) both_sides
              GROUP BY 1, 2, 3, 4, 5
              HAVING sum(n * units) <> 0 OR sum(n * total_milli) <> 0 OR sum(n * claimed_milli) <> 0
                  OR sum(n * held_milli) <> 0 OR sum(n * shadow_milli) <> 0 OR sum(n * faulty_milli) <> 0
                  OR sum(n * free_milli) <> 0 OR sum(n * free_mib) <> 0 OR sum(n * free_whole) <> 0) s;
    END IF;
    IF differences IS NOT NULL THEN
        PERFORM capacity_roll_up_differences(differences);
    END IF;
    -- What is out of reach, since when: the ledger's intervals of shadow and faulty. Advisory rows are counted elsewhere.
    IF TG_OP = 'INSERT' THEN
        INSERT INTO ledger_event (at, pool_id, capacity_id, kind, milli, run_id)
            SELECT now(), a.pool_id, a.id, k.kind, k.milli, nullif(current_setting('ocenter.run_id', true), '')::uuid
            FROM after_rows a, LATERAL (VALUES ('shadow', a.shadow_milli), ('faulty', a.faulty_milli)) k (kind, milli)
            WHERE k.milli > 0 AND NOT a.is_advisory;
    ELSE
        INSERT INTO ledger_event (at, pool_id, capacity_id, kind, milli, run_id)
            SELECT now(), a.pool_id, a.id, k.kind, k.milli, nullif(current_setting('ocenter.run_id', true), '')::uuid
            FROM after_rows a JOIN before_rows b USING (id), LATERAL (VALUES
                ('shadow', a.shadow_milli, b.shadow_milli), ('faulty', a.faulty_milli, b.faulty_milli)
            ) k (kind, milli, milli_before)
            WHERE k.milli <> k.milli_before AND NOT a.is_advisory;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER capacity_roll_up_insert AFTER INSERT ON capacity
    REFERENCING NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION capacity_roll_up();
CREATE TRIGGER capacity_roll_up_update AFTER UPDATE ON capacity
    REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows FOR EACH STATEMENT
    EXECUTE FUNCTION capacity_roll_up();

-- The fields of one JSON object that another does not have alike: the readable half of a difference.
CREATE FUNCTION changed_fields(one jsonb, other jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(one) WHERE other -> key IS DISTINCT FROM value
$$;
