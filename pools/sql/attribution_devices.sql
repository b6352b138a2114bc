-- What of devices is used by others, and what by claims. Their capacity rows follow.
UPDATE device d SET shadow_milli = n.shadow_milli, shadow_mib = n.shadow_mib, own_milli = n.own_milli, own_mib = n.own_mib
FROM unnest(%(ids)s::uuid[], %(shadow_milli)s::integer[], %(shadow_mib)s::integer[], %(own_milli)s::integer[],
            %(own_mib)s::integer[]) n (id, shadow_milli, shadow_mib, own_milli, own_mib)
WHERE d.id = n.id;
