"""What a tenant needs to use an allocation, by target: without secrets, which only ``services.deliveries`` reads."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db import connection

from pools.domain.access import Access
from pools.domain.deliveries import state_of
from pools.selectors import pages
from pools.selectors.operations import OrderTrouble, TargetName
from pools.selectors.pages import Page

_BY_TARGET: Final = pages.Order(("target_id",), tuple[UUID])
# Also of targets of which nothing was asked yet, so that who waits sees for what.
_ROWS: Final = """
SELECT t.id, t.kind, t.ref, t.project_id IS NULL, p.name, m.members,
    a.ended_at IS NOT NULL OR a.state = 'releasing' OR m.is_over, d.kind, d.facts::text, d.secret_names::text,
    d.made_at, d.expires_at, d.due_at, d.trouble::text
FROM (
    SELECT target_id, array_agg(index ORDER BY index) AS members,
        bool_and(order_state IN ('leaving', 'gone')) AS is_over
    FROM member WHERE allocation_id = %(allocation)s AND target_id IS NOT NULL AND order_state IS NOT NULL
        AND (%(after)s::uuid IS NULL OR target_id > %(after)s)
    GROUP BY target_id ORDER BY target_id LIMIT %(most)s) m
    JOIN allocation a ON a.id = %(allocation)s JOIN target t ON t.id = m.target_id JOIN pool p ON p.id = t.pool_id
    LEFT JOIN delivery d ON d.allocation_id = a.id AND d.target_id = t.id
ORDER BY t.id
"""


class DeliveryRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one platform object hands over for the members that it carries.

    ``state``: ``preparing`` (the platform is being asked), ``ready``, ``failed`` (nothing was handed over yet, and why
    stands in ``trouble``), ``expired`` (the platform ended it and gave nothing new), ``ended`` (it is being given back,
    or was). ``kind`` is kubeconfig, server, vm, ssh, environment or token, null before there is anything. ``facts``
    may be shown, of ``secrets`` there are the names: revealing them is an act of its own. ``expires_at`` is when the
    platform ends it, ``next_at`` when it is asked again. A ``ready`` one with a ``trouble`` was not renewed so far.
    """

    target: TargetName
    pool: str
    members: list[int]
    state: str
    kind: str | None
    facts: dict[str, str]
    secrets: list[str]
    made_at: datetime | None
    expires_at: datetime | None
    next_at: datetime | None
    trouble: OrderTrouble | None


def page(*, allocation_id: UUID, cursor: str | None, limit: int, access: Access, now: datetime) -> Page[DeliveryRow]:
    """Return what an allocation's targets hand over. One query. Raises Invalid."""
    after = pages.decode(cursor, _BY_TARGET)[0] if cursor else None
    with connection.cursor() as rows:
        rows.execute(_ROWS, {"allocation": allocation_id, "after": after, "most": limit + 1})
        found = rows.fetchall()
    next_cursor = pages.encode([found[limit - 1][0]]) if len(found) > limit else None
    sees_all = access.everywhere("node", "read")
    return Page([_row(row, now, sees_all=sees_all) for row in found[:limit]], next_cursor)


def _row(found: tuple[Any, ...], now: datetime, *, sees_all: bool) -> DeliveryRow:
    _, target_kind, ref, is_shared, pool, members, is_over, *more = found
    kind, facts, names, made_at, expires_at, due_at, trouble = more
    told: Mapping[str, Any] | None = msgspec.json.decode(trouble) if trouble else None
    state = state_of(is_over=is_over, made_at=made_at, expires_at=expires_at, has_trouble=told is not None, now=now)
    is_told = state in ("ready", "expired")
    return DeliveryRow(
        target=TargetName(target_kind, ref),
        pool=pool,
        members=members,
        state=state,
        kind=kind if is_told else None,
        facts=msgspec.json.decode(facts) if is_told else {},
        secrets=msgspec.json.decode(names) if is_told else [],
        made_at=made_at if is_told else None,
        expires_at=expires_at if is_told else None,
        next_at=None if is_over else due_at,
        trouble=None
        if told is None
        else OrderTrouble(
            code=told["code"],
            message=told["message"],
            words="" if is_shared and not sees_all else told["words"],
            class_=told["class"],
        ),
    )
