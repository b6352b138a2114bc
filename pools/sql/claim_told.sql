-- One audit row for each allocation of an attempt. Lists are taken apart as in claim_insert.
INSERT INTO audit_event (at, actor, actor_id, token_prefix, project_id, request_id, reason, action, object_kind,
                         object_id, object_name, after)
SELECT %(now)s, actor, actor_id, token_prefix, project_id, request_id, reason, action, 'allocation',
    object_id::text, object_name, coalesce((%(afters_known)s::jsonb[])[after_number], after::jsonb)
FROM (SELECT unnest(%(actors)s::text[]) AS actor, unnest(%(asked_by)s::uuid[]) AS actor_id,
        unnest(%(tokens)s::text[]) AS token_prefix, unnest(%(project_ids)s::uuid[]) AS project_id,
        unnest(%(requests)s::text[]) AS request_id, unnest(%(reasons)s::text[]) AS reason,
        unnest(%(actions)s::text[]) AS action, unnest(%(ids)s::uuid[]) AS object_id,
        unnest(%(names)s::text[]) AS object_name, unnest(%(afters)s::text[]) AS after,
        unnest(%(afters_number)s::integer[]) AS after_number) told;
