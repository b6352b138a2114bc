-- Takes what a claim takes, which is what capacity rows are changed for most: the arrays of all positions are not written
-- anew for one of them, nor are the sums added up anew. A writer says what is to be added, to which positions; the row
-- never keeps it.
CREATE TYPE capacity_share AS (places integer[], milli integer[], mib bigint[]);
ALTER TABLE capacity ADD claiming capacity_share, ADD holding capacity_share,
    ADD CONSTRAINT capacity_took CHECK (claiming IS NULL AND holding IS NULL);

-- Whole cards that nobody has or uses, claimed of a row whose cards are alike, are taken off the sums as they are. After
-- anything else the sums are derived anew: without a key of the state the row goes to capacity_take_derive.
CREATE FUNCTION capacity_take() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    take capacity_share := NEW.claiming;
    is_plain boolean := NEW.kind = 'cards' AND (NEW.holding).places IS NULL;
    cards integer := coalesce(cardinality(take.places), 0);
    free bigint := NEW.free_milli; free_mib bigint := NEW.free_mib;
    i integer;
BEGIN
    FOR n IN 1 .. cards LOOP
        i := take.places[n];
        is_plain := is_plain AND take.milli[n] > 0 AND take.milli[n] = NEW.pos_total_milli[i]
            AND NEW.pos_claimed_milli[i] = 0 AND NEW.pos_held_milli[i] = 0
            AND NEW.pos_shadow_milli[i] = 0 AND NEW.pos_faulty_milli[i] = 0;
        free := free - take.milli[n];
        free_mib := free_mib - greatest(NEW.pos_total_mib[i] - NEW.pos_claimed_mib[i] - NEW.pos_held_mib[i]
                                        - NEW.pos_shadow_mib[i] - NEW.pos_faulty_mib[i], 0);
        NEW.pos_claimed_milli[i] := NEW.pos_claimed_milli[i] + take.milli[n];
        NEW.pos_claimed_mib[i] := NEW.pos_claimed_mib[i] + take.mib[n];
    END LOOP;
    IF is_plain AND (free = 0 OR NEW.free_whole > cards AND NEW.max_free_milli = ALL (NEW.pos_total_milli)) THEN
        NEW.claimed_milli := NEW.claimed_milli + NEW.free_milli - free;
        NEW.free_milli := free;
        NEW.free_mib := free_mib;
        NEW.free_whole := NEW.free_whole - cards;
        NEW.state_key := NEW.state_key - (cards::bigint << 32);
        IF free = 0 THEN
            NEW.max_free_milli := 0;
        END IF;
    ELSE
        IF (NEW.holding).places IS NOT NULL THEN
            NEW.pos_held_milli := added(NEW.pos_held_milli, (NEW.holding).places, (NEW.holding).milli);
            NEW.pos_held_mib := added(NEW.pos_held_mib, (NEW.holding).places, (NEW.holding).mib);
        END IF;
        NEW.state_key := NULL;
    END IF;
    NEW.claiming := NULL;
    NEW.holding := NULL;
    RETURN NEW;
END $$;

-- Triggers of a row run in the order of their names. A statement that writes anything of what is derived, or of what it is
-- derived from, has all of it derived first, so that what is taken is taken off sums that are right.
DROP TRIGGER capacity_derive ON capacity;
CREATE TRIGGER capacity_derive BEFORE INSERT OR UPDATE OF kind, unit_milli,
    pos_total_milli, pos_shadow_milli, pos_faulty_milli, pos_claimed_milli, pos_held_milli,
    pos_total_mib, pos_shadow_mib, pos_faulty_mib, pos_claimed_mib, pos_held_mib,
    total_milli, claimed_milli, held_milli, shadow_milli, faulty_milli, free_milli, free_mib, free_whole, max_free_milli,
    state_key ON capacity FOR EACH ROW EXECUTE FUNCTION capacity_derive();
CREATE TRIGGER capacity_take BEFORE UPDATE OF claiming, holding ON capacity
    FOR EACH ROW EXECUTE FUNCTION capacity_take();
CREATE TRIGGER capacity_take_derive BEFORE UPDATE OF claiming, holding ON capacity
    FOR EACH ROW WHEN (NEW.state_key IS NULL) EXECUTE FUNCTION capacity_derive();
