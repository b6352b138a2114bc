"""What becomes of allocations as their platforms answer: ordered, carried, refused, given back, tried again.

Each function takes some hundred allocations that are due and moves them one step. Two at once are harmless: whoever
has an allocation locked is passed by. The last one is what a person asks for, of one.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection

from pools import dispatch
from pools.domain import states, targets
from pools.domain.actors import SYSTEM, Actor
from pools.domain.errors import AllocationChanged, AllocationMissing, AllocationState, LeaseOver
from pools.selectors import installation, prepared
from pools.services import audit, orders, sql, writing

AT_ONCE: Final = 500
NEXT_CANDIDATE: Final = "next_candidate"
NO_CAPACITY: Final = "no_capacity"

_CLAIMED: Final = """
SELECT a.id FROM allocation a WHERE a.state = 'claimed' AND a.reason = '' AND a.pool_id IS NOT NULL
    AND NOT EXISTS (SELECT FROM member m WHERE m.allocation_id = a.id AND m.order_state IS NOT NULL)
ORDER BY a.id LIMIT %s FOR NO KEY UPDATE OF a SKIP LOCKED
"""
_CARRIED: Final = """
SELECT a.id FROM allocation a WHERE a.state = 'binding'
    AND NOT EXISTS (SELECT FROM member m WHERE m.allocation_id = a.id AND m.order_state IS DISTINCT FROM 'carried')
ORDER BY a.id LIMIT %s FOR NO KEY UPDATE OF a SKIP LOCKED
"""
# By keys: the others on their way may be thousands, and this is asked after each turn.
_CARRIED_BY: Final = """
SELECT a.id FROM (SELECT DISTINCT allocation_id FROM member WHERE target_id = %s AND order_state = 'carried') c
    JOIN allocation a ON a.id = c.allocation_id
WHERE a.state = 'binding'
    AND NOT EXISTS (SELECT FROM member m WHERE m.allocation_id = a.id AND m.order_state IS DISTINCT FROM 'carried')
ORDER BY a.id LIMIT %s FOR NO KEY UPDATE OF a SKIP LOCKED
"""
_REFUSED: Final = """
SELECT a.id, t.code, t.class, (
    SELECT count(DISTINCT o.generation) FROM operation o
    WHERE o.allocation_id = a.id AND o.trouble ->> 'class' = 'no_capacity'
        AND (a.retried_at IS NULL OR o.created_at >= a.retried_at))
FROM allocation a CROSS JOIN LATERAL (
    SELECT m.trouble ->> 'code' AS code, m.trouble ->> 'class' AS class FROM member m
    WHERE m.allocation_id = a.id AND m.trouble IS NOT NULL
    ORDER BY m.trouble ->> 'class' = 'no_capacity', m.index LIMIT 1) t
WHERE a.state = 'binding' AND EXISTS (
    SELECT FROM member m
    WHERE m.allocation_id = a.id AND m.trouble IS NOT NULL AND m.order_state IN ('leaving', 'gone'))
ORDER BY a.id LIMIT %s FOR NO KEY UPDATE OF a SKIP LOCKED
"""
# What is to be taken off and may be there, though somebody else made what is there now.
_STUCK: Final = """
SELECT a.id, a.state, a.reason FROM allocation a
WHERE (a.state = 'releasing' OR a.state = 'claimed' AND a.reason = %s) AND EXISTS (
    SELECT FROM member m
    WHERE m.allocation_id = a.id AND m.order_state = 'leaving' AND m.trouble ->> 'code' = %s)
