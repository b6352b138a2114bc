-- As in 0001_capacity, but for the instant of the ledger's rows: that of the statement and not of the transaction, which
-- may have waited for the row. What a claim held before then ends before it, and claims take the same instant for theirs.
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
            SELECT statement_timestamp(), a.pool_id, a.id, k.kind, k.milli,
                   nullif(current_setting('ocenter.run_id', true), '')::uuid
            FROM after_rows a, LATERAL (VALUES ('shadow', a.shadow_milli), ('faulty', a.faulty_milli)) k (kind, milli)
            WHERE k.milli > 0 AND NOT a.is_advisory;
    ELSE
        INSERT INTO ledger_event (at, pool_id, capacity_id, kind, milli, run_id)
            SELECT statement_timestamp(), a.pool_id, a.id, k.kind, k.milli,
                   nullif(current_setting('ocenter.run_id', true), '')::uuid
            FROM after_rows a JOIN before_rows b USING (id), LATERAL (VALUES
                ('shadow', a.shadow_milli, b.shadow_milli), ('faulty', a.faulty_milli, b.faulty_milli)
            ) k (kind, milli, milli_before)
            WHERE k.milli <> k.milli_before AND NOT a.is_advisory;
    END IF;
    RETURN NULL;
END $$;

