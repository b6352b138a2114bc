-- Less to do for every claim. The logs are read in the order in which they are sealed, (xid, id), so they need no second
-- index of all rows. Of those by project and by actor, a transaction's rows are near to one entry, sorted when they are read.
ALTER TABLE audit_event DROP CONSTRAINT audit_event_pkey;
DROP INDEX audit_event_project, audit_event_actor;
CREATE INDEX audit_event_project ON audit_event (project_id, xid);
CREATE INDEX audit_event_actor ON audit_event (actor, xid);
ALTER TABLE ledger_event DROP CONSTRAINT ledger_event_pkey;
DROP INDEX ledger_event_project;
CREATE INDEX ledger_event_project ON ledger_event (project_id, xid) WHERE project_id IS NOT NULL;

-- As in 0008_claim_sums, but both sides of a change are not compared row by row for what is out of reach: a claim changes
-- nothing of it.
CREATE OR REPLACE FUNCTION capacity_roll_up() RETURNS trigger LANGUAGE plpgsql AS $$
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
        -- Of rows that are changed capacity_out_of_reach tells.
        INSERT INTO ledger_event (at, pool_id, capacity_id, kind, milli, run_id)
            SELECT statement_timestamp(), a.pool_id, a.id, k.kind, k.milli,
                   nullif(current_setting('ocenter.run_id', true), '')::uuid
            FROM after_rows a, LATERAL (VALUES ('shadow', a.shadow_milli), ('faulty', a.faulty_milli)) k (kind, milli)
            WHERE k.milli > 0 AND NOT a.is_advisory;
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
    RETURN NULL;
END $$;

-- What is out of reach, since when: the ledger's intervals of shadow and faulty. Advisory rows are counted elsewhere, so the
-- intervals of one that becomes advisory end.
CREATE FUNCTION capacity_out_of_reach() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger_event (at, pool_id, capacity_id, kind, milli, run_id)
        SELECT statement_timestamp(), NEW.pool_id, NEW.id, k.kind, k.milli,
               nullif(current_setting('ocenter.run_id', true), '')::uuid
        FROM (VALUES
            ('shadow', CASE WHEN NEW.is_advisory THEN 0 ELSE NEW.shadow_milli END,
                CASE WHEN OLD.is_advisory THEN 0 ELSE OLD.shadow_milli END),
            ('faulty', CASE WHEN NEW.is_advisory THEN 0 ELSE NEW.faulty_milli END,
                CASE WHEN OLD.is_advisory THEN 0 ELSE OLD.faulty_milli END)) k (kind, milli, milli_before)
        WHERE k.milli <> k.milli_before;
    RETURN NULL;
END $$;
CREATE TRIGGER capacity_out_of_reach AFTER UPDATE ON capacity FOR EACH ROW
    WHEN (OLD.shadow_milli <> NEW.shadow_milli OR OLD.faulty_milli <> NEW.faulty_milli
        OR OLD.is_advisory <> NEW.is_advisory)
    EXECUTE FUNCTION capacity_out_of_reach();
