"""What becomes of allocations after they were asked for: confirmed, extended, given back.

Locks come in one order: allocations (id), then quota, capacity and roll-ups as everywhere. Each call may come twice.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection

from pools import dispatch
from pools.domain import quotas, request_rules, states
from pools.domain.actors import SYSTEM, Actor
from pools.domain.errors import (
    AllocationChanged,
    AllocationMissing,
    AllocationState,
    HoldExpired,
    Invalid,
    LeaseOver,
    LeasePreempted,
)
from pools.selectors import prepared, waiting
from pools.selectors.placeable import DONE_AT_ONCE
from pools.services import audit, bookings, leases, orders, quota_use, sql, writing

SWEPT_AT_ONCE: Final = 500
LEASED: Final = ("claimed", "binding", "active", "needs_attention")
_TOLD_BEFORE: Final = ("preempted", "user")
# Those of which something may be on its way off a platform already.
_IS_LEAVING: Final = ("binding", "needs_attention")
_HOLDING_NOTHING: Final = ("pending_approval", "scheduled", "queued")

_LOCK: Final = f"""
SELECT a.id, a.name, a.state, a.reason, a.generation, a.project_id, p.lineage, a.pool_id,
    coalesce({DONE_AT_ONCE}, false), a.model_id,
    a.profile, a.milli, a.units_milli, a.lease_seconds, a.start_at, a.end_at, a.held_until_at,
    coalesce((a.spec ->> 'notice_seconds')::bigint, 0), a.before_end_state,
    coalesce((a.spec ->> 'before_end_seconds')::bigint, 0)
FROM allocation a JOIN project p ON p.id = a.project_id LEFT JOIN pool ON pool.id = a.pool_id
WHERE a.id = ANY(%s) ORDER BY a.id FOR NO KEY UPDATE OF a
"""
_ORDERED: Final = """
SELECT given.id FROM unnest(%s::uuid[]) given (id) WHERE EXISTS (
    SELECT FROM (SELECT order_state FROM member WHERE allocation_id = given.id OFFSET 0) m
    WHERE m.order_state IN ('wanted', 'carried', 'leaving'))
"""
_DUE: Final = {
    "held": "SELECT id FROM allocation WHERE state = 'held' AND held_until_at <= %s ORDER BY held_until_at LIMIT %s",
    "leased": "SELECT id FROM allocation WHERE end_at <= %s AND ended_at IS NULL AND state <> 'releasing'"
    f" AND NOT (state = 'needs_attention' AND reason IN {states.ALLOCATION_GIVEN_BACK}) ORDER BY end_at LIMIT %s",
}
# Nothing of them can be on a platform any more. While one is given back, nothing new is ordered for it.
_GIVEN_BACK: Final = f"""
SELECT a.id FROM allocation a
WHERE (a.state = 'releasing' OR a.state = 'needs_attention' AND a.reason IN {states.ALLOCATION_GIVEN_BACK})
    AND NOT EXISTS (
        SELECT FROM member m WHERE m.allocation_id = a.id AND m.order_state IN ('wanted', 'carried', 'leaving'))
ORDER BY a.id LIMIT %s
"""
# Of what was never sent there is nothing to be done on a platform.
_END: Final = """
WITH ended AS (
    UPDATE allocation SET state = 'released', ended_at = %(now)s, changed_at = %(now)s, generation = generation + 1
    WHERE id = ANY(%(ids)s) RETURNING id),
deliveries AS (
    DELETE FROM delivery WHERE allocation_id = ANY(%(ids)s))
UPDATE operation o SET state = CASE o.action WHEN 'release' THEN 'confirmed' ELSE 'failed' END, ended_at = %(now)s,
    changed_at = %(now)s
FROM ended WHERE o.allocation_id = ended.id AND o.state NOT IN ('confirmed', 'failed')
"""
# As Locked.before_end says it, of many.
_LEFT: Final = """
    before_end_state = CASE WHEN before_end_state = 'running' AND end_at <= %s THEN 'timed_out'
        WHEN before_end_state IN ('pending', 'running') THEN 'skipped' ELSE before_end_state END,
    generation = generation + 1
