-- The allocations that waited and now got capacity. Which states follow which is a trigger's to say.
UPDATE allocation a SET state = got.state, reason = '', pool_id = got.pool_id, model_id = got.model_id,
    profile = got.profile, milli = got.milli, units_milli = got.units_milli,
    quota_ids = (%(quotas)s::uuid[])[got.quotas_first:got.quotas_last], is_borrowed = got.is_borrowed,
    price_per_hour = got.price_per_hour,
    decision = coalesce((%(decisions_known)s::jsonb[])[got.decision_number], got.decision::jsonb),
    start_at = got.start_at, end_at = got.end_at, notice_at = got.notice_at, held_until_at = got.held_until_at, queue_reason = '',
    generation = a.generation + 1, changed_at = %(now)s
FROM unnest(%(ids)s::uuid[], %(states)s::text[], %(pool_ids)s::uuid[], %(model_ids)s::uuid[], %(profiles)s::text[],
            %(milli)s::bigint[], %(units)s::bigint[], %(quotas_first)s::integer[], %(quotas_last)s::integer[],
            %(borrowed)s::boolean[], %(prices)s::numeric[], %(decisions)s::text[], %(decisions_number)s::integer[],
            %(starts)s::timestamptz[], %(ends)s::timestamptz[], %(notices)s::timestamptz[],
            %(held_until)s::timestamptz[])
    got (id, state, pool_id, model_id, profile, milli, units_milli, quotas_first, quotas_last, is_borrowed,
         price_per_hour, decision, decision_number, start_at, end_at, notice_at, held_until_at)
WHERE a.id = got.id;
