"""Gangs that wait long are promised the first instant at which leases that end leave room for all their members.

From then on others may pass them: what ends before is free for anybody, and the guard keeps the rest out of what was
promised. Who stands first among those who could be given the same is promised something, and nobody behind it.
"""

import time
from bisect import bisect_left
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import connection
from msgspec.structs import replace

from pools.domain import waiting
from pools.domain.actors import SYSTEM, Actor
from pools.domain.decisions import Decision
from pools.domain.planner import Draft
from pools.domain.waiting import Reach
from pools.selectors import ends, packing, placeable, promises
from pools.selectors.candidates import Scores
from pools.selectors.placeable import Fleet
from pools.selectors.promises import Ahead, Window
from pools.selectors.waiting import Queued
from pools.services import audit, bookings, claiming, models, scheduling, starting, writing
from pools.services.asked import Asked, Planned

STARVES_AFTER: Final = timedelta(minutes=10)
# A search reads much, and leases do not change fast: one allocation at a time and a minute apart, in each process.
APART_SECONDS: Final = 60.0
_ROWS_MOST: Final = 65_536  # looked at in one search: all instants of few rows, some of many

_LOCK: Final = "SELECT name FROM allocation WHERE id = %s AND state = 'queued' FOR NO KEY UPDATE"
_IS_PROMISED: Final = "SELECT EXISTS (SELECT FROM booking WHERE allocation_id = %s)"
_searched: dict[UUID, float] = {}


def start(queued: Collection[Queued], *, now: datetime) -> dict[UUID, str]:
    """Claim for those of the queue to whom something was promised; return by id why not, "" for who has it now.

    What was not there for long after its time is promised no more.
    """
    promised = [each for each in queued if each.booked_at is not None]
    if not promised:
        return {}
    scores, fleet = _scores(), placeable.fleet(now)
    answers = {each.id: _claim(each, fleet, scores, now) for each in promised}
    missed = [
        each.id for each in promised if answers[each.id] and each.booked_at and now - each.booked_at > starting.GRACE
    ]
    if missed:
        _let_go(missed)
    return answers


def _claim(each: Queued, fleet: Fleet, scores: Scores, now: datetime) -> str:
    assert each.booked_at is not None
    request, (_, end_at) = asked(each), scheduling.window_from(each.booked_at, each.wanted)
    reason, _ = starting.claim(request, fleet, scores, now)
    if reason and each.wanted.mode == "claim" and end_at is not None and now < end_at:
        # It begins some moments late, and somebody else right after it: it has what was promised, until that ends.
        reason, _ = starting.claim(replace(request, until_at=end_at), fleet, scores, now)
    return reason


def book(queued: Sequence[Queued], *, now: datetime) -> bool:
    """Promise something to a gang that waits for long, if there is one; ``queued`` is the queue in its order."""
    if not any(_is_starving(each, now) for each in queued):
        return False
    scores, fleet = _scores(), placeable.fleet(now)
    for each in _heads(queued, fleet, scores):
        if _is_starving(each, now) and time.monotonic() - _searched.get(each.id, -APART_SECONDS) >= APART_SECONDS:
            for gone in _searched.keys() - {other.id for other in queued}:
                del _searched[gone]
            _searched[each.id] = time.monotonic()
            return _search(each, fleet, scores, now)
    return False


def asked(queued: Queued) -> Asked:
    """Return the request of somebody who waits; what was promised to it is let go in the write in which it claims."""
    return Asked(
        id=queued.id,
        wanted=queued.wanted,
        project_id=queued.project_id,
        lineage=queued.lineage,
        actor=SYSTEM,
        is_waiting=True,
        is_booked=queued.booked_at is not None,
        queued_at=queued.queued_at,
    )


def tell(actor: Actor, planned: Planned, name: str, start_at: datetime, now: datetime) -> None:
    """Record in the caller's transaction that somebody who waits was promised a start."""
    asked, decision = planned.asked, planned.decision
    after = {"start_at": start_at.isoformat(), "pool_id": str(decision.pool_id), "model": decision.model}
    audit.record(actor, "allocation.booked", "allocation", asked.id, name, {}, after, now, project_id=asked.project_id)


def _is_starving(each: Queued, now: datetime) -> bool:
    return each.wanted.members > 1 and each.booked_at is None and now - each.queued_at >= STARVES_AFTER


def _heads(queued: Sequence[Queued], fleet: Fleet, scores: Scores) -> list[Queued]:
    """Return who is first among those that could be given the same. Whom a quota holds back holds back nobody here."""
    known = frozenset(scores.chips) | set(fleet.models)
    before: list[Reach] = []
    heads = []
    for each in queued:
        if each.reason == waiting.OVER_QUOTA:
            continue
        reach = waiting.reach(each.wanted, fleet.usable(each.lineage), known, scores.chips)
        if not any(reach.meets(other) for other in before):
            heads.append(each)
            before.append(reach)
    return heads


def _search(each: Queued, fleet: Fleet, scores: Scores, now: datetime) -> bool:
    """Promise the first instant at which there is room: only where something ends there may be more than before.

    Leases that ended leave ever more, so of them alone it is found by halving. From there on others have booked, and
    what fits at one instant may not at the next: those are tried in order, and the last one where they are too many.
    """
    pools = fleet.usable(each.lineage)
    instants = ends.instants(each.wanted, pools, fleet, scores, now=now)
    ahead = promises.ahead(fleet, pools, each.wanted, scores, now=now)

    def is_roomy(start_at: datetime) -> bool:
        read = ahead.within(scheduling.window_from(start_at, each.wanted), counts_booked=False)
        return Draft(read.view, is_explained=False, tells_why=False).fits(each.wanted)

    if not instants or not is_roomy(instants[-1]):
        return False
    first = bisect_left(instants, True, hi=len(instants) - 1, key=is_roomy)
    last = first + max(_ROWS_MOST // max(ahead.rows, 1), 1)
    tried = (_plan(each, ahead, scores, at) for at in (*instants[first:last], *instants[last:][-1:]))
    found = next((planned for planned in tried if planned is not None), None)
    return found is not None and _promise(*found, now)


def _plan(each: Queued, ahead: Ahead, scores: Scores, start_at: datetime) -> tuple[Planned, Window] | None:
    wanted, request = each.wanted, asked(each)
    when = scheduling.window_from(start_at, wanted)
    read = ahead.within(when)
    decision = Draft(read.view, is_explained=False, tells_why=False).decide(wanted)
    if not isinstance(decision, Decision):
        return None
    ask = scheduling.ask_of(request, decision, read, scores)
    # What a quota would refuse then keeps nobody from anything.
    return None if scheduling.shortfall(ask, when) else (Planned(request, decision, ask), when)


@writing.transaction
def _promise(planned: Planned, when: Window, now: datetime) -> bool:
    """Promise it where the capacity still can; somebody who was quicker is found by the next search."""
    id = planned.asked.id
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [id])
        found = cursor.fetchone()
        cursor.execute(_IS_PROMISED, [id])  # by somebody who was quicker
        if found is None or cursor.fetchone()[0]:
            return False
        booked = bookings.of(id, planned.decision, when)
        if not claiming.is_granted(planned) or bookings.guard(cursor, booked, now=now):
            return False
        bookings.make(cursor, booked)
    tell(SYSTEM, planned, found[0], when[0], now)
    return True


@writing.transaction
def _let_go(allocation_ids: Sequence[UUID]) -> None:
    with connection.cursor() as cursor:
        bookings.drop(cursor, allocation_ids)


def _scores() -> Scores:
    version, prices = packing.current()
    return Scores(models.current().by_slug, prices, version)
