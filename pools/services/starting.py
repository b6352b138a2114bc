"""What was scheduled begins: its booking becomes its claim in one write, or it goes where the table of moves has it."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db import connection
from msgspec.structs import replace

from pools.domain import profiles
from pools.domain.actors import SYSTEM
from pools.domain.decisions import Decision, Refusal
from pools.domain.planner import Draft
from pools.domain.quotas import Shortfall
from pools.domain.request import Choice, Wanted
from pools.selectors import packing, placeable, promises
from pools.selectors.candidates import Scores
from pools.selectors.placeable import Fleet
from pools.selectors.promises import Promise
from pools.services import audit, claiming, models, scheduling, writing
from pools.services.asked import Asked, Planned

AT_ONCE: Final = 200
TRIES: Final = 3
# For so long somebody before may still be leaving, whose lease ended when this one begins.
GRACE: Final = timedelta(minutes=10)

_DUE: Final = """
SELECT a.id, a.spec::text, a.project_id, p.lineage, a.start_at, a.end_at,
    EXISTS (SELECT FROM project s WHERE s.id = ANY(p.lineage) AND s.state <> 'active')
FROM allocation a JOIN project p ON p.id = a.project_id
WHERE a.state = 'scheduled' AND a.start_at <= %(now)s
    AND (%(after_at)s::timestamptz IS NULL OR (a.start_at, a.id) > (%(after_at)s, %(after_id)s::uuid))
ORDER BY a.start_at, a.id LIMIT %(most)s
"""
# Somebody whose lease is over still counts for the quota that has no room.
_LEAVING: Final = """
SELECT EXISTS (SELECT FROM allocation a
    WHERE a.end_at <= %s AND a.ended_at IS NULL AND a.milli > 0 AND a.state <> 'scheduled' AND %s = ANY(a.quota_ids))
"""
_FALL: Final = """
UPDATE allocation SET state = %(state)s, reason = %(reason)s, queue_reason = %(queue_reason)s, start_at = NULL,
    end_at = NULL, queued_at = CASE WHEN %(state)s = 'queued' THEN %(now)s::timestamptz END,
    ended_at = CASE WHEN %(state)s <> 'queued' THEN %(now)s::timestamptz END,
    pool_id = NULL, model_id = NULL, profile = NULL, milli = 0, units_milli = 0, price_per_hour = NULL, decision = NULL,
    changed_at = %(now)s, generation = generation + 1
WHERE id = %(id)s AND state = 'scheduled'
RETURNING name, project_id
"""


def start(*, now: datetime) -> int:
    """Let begin what is due; return how many allocations went on. Two at once are harmless."""
    return sum(_start(row, fleet, scores, now) for due, fleet, scores in _pages(now) for row in due)


def _pages(now: datetime) -> Iterator[tuple[list[Sequence[Any]], Fleet, Scores]]:
    """Yield what is due, some hundred at once, and what is there: those who have to wait stand in nobody's way."""
    after_at = after_id = None
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_DUE, {"now": now, "after_at": after_at, "after_id": after_id, "most": AT_ONCE})
            found = cursor.fetchall()
        if found:
            version, prices = packing.current()
            yield found, placeable.fleet(now), Scores(models.current().by_slug, prices, version)
        if len(found) < AT_ONCE:
            return
        after_id, after_at = found[-1][0], found[-1][4]


def _start(row: Sequence[Any], fleet: Fleet, scores: Scores, now: datetime) -> bool:
    id, spec, project_id, lineage, start_at, end_at, is_stopped = row
    wanted = msgspec.json.decode(spec, type=Wanted)
    if end_at is not None and end_at <= now:
        return _fall(id, "expired", "lease_end", now)
    if is_stopped:
        return _fall(id, "refused", "policy", now)
    asked = Asked(
        id=id,
        wanted=wanted,
        project_id=project_id,
        lineage=tuple(lineage),
        actor=SYSTEM,
        is_waiting=True,
        is_booked=True,
        until_at=end_at,
    )
    reason, is_leaving = claim(asked, fleet, scores, now)
    if not reason:
        return True
    if is_leaving and now < start_at + GRACE:
        return False
    if wanted.queue:
        return _fall(id, "queued", reason, now)
    return _fall(id, "expired" if is_leaving else "refused", reason, now)


def claim(asked: Asked, fleet: Fleet, scores: Scores, now: datetime) -> tuple[str, bool]:
    """Claim what was booked; return why not ("": it is claimed), and whether a little time may change that."""
    for _ in range(TRIES):
        promise = promises.promised(fleet, fleet.usable(asked.lineage), asked.wanted, scores, asked.id, now=now)
        read, decision = promise.read, _decided(asked.wanted, promise)
        if isinstance(decision, Refusal):
            # Where nothing of it is in a pool that the project may use, waiting changes nothing.
            return decision.code, bool(read.positions) and promises.is_there(asked.id)
        planned = Planned(asked, decision, scheduling.ask_of(asked, decision, read, scores))
        outcome = claiming.attempt([planned], read, now=now)
        if outcome.short:
            return "quota_exceeded", _is_somebody_leaving(outcome.short[asked.id], now)
        if outcome.states or outcome.gone:
            return "", False
    return "no_capacity", True


def _decided(wanted: Wanted, promise: Promise) -> Decision | Refusal:
    """Return where it goes of what was promised: pieces to their places, if whoever had those has left."""
    view, left = promise.read.view, {place: list(pieces) for place, pieces in promise.pieces.items()}
    if left:
        wanted = replace(wanted, any_of=(Choice(profile=next(iter(left.values()))[0].profile),))
    decision = Draft(view).decide(wanted)
    if isinstance(decision, Refusal) or not left:
        return decision
    lying, entry = promise.read.layouts, view.chips.get(decision.model or "")
    if not all(profiles.lie_together(entry, lying.get(place, ()), pieces) for place, pieces in left.items()):
        return Refusal(code="no_capacity", is_exhausted=True)
    members = []
    for placed in decision.members:
        assert placed.capacity_id is not None
        places = [(placed.capacity_id, position) for position in placed.positions]
        members.append(replace(placed, starts=tuple([left[place].pop(0).start for place in places])))
    return replace(decision, members=tuple(members))


def _is_somebody_leaving(short: Shortfall, now: datetime) -> bool:
    if short.row is None:
        return False  # there is no quota at all
    with connection.cursor() as cursor:
        cursor.execute(_LEAVING, [now, short.row.id])
        return bool(cursor.fetchone()[0])


@writing.transaction
def _fall(id: UUID, state: str, reason: str, now: datetime) -> bool:
    """Let go what was booked: it waits for anything that would do, or is over."""
    is_over = state != "queued"
    with connection.cursor() as cursor:
        reasons = {"reason": reason if is_over else "", "queue_reason": "" if is_over else reason}
        cursor.execute(_FALL, {"id": id, "state": state, "now": now, **reasons})
        found = cursor.fetchone()
        if found is None:
            return False
        # Who waits is promised nothing any more.
        cursor.execute("DELETE FROM booking WHERE allocation_id = %s", [id])
    name, project_id = found
    after = {"state": state, "reason": reason}
    audit.record(
        SYSTEM, f"allocation.{state}", "allocation", id, name, {"state": "scheduled"}, after, now, project_id=project_id
    )
    return True
