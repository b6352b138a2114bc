-- The allocations of an attempt: those that got capacity, and those that wait for it. So many lists are taken apart in the
-- list of columns, for in FROM each of them would be stored once more before the first row. JSON that many have alike is
-- read once (columns.documents).
INSERT INTO allocation (id, project_id, name, state, reason, mode, spec, labels, asked_by_id, pool_id, model_id, profile,
    members, devices_per_member, milli, units_milli, quota_ids, is_borrowed, is_preemptible, priority, price_per_hour,
    decision, lease_seconds, start_at, end_at, notice_at, held_until_at, queued_at, queue_reason, generation, created_at,
    changed_at, before_end_state)
SELECT id, project_id, name, state, '', mode, spec::jsonb,
    coalesce((%(labels_known)s::jsonb[])[labels_number], labels::jsonb), asked_by_id, pool_id, model_id, profile,
    members, devices_per_member, milli, units_milli,
    (%(quotas)s::uuid[])[quotas_first:quotas_last], is_borrowed, is_preemptible, priority, price_per_hour,
    coalesce((%(decisions_known)s::jsonb[])[decision_number], decision::jsonb), lease_seconds, start_at, end_at, notice_at,
    held_until_at, queued_at, queue_reason, 1, %(now)s, %(now)s, before_end_state
FROM (
    SELECT unnest(%(ids)s::uuid[]) AS id, unnest(%(project_ids)s::uuid[]) AS project_id,
        unnest(%(names)s::text[]) AS name, unnest(%(states)s::text[]) AS state, unnest(%(modes)s::text[]) AS mode,
        unnest(%(specs)s::text[]) AS spec, unnest(%(labels)s::text[]) AS labels,
        unnest(%(labels_number)s::integer[]) AS labels_number,
        unnest(%(asked_by)s::uuid[]) AS asked_by_id, unnest(%(pool_ids)s::uuid[]) AS pool_id,
        unnest(%(model_ids)s::uuid[]) AS model_id, unnest(%(profiles)s::text[]) AS profile,
        unnest(%(members)s::integer[]) AS members, unnest(%(devices)s::integer[]) AS devices_per_member,
        unnest(%(milli)s::bigint[]) AS milli, unnest(%(units)s::bigint[]) AS units_milli,
        unnest(%(quotas_first)s::integer[]) AS quotas_first, unnest(%(quotas_last)s::integer[]) AS quotas_last,
        unnest(%(borrowed)s::boolean[]) AS is_borrowed,
        unnest(%(preemptible)s::boolean[]) AS is_preemptible, unnest(%(priorities)s::smallint[]) AS priority,
        unnest(%(prices)s::numeric[]) AS price_per_hour, unnest(%(decisions)s::text[]) AS decision,
        unnest(%(decisions_number)s::integer[]) AS decision_number,
        unnest(%(leases)s::bigint[]) AS lease_seconds, unnest(%(starts)s::timestamptz[]) AS start_at,
        unnest(%(ends)s::timestamptz[]) AS end_at, unnest(%(notices)s::timestamptz[]) AS notice_at,
        unnest(%(held_until)s::timestamptz[]) AS held_until_at, unnest(%(queued_at)s::timestamptz[]) AS queued_at,
        unnest(%(queue_reasons)s::text[]) AS queue_reason, unnest(%(before_ends)s::text[]) AS before_end_state) made;
