-- What every claim runs, made cheaper: sums of two lists of equal length (before, a query for each of them), and the
-- ledger's rows of what is out of reach, found by one pass over both sides of a statement instead of a join of them. A row
-- that becomes advisory is counted elsewhere from then on, so its intervals end.
CREATE OR REPLACE FUNCTION added(one integer[], other integer[]) RETURNS integer[] LANGUAGE plpgsql IMMUTABLE
PARALLEL SAFE AS $$
BEGIN
    FOR i IN 1 .. coalesce(cardinality(other), 0) LOOP
        IF other[i] <> 0 THEN
            one[i] := one[i] + other[i];
        END IF;
    END LOOP;
    RETURN one;
END $$;
CREATE OR REPLACE FUNCTION added(one bigint[], other bigint[]) RETURNS bigint[] LANGUAGE plpgsql IMMUTABLE
PARALLEL SAFE AS $$
BEGIN
    FOR i IN 1 .. coalesce(cardinality(other), 0) LOOP
        IF other[i] <> 0 THEN
            one[i] := one[i] + other[i];
        END IF;
    END LOOP;
    RETURN one;
END $$;

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
            SELECT statement_timestamp(), s.pool_id, s.id, k.kind, k.milli,
                   nullif(current_setting('ocenter.run_id', true), '')::uuid
            FROM (SELECT id, pool_id, coalesce(sum(shadow_milli) FILTER (WHERE n > 0), 0) shadow,
                         sum(n * shadow_milli) shadow_more,
                         coalesce(sum(faulty_milli) FILTER (WHERE n > 0), 0) faulty, sum(n * faulty_milli) faulty_more
                  FROM (SELECT 1 n, id, pool_id, is_advisory, shadow_milli, faulty_milli FROM after_rows
                        UNION ALL SELECT -1, id, pool_id, is_advisory, shadow_milli, faulty_milli FROM before_rows) sides
                  WHERE NOT is_advisory GROUP BY id, pool_id
                  HAVING sum(n * shadow_milli) <> 0 OR sum(n * faulty_milli) <> 0) s, LATERAL (VALUES
                ('shadow', s.shadow, s.shadow_more), ('faulty', s.faulty, s.faulty_more)) k (kind, milli, more)
            WHERE k.more <> 0;
    END IF;
    RETURN NULL;
END $$;