"""


@dataclass(frozen=True, slots=True)
class Locked:
    """An allocation whose row is locked."""

    id: UUID
    name: str
    state: str
    reason: str
    generation: int
    project_id: UUID
    lineage: list[UUID]
    pool_id: UUID | None
    has_instant_platform: bool
    model_id: UUID | None
    profile: str | None
    milli: int
    units_milli: int
    lease_seconds: int | None
    start_at: datetime | None
    end_at: datetime | None
    held_until_at: datetime | None
    notice_seconds: int
    before_end_state: str
    before_end_seconds: int

    def before_end(self, now: datetime) -> str:
        """Return how the time to save stands when the allocation ends now."""
        if self.before_end_state == "running" and self.end_at is not None and self.end_at <= now:
            return "timed_out"
        return "skipped" if self.before_end_state in ("pending", "running") else self.before_end_state

    @property
    def is_given_back(self) -> bool:
        """True when it is over for its tenant, and people have to look why it cannot be taken off its platform."""
        return self.state == "needs_attention" and self.reason in states.ALLOCATION_GIVEN_BACK

    @property
    def is_done_at_once(self) -> bool:
        """True when no platform has to do anything for it."""
        return self.has_instant_platform or self.state == "held" or self.state in _HOLDING_NOTHING


@writing.transaction
def confirm(*, allocation_id: UUID, generation: int | None = None, actor: Actor, now: datetime) -> None:
    """Let a hold become a claim of the very same devices; its lease begins now. Nothing is planned anew.

    Confirming what is confirmed changes nothing. Raises HoldExpired, AllocationState, AllocationChanged,
    AllocationMissing.
    """
    held = _locked(allocation_id)
    if held.state in LEASED:
        return
    _check(held, generation, ("held", "expired"))
    if held.state == "expired" or held.held_until_at is None or held.held_until_at <= now:
        raise HoldExpired
    is_done = held.has_instant_platform
    ends = None if held.lease_seconds is None else now + timedelta(seconds=held.lease_seconds)
    with connection.cursor() as cursor:
        sql.run(cursor, "claim_confirm", {"ids": [held.id], "kind": "use" if is_done else "reserve"})
        cursor.execute(
            "UPDATE allocation SET state = 'claimed', start_at = %s, end_at = %s, notice_at = %s, held_until_at = NULL,"
            " changed_at = %s, generation = generation + 1 WHERE id = %s",
            [now, ends, leases.notice_at(ends, held.notice_seconds), now, held.id],
        )
        if is_done:
            cursor.execute(
                "UPDATE operation SET state = 'confirmed', changed_at = %s"
                " WHERE allocation_id = %s AND action = 'apply'",
                [now, held.id],
            )
            _move(cursor, [held.id], ("binding", "active"))
    if not is_done:
        dispatch.advance_allocations()
    after = {"state": "active" if is_done else "claimed"}
    _tell(actor, "allocation.confirmed", held, {"state": held.state}, after, now)


@writing.transaction
def extend(
    *, allocation_id: UUID, lease_seconds: int, generation: int | None = None, actor: Actor, now: datetime
) -> None:
    """Let a lease last so long from its beginning. Never shorter: whoever needs less releases.

    Whoever asked for notice of the end is told of the new one too. Raises LeasePreempted where it has to make room,
    LeaseBooked where somebody else was promised what it has, LeaseOver, Invalid, AllocationState, AllocationChanged,
    AllocationMissing.
    """
    if wrong := request_rules.lease_mistakes(lease_seconds):
        raise Invalid(fields=tuple(wrong))
    leased = _locked(allocation_id)
    _check(leased, generation, LEASED)
    if leased.is_given_back or leased.reason == "user" or (leased.end_at is not None and leased.end_at <= now):
        raise LeaseOver
    if leased.reason == "preempted":
        raise LeasePreempted
    if leased.lease_seconds is None or leased.start_at is None or lease_seconds <= leased.lease_seconds:
        return
    end_at = leased.start_at + timedelta(seconds=lease_seconds)
    with connection.cursor() as cursor:
        leases.guard(cursor, leased.id, start_at=leased.start_at, end_at=end_at, access=actor.access, now=now)
        cursor.execute(
            "UPDATE allocation SET lease_seconds = %s, end_at = %s, notice_at = %s, changed_at = %s,"
            " before_end_state = %s, generation = generation + 1 WHERE id = %s",
            [
                lease_seconds,
                end_at,
                leases.notice_at(end_at, leased.notice_seconds),
                now,
                "pending" if leased.before_end_seconds else "",
                leased.id,
            ],
        )
        orders.touch(cursor, [leased.id], now=now)
    before, after = {"lease_seconds": leased.lease_seconds}, {"lease_seconds": lease_seconds}
    _tell(actor, "allocation.extended", leased, before, after, now)


@writing.transaction
def release(
    *,
    allocation_id: UUID,
    generation: int | None = None,
    actor: Actor,
    now: datetime,
    is_forced: bool = False,
    is_gone: bool = False,
) -> None:
    """Give everything back, from any state that is not final. What a platform has is free when the platform says so.

    Who asked for time to save gets it first, once and never beyond the lease, unless the release is forced.
    ``is_gone`` is somebody's word that nothing is left where somebody else stands in the way of finding out.
    Releasing what is released changes nothing. Raises AllocationState, AllocationChanged, AllocationMissing.
    """
    given = _locked(allocation_id)
    if given.state == "releasing" or given.state in states.ALLOCATION_FINAL:
        return
    may_save = given.state == "active" and not is_forced
    if may_save and given.before_end_state in ("running", "failed"):
        return  # it ends soon, as it was told
    _check(given, generation, ("needs_attention",) if is_gone else (given.state,))
    if may_save and given.before_end_state == "pending":
        return _let_save(given, actor, now)
    if is_gone:
        _call_gone(given, actor, now)
    _give_back([given], "released", given.reason if given.is_given_back else "user", actor, now)


def _call_gone(given: Locked, actor: Actor, now: datetime) -> None:
    with connection.cursor() as cursor:
        members = orders.call_gone(cursor, given.id, now=now)
    _tell(actor, "allocation.called_gone", given, {}, {"members": members}, now)


def _let_save(given: Locked, actor: Actor, now: datetime) -> None:
    """Let the time to save begin now; at its end the sweep gives everything back."""
    until_at = now + timedelta(seconds=given.before_end_seconds)
    end_at = min(until_at, given.end_at or until_at)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE allocation SET before_end_state = 'running', end_at = %s, notice_at = NULL, reason = %s,"
            " changed_at = %s, generation = generation + 1 WHERE id = %s",
            [end_at, given.reason if given.reason == "preempted" else "user", now, given.id],
        )
        orders.touch(cursor, [given.id], now=now)
    _tell(actor, "allocation.before_end", given, {}, {"end_at": end_at.isoformat(), "reason": "user"}, now)


def expire_holds(*, now: datetime) -> int:
    """Give back what holds kept whose time is over; return how many. Some hundred at once."""
    return _sweep("held", "expired", "hold_expired", now)


def end_leases(*, now: datetime) -> int:
    """Release allocations whose lease is over; return how many. Some hundred at once."""
    return _sweep("leased", "released", "lease_end", now)


@writing.transaction
def end_releases(*, now: datetime) -> int:
    """Free what platforms confirmed to be given back; return of how many allocations. Some hundred at once."""
    with prepared.cursor() as cursor:
        cursor.execute(_GIVEN_BACK, [SWEPT_AT_ONCE])
        found = _lock(cursor, [row[0] for row in cursor.fetchall()])
        over = [each for each in found if each.state == "releasing" or each.is_given_back]
        ids = [each.id for each in over]
        if over:
            _move(cursor, [each.id for each in over if each.is_given_back], ("releasing",))
            _free(cursor, over, now)
            cursor.execute(_END, {"ids": ids, "now": now})
    for each in over:
        _tell(SYSTEM, "allocation.released", each, {"state": "releasing"}, {"state": "released"}, now)
    if over and waiting.is_anybody_waiting():
        dispatch.advance_queue()
    return len(over)


@writing.transaction
def _sweep(due: str, state: str, reason: str, now: datetime) -> int:
    """Two at once are harmless: whoever locks an allocation second finds that it is over."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE[due], [now, SWEPT_AT_ONCE])
        found = _lock(cursor, [row[0] for row in cursor.fetchall()])
    if due == "held":
        over = [a for a in found if a.state == "held" and a.held_until_at is not None and a.held_until_at <= now]
    else:
        is_on = {*states.ALLOCATION_STATES} - {*states.ALLOCATION_FINAL, "releasing"}
        over = [
            a for a in found if a.state in is_on and not a.is_given_back and a.end_at is not None and a.end_at <= now
        ]
    by_reason: dict[str, list[Locked]] = defaultdict(list)
    for each in over:
        # Why it came to its end was noted when that was said.
        by_reason[each.reason if each.reason in _TOLD_BEFORE else reason].append(each)
    for why, given in by_reason.items():
        _give_back(given, state, why, SYSTEM, now)
    return len(over)


