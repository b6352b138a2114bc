-- The target that carried a marker last at the far end of a pool, through whichever of its pools that was: the one of the
-- marker's own order, else one that is called so itself. One on the node where the marker was seen comes first.
WITH far AS (
    SELECT p.id FROM pool own JOIN pool p ON p.kind = own.kind AND (p.id = own.id OR p.identity = own.identity)
    WHERE own.id = %(pool)s),
carriers AS (
    SELECT target_id AS id, id AS operation_id FROM operation WHERE target_ref = %(marker)s AND action = 'apply'
    UNION ALL
    SELECT t.id, NULL FROM far JOIN target t ON t.pool_id = far.id AND t.ref = %(marker)s)
SELECT t.kind, t.ref, t.mode, n.ref,
    (SELECT h.id FROM node h WHERE h.pool_id = %(pool)s AND h.ref = n.ref AND h.retired_at IS NULL)
FROM carriers c JOIN target t ON t.id = c.id JOIN far ON far.id = t.pool_id LEFT JOIN node n ON n.id = t.node_id
ORDER BY n.ref = %(node)s::text DESC NULLS LAST, c.operation_id DESC NULLS LAST LIMIT 1;
