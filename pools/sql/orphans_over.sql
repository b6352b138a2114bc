-- Closes the orphans of the pool of which a complete observation saw nothing, or which a claim has again.
UPDATE orphan SET closed_at = %(now)s, outcome = CASE WHEN marker = ANY(%(explained)s::text[]) THEN 'claimed'
    WHEN reap_asked_at IS NOT NULL THEN 'reaped' ELSE 'gone' END
WHERE pool_id = %(pool)s AND closed_at IS NULL AND NOT marker = ANY(%(markers)s::text[]);