def _give_back(given: Sequence[Locked], state: str, reason: str, actor: Actor, now: datetime) -> None:
    """Free what no platform has to undo, and mark the rest to be undone."""
    at_once = [each for each in given if each.is_done_at_once]
    later = [each for each in given if not each.is_done_at_once]
    with connection.cursor() as cursor:
        if promised := [each.id for each in at_once if each.state in _HOLDING_NOTHING]:
            bookings.drop(cursor, promised)  # here, where capacity is locked before roll-ups
        if at_once:
            _free(cursor, at_once, now)
            _end(cursor, at_once, state, reason, now)
        if later:
            orders.ask_again(cursor, [each.id for each in later if each.state in _IS_LEAVING], now=now)
            _set_releasing(cursor, later, reason, now)
            orders.leave(cursor, [each.id for each in later], now=now)
            dispatch.advance_allocations()
        _intend_release(cursor, [each for each in given if each.state not in _HOLDING_NOTHING], now)
    if at_once and waiting.is_anybody_waiting():
        dispatch.advance_queue()
    verb = "expired" if state == "expired" else "released"
    for each in given:
        after = {"state": state if each.is_done_at_once else "releasing", "reason": reason}
        if each.before_end_state:
            after["before_end"] = each.before_end(now)
        _tell(actor, f"allocation.{verb}", each, {"state": each.state}, after, now)


