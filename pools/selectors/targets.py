"""What a target shall carry, and which pools have something that is due."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from connectors.contract import Order
from pools.domain import markers, states
from pools.selectors import prepared

# Of whole devices and shares the platform is told which, where it keeps to the device that we choose.
# Hosts may tell one model by several names, so the name is that of the member's own node.
# The states of those that are present are written out, since only so the index of them is used.
_ORDERS: Final = f"""
SELECT m.allocation_id, m.index, a.profile, coalesce(c.model_text, chip.name, ''), a.end_at,
    a.spec -> 'access' -> 'ssh_keys', c.resource, c.devices, c.milli, c.mib, c.cpu_milli, c.host_mib
FROM member m JOIN allocation a ON a.id = m.allocation_id JOIN pool p ON p.id = m.pool_id
    LEFT JOIN chip_model chip ON chip.id = a.model_id
    CROSS JOIN LATERAL (
        SELECT coalesce(max(k.resource), '') AS resource,
            coalesce(sum(l.milli * cardinality(l.positions)) FILTER (WHERE k.kind <> 'host'), 0) AS milli,
            coalesce(sum(l.memory_mib * cardinality(l.positions)) FILTER (WHERE k.kind <> 'host'), 0) AS mib,
            coalesce(sum(l.milli) FILTER (WHERE k.kind = 'host'), 0) AS cpu_milli,
            coalesce(sum(l.memory_mib) FILTER (WHERE k.kind = 'host'), 0) AS host_mib,
            (SELECT array_agg(d.ref ORDER BY at.number)
                FROM claim of JOIN capacity cards ON cards.id = of.capacity_id AND cards.kind = 'cards'
                    CROSS JOIN LATERAL unnest(of.positions) WITH ORDINALITY at (place, number)
                    JOIN device d ON d.id = cards.device_ids[at.place]
                WHERE p.grain = 'device' AND of.allocation_id = m.allocation_id AND of.member_index = m.index
                    AND of.released_at IS NULL) AS devices,
            coalesce(
                (SELECT d.model_text FROM device d
                    WHERE d.pool_id = m.pool_id AND d.node_id = m.node_id AND d.model_id = a.model_id
                        AND d.retired_at IS NULL
                    ORDER BY d.id LIMIT 1),
                (SELECT d.model_text FROM device d
                    WHERE d.pool_id = m.pool_id AND d.model_id = a.model_id AND d.retired_at IS NULL
                    ORDER BY d.id LIMIT 1)) AS model_text
        FROM claim l JOIN capacity k ON k.id = l.capacity_id
        WHERE l.allocation_id = m.allocation_id AND l.member_index = m.index AND l.released_at IS NULL
            AND NOT l.is_held) c
WHERE m.target_id = %s AND m.order_state IN {states.ORDER_PRESENT} AND m.order_state = ANY(%s)
    AND (%s::uuid IS NULL OR m.allocation_id = %s)
ORDER BY m.allocation_id, m.index
"""
_DUE: Final = """
SELECT p.id, p.kind FROM (
    SELECT pool_id, due_at FROM target WHERE due_at <= %(now)s AND (turn_until IS NULL OR turn_until <= %(now)s)
    UNION ALL SELECT pool_id, due_at FROM delivery WHERE due_at <= %(now)s) due
    JOIN pool p ON p.id = due.pool_id LEFT JOIN pool_sync s ON s.pool_id = p.id
WHERE p.state = ANY(%(states)s) AND (s.breaker_open_until IS NULL OR s.breaker_open_until <= %(now)s)
GROUP BY p.id, p.kind ORDER BY min(due.due_at)
"""
# Of deliveries most are to be renewed some day: by pool the index tells the first at once.
_ANYTHING: Final = f"""
SELECT EXISTS (SELECT FROM allocation WHERE state IN ('claimed', 'binding', 'releasing'))
    OR EXISTS (SELECT FROM allocation WHERE state = 'needs_attention' AND reason IN {states.ALLOCATION_GIVEN_BACK})
    OR EXISTS (SELECT FROM target WHERE due_at <= %(now)s)
    OR EXISTS (SELECT FROM pool p WHERE (SELECT min(d.due_at) FROM delivery d WHERE d.pool_id = p.id) <= %(now)s)
"""

_UNKNOWN: Final = """
SELECT marker FROM unnest(%s::text[]) told (marker)
WHERE NOT EXISTS (SELECT FROM operation o WHERE o.target_ref = told.marker AND o.action = 'apply')
    AND NOT EXISTS (SELECT FROM target t WHERE t.ref = told.marker AND t.pool_id = %s)
    AND NOT EXISTS (SELECT FROM orphan o WHERE o.pool_id = %s AND o.marker = told.marker AND o.closed_at IS NULL)
"""


def is_anything_due(now: datetime) -> bool:
    """Tell whether an allocation is on its way, or a target or a delivery is due. One query, by indexes."""
    with prepared.cursor() as cursor:
        cursor.execute(_ANYTHING, {"now": now})
        return bool(cursor.fetchone()[0])


def orders(target_id: UUID, installation: str) -> tuple[Order, ...]:
    """Return all orders that the target shall carry now. One query."""
    return _orders(target_id, states.ORDER_CARRIED, None, installation)


def orders_of(allocation_id: UUID, target_id: UUID, installation: str) -> tuple[Order, ...]:
    """Return the orders of one allocation that the target carries, without those of others. One query."""
    return _orders(target_id, ("carried",), allocation_id, installation)


def unknown(told: Collection[str], pool_id: UUID) -> tuple[str, ...]:
    """Return those of the markers that stand for nothing that was ever ordered, nor for an orphan of the pool."""
    with prepared.cursor() as cursor:
        cursor.execute(_UNKNOWN, [sorted(told), pool_id, pool_id])
        return tuple(row[0] for row in cursor.fetchall())


def due_pools(now: datetime) -> list[tuple[UUID, str]]:
    """Return (pool id, kind) of the pools with targets that are due and nobody is at, or deliveries.

    A pool whose breaker is open is left in peace until its next observation is due.
    """
    with prepared.cursor() as cursor:
        cursor.execute(_DUE, {"now": now, "states": list(states.POOL_STATES_SYNCED)})
        return list(cursor.fetchall())


def _orders(
    target_id: UUID, order_states: Collection[str], allocation_id: UUID | None, installation: str
) -> tuple[Order, ...]:
    with prepared.cursor() as cursor:
        cursor.execute(_ORDERS, [target_id, list(order_states), allocation_id, allocation_id])
        return tuple(_order(row, installation) for row in cursor.fetchall())


def _order(row: tuple[Any, ...], installation: str) -> Order:
    allocation_id, index, profile, model, end_at, keys, resource, devices, milli, mib, cpu_milli, host_mib = row
    return Order(
        marker=markers.of_member(installation, allocation_id, index),
        allocation=str(allocation_id),
        member=index,
        model=model,
        profile=profile,
        resource=resource,
        devices=tuple(devices or ()),
        milli=int(milli),
        memory_mib=int(mib),
        cpu_milli=int(cpu_milli),
        host_memory_mib=int(host_mib),
        lease_end_at=end_at.isoformat() if end_at else None,
        ssh_keys=tuple(_list(keys)),
    )


def _list(keys: Any) -> list[str]:
    return msgspec.json.decode(keys, type=list[str]) if isinstance(keys, str) else keys or []
