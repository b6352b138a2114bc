-- One audit row for each allocation of an attempt.
INSERT INTO audit_event (at, actor, actor_id, token_prefix, project_id, request_id, reason, action, object_kind,
                         object_id, object_name, after)
SELECT %(now)s, actor, actor_id, token_prefix, project_id, request_id, reason, action, 'allocation',
    object_id::text, object_name, coalesce((%(afters_known)s::jsonb[])[after_number], after::jsonb)
FROM unnest(%(actors)s::text[], %(actor_ids)s::uuid[], %(tokens)s::text[], %(project_ids)s::uuid[], %(requests)s::text[],
            %(reasons)s::text[], %(actions)s::text[], %(ids)s::uuid[], %(names)s::text[], %(afters)s::text[],
            %(afters_number)s::integer[])
    told (actor, actor_id, token_prefix, project_id, request_id, reason, action, object_id, object_name, after,
          after_number);