def give_back(allocation_ids: Collection[UUID], reason: str, actor: Actor, now: datetime) -> None:
    """Give back all of those that are not over yet, in the caller's transaction."""
    with connection.cursor() as cursor:
        found = _lock(cursor, allocation_ids)
    is_on = {*states.ALLOCATION_STATES} - {*states.ALLOCATION_FINAL, "releasing"}
    if given := [each for each in found if each.state in is_on]:
        _give_back(given, "released", reason, actor, now)


def lock_all_of(pool_id: UUID) -> list[Locked]:
    """Lock all allocations of a pool that are not over, then the quotas that count them, as a release would."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM allocation WHERE pool_id = %s AND ended_at IS NULL", [pool_id])
        found = [each for each in _lock(cursor, [row[0] for row in cursor.fetchall()]) if each.pool_id == pool_id]
    found = [each for each in found if each.state not in states.ALLOCATION_FINAL]
    quota_use.locked([_ask(each) for each in found if each.state not in _HOLDING_NOTHING])
    return found


def lose(cursor: Any, given: Sequence[Locked], reason: str, now: datetime) -> None:
    """Free what locked allocations hold and end them, though no platform confirmed anything."""
    _free(cursor, given, now)
    _end(cursor, given, "released", reason, now)


def free(cursor: Any, allocation_ids: Collection[UUID], now: datetime) -> None:
    """Free all that locked allocations hold, in the caller's transaction."""
    _free(cursor, _lock(cursor, allocation_ids), now)


def _free(cursor: Any, given: Sequence[Locked], now: datetime) -> None:
    held = [each for each in given if each.state not in _HOLDING_NOTHING]
    if not held:
        return
    asks = [_ask(each) for each in held if each.pool_id is not None]
    book = quota_use.locked(asks)
    for ask in asks:
        book.give_back(ask)
    sql.run(cursor, "claim_free", {"ids": [each.id for each in held], "now": now})
    quota_use.store(book)


