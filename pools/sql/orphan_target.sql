-- The target that carries an orphan is due, whatever is there: it is asked first, and then carries its live orders only.
INSERT INTO target AS t (id, pool_id, kind, ref, node_id, mode, is_tenants, generation, applied_generation, is_unknown,
                         due_at, failures, created_at)
VALUES (new_id(), %(pool)s, %(kind)s, %(ref)s, %(node)s, %(mode)s, false, 1, 0, true, %(now)s, 0, %(now)s)
ON CONFLICT (pool_id, kind, ref) DO UPDATE SET generation = t.generation + 1, is_unknown = true, due_at = %(now)s
RETURNING id;
