-- Of a pool's devices: which count though another pool counts the same card, and which do not though no pool does?
SELECT EXISTS (SELECT FROM live_twin WHERE pool_id = %(pool)s AND NOT is_elsewhere AND NOT other_is_elsewhere)
    OR EXISTS (SELECT FROM device d WHERE d.pool_id = %(pool)s AND d.is_elsewhere AND d.retired_at IS NULL
        AND NOT EXISTS (SELECT FROM live_twin t WHERE t.device_id = d.id AND NOT t.other_is_elsewhere));