def _ask(each: Locked) -> quotas.Ask:
    assert each.pool_id is not None
    return quotas.Ask(
        lineage=tuple(each.lineage),
        model_id=each.model_id,
        profile=each.profile,
        pool_id=each.pool_id,
        milli=each.milli,
        units_milli=each.units_milli,
    )


def _end(cursor: Any, given: Sequence[Locked], state: str, reason: str, now: datetime) -> None:
    if state == "released":
        _move(cursor, [each.id for each in given], ("releasing",))
    cursor.execute(
        f"UPDATE allocation SET state = %s, reason = %s, ended_at = %s, changed_at = %s, {_LEFT} WHERE id = ANY(%s)",
        [state, reason, now, now, now, [each.id for each in given]],
    )


def _set_releasing(cursor: Any, given: Sequence[Locked], reason: str, now: datetime) -> None:
    cursor.execute(
        f"UPDATE allocation SET state = 'releasing', reason = %s, changed_at = %s, {_LEFT} WHERE id = ANY(%s)",
        [reason, now, now, [each.id for each in given]],
    )


def _intend_release(cursor: Any, given: Sequence[Locked], now: datetime) -> None:
    """One operation for each member, done where there is no platform to do it."""
    if not given:
        return
    cursor.execute(
        """
        INSERT INTO operation (id, pool_id, allocation_id, member_index, action, state, target_ref, attempts, words,
                               created_at, changed_at)
        SELECT new_id(), o.pool_id, o.allocation_id, o.member_index, 'release',
               CASE WHEN o.allocation_id = ANY(%(done)s) THEN 'confirmed' ELSE 'planned' END, o.target_ref, 0, '{}',
               %(now)s, %(now)s
        FROM (SELECT DISTINCT ON (allocation_id, member_index) * FROM operation
              WHERE allocation_id = ANY(%(ids)s) AND action = 'apply'
              ORDER BY allocation_id, member_index, id DESC) o
        WHERE NOT EXISTS (
            SELECT FROM (SELECT * FROM operation WHERE allocation_id = o.allocation_id OFFSET 0) r
            WHERE r.member_index = o.member_index AND r.action = 'release'
                AND r.state NOT IN ('confirmed', 'failed'))
        """,
        {
            "ids": [each.id for each in given],
            "done": [each.id for each in given if each.is_done_at_once],
            "now": now,
        },
    )


def _move(cursor: Any, allocation_ids: Collection[UUID], path: Sequence[str]) -> None:
    """Go through states in which nothing is to be done, each of which the table of moves wants to see."""
    for state in path:
        cursor.execute("UPDATE allocation SET state = %s WHERE id = ANY(%s)", [state, list(allocation_ids)])


def _locked(allocation_id: UUID) -> Locked:
    with connection.cursor() as cursor:
        found = _lock(cursor, [allocation_id])
    if not found:
        raise AllocationMissing
    return found[0]


def _lock(cursor: Any, allocation_ids: Collection[UUID]) -> list[Locked]:
    cursor.execute(_LOCK, [list(allocation_ids)])
    found = [Locked(*row) for row in cursor.fetchall()]
    if at_once := [each.id for each in found if each.has_instant_platform]:
        # What was ordered while its platform took time has to be given back there. Read now that nobody can order.
        cursor.execute(_ORDERED, [at_once])
        ordered = {row[0] for row in cursor.fetchall()}
        found = [replace(each, has_instant_platform=False) if each.id in ordered else each for each in found]
    return found


def _check(found: Locked, generation: int | None, allowed: Collection[str]) -> None:
    if generation is not None and generation != found.generation:
        raise AllocationChanged
    if found.state not in allowed:
        raise AllocationState(state=found.state)


def _tell(
    actor: Actor, action: str, which: Locked, before: Mapping[str, Any], after: Mapping[str, Any], now: datetime
) -> None:
    audit.record(actor, action, "allocation", which.id, which.name, before, after, now, project_id=which.project_id)
