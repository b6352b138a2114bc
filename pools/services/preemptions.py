"""Making room: allocations that may give way get their notice, and who comes instead is promised their place."""

from collections.abc import Collection, Sequence
from copy import copy
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.db import connection
from msgspec.structs import replace

from pools.domain.actors import Actor
from pools.domain.decisions import Decision
from pools.domain.errors import (
    AllocationState,
    FieldError,
    Invalid,
    KeyUsed,
    NoCapacity,
    RoomBooked,
    VictimsChanged,
)
from pools.domain.preemption import Preview, Victim, choose, may_go
from pools.domain.quota_books import Book
from pools.domain.quotas import Ask, Row, Taken
from pools.models import Allocation
from pools.selectors import candidates, packing, placeable, victims, waiting
from pools.selectors.candidates import Read, Scores
from pools.selectors.placeable import Fleet
from pools.services import bookings, claiming, models, orders, quota_use, scheduling, sql, starving, writing
from pools.services.asked import Asked, Planned

PREEMPTED: Final = "preempted"
_SOON: Final = timedelta(seconds=1)
_ROUND: Final = 2  # of reads: what is free beside those who give way

# Whoever waits for a notice already, or is on its way out, is not told twice; and whoever waits for room still does.
_LOCK: Final = """
SELECT id, name FROM allocation
WHERE (id = ANY(%(victims)s) AND state = 'active' AND reason = '') OR (id = %(waiting)s AND state = 'queued'
    AND NOT EXISTS (SELECT FROM booking WHERE allocation_id = %(waiting)s))
ORDER BY id FOR NO KEY UPDATE
"""
_NOTICE: Final = """
UPDATE allocation SET end_at = least(end_at, %(end_at)s), notice_at = NULL, reason = %(reason)s, changed_at = %(now)s,
    generation = generation + 1
WHERE id = ANY(%(ids)s)
"""


def preview(asked: Asked, fleet: Fleet, scores: Scores, *, now: datetime) -> tuple[Read, Preview | None]:
    """Return who would have to give way to a request, and the read that says so. Nothing is written.

    Whoever goes gives back what the quotas count of it. What is borrowed is taken back only by who stays within the own
    quota then. None: nobody can make room, or the quota has none even so.
    """
    wanted, pools = asked.wanted, fleet.usable(asked.lineage)
    read = candidates.read(fleet, pools, [wanted], scores, chance=asked.id.int, round=_ROUND, now=now)
    read.view, live = victims.known(read, wanted, scores, now=now)
    quota = _Quota(asked, read, scores, live)
    for reclaims in (True, False):
        found = choose(
            read.view,
            wanted,
            [each for each in live if may_go(each, wanted.priority, asked.lineage[0], now, reclaims=reclaims)],
            has_quota=partial(quota.has_room, may_borrow=not reclaims),
        )
        if found is not None:
            return read, found
    return read, None


class _Quota:
    """What the quotas have once somebody is gone. One query for each pool, model and profile that is tried."""

    def __init__(self, asked: Asked, read: Read, scores: Scores, live: Sequence[Victim]) -> None:
        self._asked, self._read, self._scores = asked, read, scores
        self._held = {each.ask for each in live}
        self._rows: dict[Ask, list[Row]] = {}

    def has_room(self, decision: Decision, gone: Sequence[Victim], *, may_borrow: bool) -> bool:
        ask = scheduling.ask_of(self._asked, decision, self._read, self._scores)
        if ask not in self._rows:
            self._rows[ask] = quota_use.rows([ask, *self._held])
        book = Book(map(copy, self._rows[ask]))  # a trial changes its rows
        for victim in gone:
            book.give_back(victim.ask)
        taken = book.take(ask)
        return isinstance(taken, Taken) and (may_borrow or not taken.is_borrowed)


def waits(allocation_id: UUID, actor: Actor) -> Asked:
    """Return the request of an allocation that waits in the queue, as somebody lets others make room for it.

    Raises AllocationState where it does not wait any more, RoomBooked where it has a promise already.
    """
    found = waiting.one(allocation_id)
    if found is None:
        raise AllocationState(state=Allocation.objects.values_list("state", flat=True).get(id=allocation_id))
    if found.booked_at is not None:
        raise RoomBooked
    # One that was scheduled and found no room waits for any time.
    wanted = replace(found.wanted, start_at=None)
    return replace(starving.asked(found), wanted=wanted, actor=actor)


def preempt(*, asked: Asked, victim_ids: Collection[UUID], now: datetime) -> None:
    """Give these allocations their notice and promise their place to the request from its end on.

    They are exactly those whom a preview names. A request that waits (``waits``) stays in the queue until then; any
    other is scheduled. Raises VictimsChanged where a preview names others now, NoCapacity, KeyUsed, Invalid.
    """
    if not asked.is_waiting and (asked.wanted.start_at is not None or asked.wanted.mode == "hold"):
        detail = "Who makes room does so after its notice; leave start_at out, and ask for no hold."
        raise Invalid(fields=(FieldError("request", "not_allowed", detail),))
    scores = _scores()
    read, found = preview(asked, placeable.fleet(now), scores, now=now)
    if found is None:
        raise NoCapacity(reason="no_capacity")
    if {each.allocation_id for each in found.victims} != set(victim_ids):
        raise VictimsChanged
    planned = Planned(asked, found.decision, scheduling.ask_of(asked, found.decision, read, scores))
    _write(planned, found, read, now)


@writing.transaction
def _write(planned: Planned, found: Preview, read: Read, now: datetime) -> None:
    asked, ids = planned.asked, [each.allocation_id for each in found.victims]
    start_at = now + max(timedelta(seconds=found.notice_seconds), _SOON)
    when = scheduling.window_from(start_at, asked.wanted)
    rows = bookings.of(asked.id, planned.decision, when)
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, {"victims": ids, "waiting": asked.id if asked.is_waiting else None})
        names = dict(cursor.fetchall())
        if len(names) != len(ids) + asked.is_waiting:
            raise VictimsChanged
        cursor.execute(_NOTICE, {"ids": ids, "end_at": start_at, "reason": PREEMPTED, "now": now})
        if bookings.guard(cursor, rows, now=now) or not claiming.is_granted(planned):
            raise VictimsChanged
        if not asked.is_waiting and not claiming.insert_scheduled(planned, read, *when, now=now):
            raise KeyUsed
        bookings.make(cursor, rows)
        orders.touch(cursor, ids, now=now)  # targets are locked after capacity
        _tell(cursor, asked, ids, now)
    if asked.is_waiting:
        starving.tell(asked.actor, planned, names[asked.id], start_at, now)


def _scores() -> Scores:
    version, prices = packing.current()
    return Scores(models.current().by_slug, prices, version)


def _tell(cursor: Any, asked: Asked, ids: Collection[UUID], now: datetime) -> None:
    actor = asked.actor
    who = {"actor": actor.name, "actor_id": actor.access.user_id, "token": actor.access.token_prefix}
    why = {"request_id": actor.request_id[:64], "reason": actor.reason[:500]}
    sql.run(cursor, "allocation_preempted", {**who, **why, "ids": list(ids), "now": now})
