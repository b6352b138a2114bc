-- The target of a pool that was asked for longest ago, of those that carry something as ordered and are nobody's now.
SELECT t.id, t.kind, t.ref, t.generation, t.mode, t.is_tenants, (SELECT n.ref FROM node n WHERE n.id = t.node_id),
    (SELECT j.path FROM project j WHERE j.id = t.project_id),
    ARRAY(SELECT o.marker FROM orphan o WHERE o.pool_id = t.pool_id AND o.node_id = t.node_id
        AND o.closed_at IS NULL AND o.reap_asked_at IS NULL AND NOT EXISTS (
            SELECT FROM operation p JOIN member m ON m.allocation_id = p.allocation_id AND m.index = p.member_index
            WHERE p.target_ref = o.marker AND p.action = 'apply' AND m.target_id = t.id
                AND m.order_state IN ('wanted', 'carried', 'leaving')) ORDER BY o.marker)
FROM target t JOIN pool_sync s ON s.pool_id = t.pool_id
WHERE t.pool_id = %(pool)s AND t.due_at IS NULL AND t.found IS NOT NULL AND t.turn_token IS NULL AND NOT t.is_unknown
    AND t.applied_generation = t.generation AND t.checked_at < %(before)s AND t.checked_at < s.observed_at
ORDER BY t.checked_at LIMIT 1;
