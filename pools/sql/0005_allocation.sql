-- What claims add to capacity rows: where candidates are found, and the moves of allocations.
ALTER TABLE capacity ALTER pos_link_group SET DEFAULT '{}', ALTER pos_booked_from_at SET DEFAULT '{}',
    ALTER pos_booked_peak_milli SET DEFAULT '{}', ALTER state_key SET DEFAULT 0, ALTER shuffle SET DEFAULT 0;

-- As in 0001_capacity, and the key of the state: the number of whole free devices (or units) in the high half, so that
-- a range of keys has enough of them; in the low half a digest of the parts that are free, largest first.
CREATE OR REPLACE FUNCTION capacity_derive() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    total bigint := 0; claimed bigint := 0; held bigint := 0; shadow bigint := 0; faulty bigint := 0;
    free bigint := 0; free_mib bigint := 0; whole integer := 0; biggest integer := 0; parts integer[] := '{}';
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

-- Rows that are there already get their key and their number.
UPDATE capacity SET shuffle = floor(random() * 2147483647);

-- The moves of an allocation, one table: pools.domain.states.ALLOCATION_MOVES, which a test compares with this.
CREATE TABLE allocation_move (before text NOT NULL, after text NOT NULL, PRIMARY KEY (before, after));
INSERT INTO allocation_move SELECT b, unnest(a) FROM (VALUES
    ('pending_approval', ARRAY['scheduled', 'queued', 'held', 'claimed', 'refused', 'releasing']),
    ('scheduled', ARRAY['queued', 'claimed', 'refused', 'expired', 'releasing']),
    ('queued', ARRAY['held', 'claimed', 'refused', 'expired', 'releasing']),
    ('held', ARRAY['claimed', 'expired', 'releasing']),
    ('claimed', ARRAY['binding', 'releasing']),
    ('binding', ARRAY['active', 'claimed', 'needs_attention', 'releasing']),
    ('active', ARRAY['needs_attention', 'releasing']),
    ('needs_attention', ARRAY['binding', 'active', 'releasing']),
    ('releasing', ARRAY['released', 'needs_attention'])) moves (b, a);

CREATE FUNCTION allocation_moves() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM allocation_move WHERE before = OLD.state AND after = NEW.state) THEN
        RAISE EXCEPTION 'an allocation cannot go from % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation',
            CONSTRAINT = 'allocation_moves';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER allocation_moves BEFORE UPDATE OF state ON allocation FOR EACH ROW
    WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION allocation_moves();

-- The ledger also tells who held what. New columns are null in rows that are sealed already.
ALTER TABLE ledger_event DROP CONSTRAINT ledger_event_kind_check;
ALTER TABLE ledger_event ADD CONSTRAINT ledger_event_kind_check
    CHECK (kind IN ('shadow', 'faulty', 'hold', 'reserve', 'use'));
ALTER TABLE ledger_event ADD allocation_id uuid, ADD member_index integer, ADD project_id uuid, ADD positions integer[],
    ADD certainty text CHECK (certainty IN ('assigned', 'observed', 'unknown')), ADD price_per_hour numeric(18, 6),
    ADD corrects bigint;
ALTER TABLE ledger_event ADD CONSTRAINT ledger_event_of_allocation
    CHECK ((kind IN ('shadow', 'faulty')) = (allocation_id IS NULL));
CREATE INDEX ledger_event_allocation ON ledger_event (allocation_id, id) WHERE allocation_id IS NOT NULL;
CREATE INDEX ledger_event_project ON ledger_event (project_id, at) WHERE project_id IS NOT NULL;

-- Sums of two lists of equal length; what is taken of a capacity row is added to its positions by these.
CREATE FUNCTION added(one integer[], other integer[]) RETURNS integer[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_agg(a + b ORDER BY i) FROM unnest(one, other) WITH ORDINALITY pair (a, b, i)
$$;
CREATE FUNCTION added(one bigint[], other bigint[]) RETURNS bigint[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_agg(a + b ORDER BY i) FROM unnest(one, other) WITH ORDINALITY pair (a, b, i)
$$;
