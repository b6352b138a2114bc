-- Opens the drift of a target, or tells it anew. What people ignore stays ignored while it is the same.
INSERT INTO drift AS d (id, pool_id, target_id, code, state, calls, found, trouble, gone, opened_at)
VALUES (new_id(), %(pool)s, %(target)s, %(code)s, 'open', %(calls)s, %(found)s, %(trouble)s, %(gone)s, %(now)s)
ON CONFLICT (target_id) WHERE closed_at IS NULL DO UPDATE SET code = excluded.code, calls = excluded.calls,
    found = excluded.found, trouble = excluded.trouble, gone = excluded.gone,
    state = CASE WHEN d.state = 'ignored' AND d.code = excluded.code AND d.calls = excluded.calls THEN 'ignored'
        ELSE 'open' END
RETURNING id, state;