ORDER BY a.id LIMIT %s FOR NO KEY UPDATE OF a SKIP LOCKED
"""

_LOCK: Final = """
SELECT name, state, reason, generation, project_id, pool_id FROM allocation WHERE id = %s FOR NO KEY UPDATE
"""
_ON_ITS_WAY: Final = ("claimed", "binding")


@writing.transaction
def order(*, now: datetime) -> int:
    """Let what was claimed be ordered of its targets; return how many allocations."""
    with prepared.cursor() as cursor:
        found = _some(cursor, _CLAIMED)
        if found:
            orders.want(cursor, found, installation.installation_id(), now=now)
            _move(cursor, found, "binding", now)
    return len(found)


@writing.transaction
def activate(*, now: datetime, target_id: UUID | None = None) -> int:
    """Let those be active whose platforms confirmed every order, all or those of a target; return how many."""
    with prepared.cursor() as cursor:
        found = _some(cursor, _CARRIED) if target_id is None else _some(cursor, _CARRIED_BY, target_id)
        if found:
            sql.run(cursor, "allocation_bound", {"ids": found})
            _move(cursor, found, "active", now)
            _tell(cursor, found, "allocation.activated", "binding", now)
    return len(found)


@writing.transaction
def give_up(*, now: datetime) -> int:
    """Take everything of those off again of which a platform refused something; return how many.

    Where it only had no room, the next candidate follows, if there were not too many; people look at the rest.
    """
    with prepared.cursor() as cursor:
        cursor.execute(_REFUSED, [AT_ONCE])
        found = cursor.fetchall()
        ids = [row[0] for row in found]
        if found:
            orders.leave(cursor, ids, now=now)
            for allocation_id, code, kind, tried in found:
                is_next = kind == "no_capacity" and tried < targets.CANDIDATES_MOST
                state, reason = ("claimed", NEXT_CANDIDATE) if is_next else ("needs_attention", code)
                _move(cursor, [allocation_id], state, now, reason=reason)
            _tell(cursor, ids, "allocation.refused_by_platform", "binding", now)
    return len(found)


@writing.transaction
def show_stuck(*, now: datetime) -> int:
    """Let people look at what cannot be taken off, because somebody else made what is there now; return how many.

    It is asked for again all the same. Why it was given back stands on, so that nothing begins anew with it.
    """
    with connection.cursor() as cursor:
        cursor.execute(_STUCK, [NEXT_CANDIDATE, targets.NOT_OURS, AT_ONCE])
        found = cursor.fetchall()
        for allocation_id, before, reason in found:
            is_next = before == "claimed"
            for state in ("binding", "needs_attention") if is_next else ("needs_attention",):
                _move(cursor, [allocation_id], state, now, reason=targets.NOT_OURS if is_next else reason)
            _tell(cursor, [allocation_id], "allocation.not_taken_off", before, now)
    return len(found)


@writing.transaction
def without_place(*, allocation_ids: Collection[UUID], now: datetime) -> None:
    """Let people look at those for which no other place was found. They hold nothing."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM allocation WHERE id = ANY(%s) AND state = 'claimed' AND pool_id IS NULL"
            " ORDER BY id FOR NO KEY UPDATE",
            [list(allocation_ids)],
        )
        found = [row[0] for row in cursor.fetchall()]
        for state in ("binding", "needs_attention") if found else ():
            _move(cursor, found, state, now, reason=NO_CAPACITY)
        if found:
            _tell(cursor, found, "allocation.without_place", "claimed", now)


@writing.transaction
def retry(*, allocation_id: UUID, generation: int | None = None, actor: Actor, now: datetime) -> None:
    """Let what needs attention be tried again: where it is, or, if it has no place, wherever there is room by now.

    How often it was refused before does not count any more. Trying what is being tried changes nothing.
    Raises LeaseOver where it is given back, AllocationState, AllocationChanged, AllocationMissing.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [allocation_id])
        found = cursor.fetchone()
        if found is None:
            raise AllocationMissing
        name, state, reason, known, project_id, pool_id = found
        if state in _ON_ITS_WAY:
            return
        if generation is not None and generation != known:
            raise AllocationChanged
        if state != "needs_attention":
            raise AllocationState(state=state)
        if reason in states.ALLOCATION_GIVEN_BACK:
            raise LeaseOver
        _move(cursor, [allocation_id], "binding", now)
        cursor.execute("UPDATE allocation SET retried_at = %s WHERE id = %s", [now, allocation_id])
        if pool_id is None:
            _move(cursor, [allocation_id], "claimed", now, reason=NEXT_CANDIDATE)
        else:
            orders.want(cursor, [allocation_id], installation.installation_id(), now=now)
            sql.run(cursor, "allocation_retry", {"id": allocation_id, "now": now})
    dispatch.advance_allocations()
    audit.record(
        actor, "allocation.retried", "allocation", allocation_id, name, {"state": state},
        {"state": "claimed" if pool_id is None else "binding"}, now, project_id=project_id,
    )  # fmt: skip


def _some(cursor: Any, due: str, *of: UUID) -> list[UUID]:
    cursor.execute(due, [*of, AT_ONCE])
    return [row[0] for row in cursor.fetchall()]


def _move(cursor: Any, ids: Collection[UUID], state: str, now: datetime, *, reason: str = "") -> None:
    cursor.execute(
        "UPDATE allocation SET state = %s, reason = %s, changed_at = %s, generation = generation + 1"
        " WHERE id = ANY(%s)",
        [state, reason[:32], now, list(ids)],
    )


def _tell(cursor: Any, ids: Collection[UUID], action: str, before: str, now: datetime) -> None:
    params = {"ids": list(ids), "action": action, "before": before, "actor": SYSTEM.name, "now": now}
    sql.run(cursor, "allocation_told", params)
