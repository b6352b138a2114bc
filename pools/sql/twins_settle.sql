-- Of two pools that count a card the one stops that has not given it out, else the one that showed it later. A card that
-- no pool counts, for the other one is gone, counts again.
WITH counted AS (
    SELECT t.*, is_promised(t.device_id) AS has_given, is_promised(t.other_id) AS other_has_given
    FROM live_twin t JOIN refresh_node r ON r.id = t.node_id
    WHERE t.pool_id = %(pool)s AND NOT t.is_elsewhere AND NOT t.other_is_elsewhere),
settled AS (
    SELECT CASE WHEN (NOT has_given, created_at, device_id) > (NOT other_has_given, other_created_at, other_id)
        THEN device_id ELSE other_id END AS id
    FROM counted
    UNION
    SELECT d.id FROM device d WHERE d.pool_id = %(pool)s AND d.is_elsewhere AND d.retired_at IS NULL
        AND NOT EXISTS (SELECT FROM live_twin t WHERE t.device_id = d.id AND NOT t.other_is_elsewhere))
UPDATE device d SET is_elsewhere = NOT d.is_elsewhere
FROM settled s, refresh_node r WHERE d.id = s.id AND d.node_id = r.id
RETURNING d.pool_id, d.node_id;
