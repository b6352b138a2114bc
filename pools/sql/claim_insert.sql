-- The allocations of an attempt: those that got capacity, and those that wait for it.
INSERT INTO allocation (id, project_id, name, state, reason, mode, spec, labels, asked_by_id, pool_id, model_id, profile,
    members, devices_per_member, milli, units_milli, quota_ids, is_borrowed, is_preemptible, priority, price_per_hour,
    decision, lease_seconds, start_at, end_at, notice_at, held_until_at, queued_at, queue_reason, generation, created_at,
    changed_at, before_end_state)
SELECT id, project_id, name, state, '', mode, spec::jsonb, labels::jsonb, asked_by_id, pool_id, model_id, profile,
    members, devices_per_member, milli, units_milli, quota_ids::uuid[], is_borrowed, is_preemptible, priority,
    price_per_hour, decision::jsonb, lease_seconds, start_at, end_at, notice_at, held_until_at, queued_at, queue_reason,
    1, %(now)s, %(now)s, CASE WHEN (spec::jsonb ->> 'before_end_seconds')::bigint > 0 THEN 'pending' ELSE '' END
FROM unnest(%(ids)s::uuid[], %(project_ids)s::uuid[], %(names)s::text[], %(states)s::text[], %(modes)s::text[],
            %(specs)s::text[], %(labels)s::text[], %(asked_by)s::uuid[], %(pool_ids)s::uuid[], %(model_ids)s::uuid[],
            %(profiles)s::text[], %(members)s::integer[], %(devices)s::integer[], %(milli)s::bigint[],
            %(units)s::bigint[], %(quotas)s::text[], %(borrowed)s::boolean[], %(preemptible)s::boolean[],
            %(priorities)s::smallint[], %(prices)s::numeric[], %(decisions)s::text[], %(leases)s::bigint[],
            %(starts)s::timestamptz[], %(ends)s::timestamptz[], %(notices)s::timestamptz[], %(held_until)s::timestamptz[],
            %(queued_at)s::timestamptz[], %(queue_reasons)s::text[])
    made (id, project_id, name, state, mode, spec, labels, asked_by_id, pool_id, model_id, profile, members,
          devices_per_member, milli, units_milli, quota_ids, is_borrowed, is_preemptible, priority, price_per_hour,
          decision, lease_seconds, start_at, end_at, notice_at, held_until_at, queued_at, queue_reason);
