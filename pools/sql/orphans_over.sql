-- Closes the orphans of the pool of which a complete observation saw nothing, or which a claim has again. A quota that a
-- removed pool left lets its tenant in whether it is used or not: it is over when a worker found that it is gone, or that
-- what is called so is somebody else's.
UPDATE orphan o SET closed_at = %(now)s, outcome = CASE WHEN marker = ANY(%(explained)s::text[]) THEN 'claimed'
    WHEN reap_asked_at IS NOT NULL THEN 'reaped' ELSE 'gone' END
WHERE pool_id = %(pool)s AND closed_at IS NULL AND NOT marker = ANY(%(markers)s::text[])
    AND (o.origin <> 'left' OR marker = ANY(%(explained)s::text[])
        OR EXISTS (SELECT FROM pool p WHERE p.id = o.pool_id AND p.grain <> 'pool')
        OR EXISTS (
            SELECT FROM target t
            WHERE t.id = o.target_id AND t.due_at IS NULL AND NOT t.is_unknown AND t.found IS NULL
                AND (t.trouble IS NULL OR t.trouble ->> 'code' = 'not_ours')));
