"""Requests that begin later: what they ask for is booked for their window, and becomes theirs when it begins."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import connection

from pools.domain import quotas, windows
from pools.domain.decisions import Decision, Refusal
from pools.domain.errors import KeyUsed, NoCapacity, QuotaExceeded
from pools.domain.planner import Draft
from pools.domain.quota_books import Book
from pools.domain.quotas import Ask, Shortfall
from pools.domain.request import Wanted
from pools.domain.windows import Span
from pools.selectors import promises
from pools.selectors.candidates import Read, Scores
from pools.selectors.placeable import Fleet
from pools.selectors.promises import Window
from pools.services import bookings, claiming, quota_use, writing
from pools.services.asked import Asked, Planned
from pools.services.batches import Answer, Made, told

REPLANS_MOST: Final = 3

_PROMISED: Final = """
SELECT p.lineage, a.model_id, a.profile, a.pool_id, a.milli, a.units_milli, a.start_at, a.end_at
FROM allocation a JOIN project p ON p.id = a.project_id
WHERE a.state = 'scheduled' AND p.lineage[1] = %s AND a.start_at < coalesce(%s, 'infinity'::timestamptz)
    AND coalesce(a.end_at, 'infinity') > %s
"""


def schedule(asked: Sequence[Asked], fleet: Fleet, scores: Scores, *, now: datetime) -> dict[UUID, Answer]:
    """Book what each request asks for from its start on, or say why it cannot be had then. One write each."""
    return {each.id: _schedule(each, fleet, scores, now) for each in asked}


def window(asked: Asked) -> Window:
    """Return from when until when a request that begins later has what it asks for."""
    assert asked.wanted.start_at is not None
    return window_from(asked.wanted.start_at, asked.wanted)


def window_from(start_at: datetime, wanted: Wanted) -> Window:
    """Return from when until when a request has what it asks for that begins at an instant, its hold included."""
    lease = wanted.lease_seconds
    return start_at, None if lease is None else start_at + timedelta(seconds=lease + (wanted.hold_seconds or 0))


def ask_of(asked: Asked, decision: Decision, read: Read, scores: Scores) -> Ask:
    """Return what a decision takes of quotas."""
    entry = scores.chips.get(decision.model or "")
    return Ask(
        lineage=asked.lineage,
        model_id=read.models[decision.model] if decision.model else None,
        profile=decision.profile,
        pool_id=decision.pool_id,
        milli=decision.milli,
        units_milli=quotas.compute_units(decision.milli, entry.compute_unit_milli if entry else quotas.UNIT_MILLI),
    )


def shortfall(ask: Ask, when: Window) -> Shortfall | None:
    """Return the quota that is too small for this beside what else begins later and is on then. Two queries.

    What runs now is not counted: nobody knows how long it will. It counts at the start, as with everybody.
    """
    rows = quota_use.rows([ask])
    with connection.cursor() as cursor:
        start_at, end_at = when
        cursor.execute(_PROMISED, [ask.lineage[0], end_at, start_at])
        promised = [(Ask(tuple(row[0]), *row[1:6]), row[6], row[7]) for row in cursor.fetchall()]
    for row in rows:
        spans = [
            Span(begins_at, ends_at, row.amount(other))
            for other, begins_at, ends_at in promised
            if row.project_id in other.lineage and row.counts(other)
        ]
        row.used_milli, row.open_guarantee_milli = windows.peak(spans, *when)[0], 0
    taken = Book(rows).take(ask)
    return taken if isinstance(taken, Shortfall) else None


def _schedule(asked: Asked, fleet: Fleet, scores: Scores, now: datetime) -> Answer:
    pools = fleet.usable(asked.lineage)
    when = window(asked)
    for _ in range(REPLANS_MOST + 1):
        read = promises.later(fleet, pools, asked.wanted, scores, when, now=now)
        decision = Draft(read.view).decide(asked.wanted)
        if isinstance(decision, Refusal):
            return NoCapacity(reason=decision.code)
        planned = Planned(asked, decision, ask_of(asked, decision, read, scores))
        if short := shortfall(planned.ask, when):
            return QuotaExceeded(**told(short))
        answer = _book(planned, read, when, now)
        if answer is not None:
            return answer
    return NoCapacity(reason="no_capacity")


@writing.transaction
def _book(planned: Planned, read: Read, when: Window, now: datetime) -> Answer | None:
    """Promise it, if the capacity still can and the pool is still granted; None where somebody was quicker."""
    asked = planned.asked
    rows = bookings.of(asked.id, planned.decision, when)
    with connection.cursor() as cursor:
        if bookings.guard(cursor, rows, now=now) or not claiming.is_granted(planned):
            return None
        if not claiming.insert_scheduled(planned, read, *when, now=now):
            return KeyUsed()
        bookings.make(cursor, rows)
    return Made(asked.id, "scheduled")
