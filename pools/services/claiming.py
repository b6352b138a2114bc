"""One attempt to claim what was planned: a transaction with a constant number of statements, however many ask.

Locks come in one order: quota (depth, id), capacity (id), roll-ups (id). What cannot be had is left out and told of,
and takes nothing along; the caller plans it again.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from pools import dispatch
from pools.domain.actors import Actor
from pools.domain.quotas import Shortfall, Taken
from pools.selectors import candidates, columns, installation, prepared
from pools.selectors.candidates import Read
from pools.services import claim_records, claimed, idempotency, promised, quota_use, sql, writing
from pools.services.asked import Asked, Planned
from pools.services.claim_records import Records
from pools.services.claim_rows import Rows
from pools.services.claimed import Written

_BEFORE_ALL: Final = datetime(1970, 1, 1, tzinfo=UTC)
_json = msgspec.json.Encoder(decimal_format="string")


@dataclass(slots=True)
class Outcome:
    """What came of an attempt, by the id of the allocation.

    The states of those that got it; ``gone`` wait no longer, the keys of ``repeated`` were
    used before, at ``lost`` somebody else was quicker, ``short`` have no
    quota. ``shown`` are the new ones that somebody waits to see, as they are committed.
    """

    states: dict[UUID, str] = field(default_factory=dict)
    gone: set[UUID] = field(default_factory=set)
    repeated: set[UUID] = field(default_factory=set)
    lost: set[UUID] = field(default_factory=set)
    short: dict[UUID, Shortfall] = field(default_factory=dict)
    shown: dict[UUID, Written] = field(default_factory=dict)


@writing.transaction
def attempt(
    planned: Sequence[Planned],
    read: Read,
    *,
    now: datetime,
    again: Callable[[Read], list[Planned]] | None = None,
    is_brief: bool = False,
) -> Outcome:
    """Claim what can be had of it. Rows that others have locked are passed by.

    For a quota that somebody has locked it waits; with ``is_brief`` for a moment only (``quota_use.locked``).

    With ``again`` it waits for them instead, reads them anew and asks for another plan on what they then have: whoever
    held them may have left something.
    """
    outcome = Outcome()
    if any(each.asked.is_waiting for each in planned):
        is_there = _lock_waiting([each.asked.id for each in planned if each.asked.is_waiting])
        outcome.gone = {each.asked.id for each in planned if each.asked.is_waiting} - is_there
        planned = [each for each in planned if each.asked.id not in outcome.gone]
        if not planned:
            return outcome
    book = quota_use.locked([each.ask for each in planned], is_brief=is_brief)
    if again is not None:
        first, asks = planned, {each.ask for each in planned}
        read, planned = _waited(planned, read, again, now)
        planned = [each for each in planned if each.ask in asks]  # of others the quotas are not locked
        outcome.lost |= {each.asked.id for each in first} - {each.asked.id for each in planned}
        if not planned:
            return outcome
    # Whoever waits may have been promised something since it was read.
    let_go = promised.let_go([each.asked.id for each in planned if each.asked.is_waiting])
    kept = promised.kept([(each, _ends(each.asked, now)) for each in planned], let_go, now) if let_go else ()
    rows = _rows(planned, read, now, kept)
    lost, granted = _guarded(rows), _granted(planned)
    there: list[Planned] = []
    for each in planned:
        is_taken = lost and not lost.isdisjoint(each.decision.capacity_ids())
        if is_taken or not _is_granted(each, granted):
            outcome.lost.add(each.asked.id)
        else:
            there.append(each)
    got: list[tuple[Planned, Taken]] = []
    for each, taken in zip(there, book.take_all([each.ask for each in there]), strict=True):
        if isinstance(taken, Shortfall):
            outcome.short[each.asked.id] = taken
        else:
            got.append((each, taken))
    outcome.repeated = _repeated([each.asked for each, _ in got], now)
    for each, _ in got if outcome.repeated else ():
        if each.asked.id in outcome.repeated:
            book.give_back(each.ask)
    got = [pair for pair in got if pair[0].asked.id not in outcome.repeated]
    if got:
        rows = rows if len(got) == len(planned) else _rows([each for each, _ in got], read, now)
        outcome.states, outcome.shown = _write(got, rows, read, now)
        quota_use.store(book)
        _keep([each.asked for each, _ in got], outcome.shown)
    if let_go:
        promised.again(let_go, {each.asked.id for each, _ in got})
    return outcome


def _repeated(asked: Sequence[Asked], now: datetime) -> set[UUID]:
    """Take the keys of those who came with one; return whose was taken before."""
    with_key = [(each.id, each.once) for each in asked if each.once is not None]
    if not with_key:
        return set()
    taken = idempotency.take_all([once for _, once in with_key], now=now)
    return {id for id, once in with_key if (once.user_id, once.key) not in taken}


def _keep(asked: Sequence[Asked], shown: dict[UUID, Written]) -> None:
    """Store the answers that keys stand for from now on. Allocations that nobody has at hand are read."""
    onces = {each.id: each.once for each in asked if each.once is not None}
    if not onces:
        return
    shown = shown | claimed.looked_up([id for id in onces if id not in shown])
    idempotency.keep_all([(once, once.answer(shown[id])) for id, once in onces.items()])


def _waited(
    planned: Sequence[Planned], read: Read, again: Callable[[Read], list[Planned]], now: datetime
) -> tuple[Read, list[Planned]]:
    rows = {row for each in planned for row in each.decision.capacity_ids()}
    with prepared.cursor() as cursor:
        sql.run(cursor, "claim_wait", {"rows": columns.uuids(rows)})
    fresh = candidates.again(read, rows, now=now)
    return fresh, again(fresh)


def _lock_waiting(allocation_ids: Sequence[UUID]) -> set[UUID]:
    """Lock those that still wait, or again; first of all locks, as with everything that is done to an allocation."""
    with prepared.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM allocation WHERE id = ANY(%s)"
            " AND (state IN ('queued', 'scheduled') OR state = 'claimed' AND pool_id IS NULL)"
            " ORDER BY id FOR NO KEY UPDATE",
            [list(allocation_ids)],
        )
        return {row[0] for row in cursor.fetchall()}


def _guarded(rows: Rows) -> set[UUID]:
    with prepared.cursor() as cursor:
        sql.run(cursor, "claim_guard", rows.guarded())
        return {row[0] for row in cursor.fetchall()}


def _granted(planned: Sequence[Planned]) -> dict[int, set[int]]:
    """Return the projects that each pool is granted to now: the read may be a moment older than the end of a grant.

    All by the numbers of their ids, which are hashed many times as fast.
    """
    pools = {each.decision.pool_id.int: each.decision.pool_id for each in planned}
    with prepared.cursor() as cursor:
        cursor.execute(
            "SELECT pool_id, array_agg(project_id) FROM pool_grant WHERE pool_id = ANY(%s::uuid[]) GROUP BY pool_id",
            [columns.uuids(pools.values())],
        )
        return {pool_id.int: {id.int for id in project_ids} for pool_id, project_ids in cursor.fetchall()}


def _is_granted(each: Planned, granted: Mapping[int, set[int]]) -> bool:
    projects = granted.get(each.decision.pool_id.int, set())
    return not projects.isdisjoint([id.int for id in each.asked.lineage])


def _rows(planned: Sequence[Planned], read: Read, now: datetime, kept: Collection[UUID] = ()) -> Rows:
    """Return what is taken; of bookings those are told nothing who are ``kept``."""
    rows = Rows(read, installation.installation_id())
    for each in planned:
        until_at = _BEFORE_ALL if kept and each.asked.id in kept else _ends(each.asked, now)
        rows.add(each.asked, each.decision, claim_records.state(each, read), until_at)
    return rows


def _ends(asked: Asked, now: datetime) -> datetime | None:
    """Return when it gives back at the latest; a hold may be confirmed in its last second."""
    wanted = asked.wanted
    if asked.until_at is not None or wanted.lease_seconds is None:
        return asked.until_at
    return claim_records.later(now, wanted.lease_seconds + (wanted.hold_seconds or 0))


def _write(
    got: Sequence[tuple[Planned, Taken]], rows: Rows, read: Read, now: datetime
) -> tuple[dict[UUID, str], dict[UUID, Written]]:
    """Write all of it; return the states, and the new allocations that somebody waits to see."""
    fresh = [pair for pair in got if not pair[0].asked.is_waiting]
    waited = [pair for pair in got if pair[0].asked.is_waiting]
    states: dict[UUID, str] = {}
    shown: dict[UUID, Written] = {}
    with prepared.cursor() as cursor:
        sql.run(cursor, "claim_take", rows.taken() | {"now": now})
        for pairs in (fresh, waited):
            if not pairs:
                continue
            planned, records = [each for each, _ in pairs], claim_records.of_claims(pairs, read, now)
            if pairs is fresh:
                params = insert(cursor, records, now)
                shown = claimed.shown(planned, records, read, now)
            else:
                params = move(cursor, records, now)
            actions = ["allocation.held" if state == "held" else "allocation.claimed" for state in records["states"]]
            made = list(zip(planned, records["states"], strict=True))
            afters = [claim_records.told(each, state, read) for each, state in made]
            tell(cursor, params, [each.asked.actor for each in planned], actions, afters)
            states |= {each.asked.id: state for each, state in made}
    if "claimed" in states.values():
        dispatch.advance_allocations()
    return states, shown


def insert(cursor: Any, records: Records, now: datetime) -> dict[str, Any]:
    """Store new allocations; return what was told to the statement of them."""
    params = claim_records.params(records) | {"now": now}
    sql.run(cursor, "claim_insert", params)
    return params


def move(cursor: Any, records: Records, now: datetime) -> dict[str, Any]:
    """Let allocations that waited have what was claimed for them, step by step as the table of moves has it."""
    states = ["held" if state == "held" else "claimed" for state in records["states"]]
    params = claim_records.params(records | {"states": states}) | {"now": now}
    sql.run(cursor, "claim_update", params)
    done = [id for id, state in zip(records["ids"], records["states"], strict=True) if state == "active"]
    for state in ("binding", "active") if done else ():
        cursor.execute("UPDATE allocation SET state = %s WHERE id = ANY(%s)", [state, done])
    return params


def tell(
    cursor: Any, stored: Mapping[str, Any], actors: Sequence[Actor], actions: Sequence[str], afters: Sequence[bytes]
) -> None:
    """Write one audit row for each that was ``stored``: what was done, and what it came to as JSON."""
    params = {
        **{name: stored[name] for name in ("ids", "project_ids", "names", "asked_by", "now")},
        "actors": columns.texts([actor.name[:255] for actor in actors]),
        "tokens": columns.texts([actor.access.token_prefix for actor in actors]),
        "requests": columns.texts([actor.request_id[:64] for actor in actors]),
        "reasons": columns.texts([actor.reason[:500] for actor in actors]),
        "actions": columns.texts(actions),
        **columns.documents("afters", afters),
    }
    sql.run(cursor, "claim_told", params)


@writing.transaction
def insert_waiting(asked: Sequence[tuple[Asked, str]], *, now: datetime) -> set[UUID]:
    """Store requests that wait for capacity, each with the reason; return whose key was used before."""
    repeated = _repeated([each for each, _ in asked], now)
    asked = [pair for pair in asked if pair[0].id not in repeated]
    if not asked:
        return repeated
    waiting, reasons = [each for each, _ in asked], [reason for _, reason in asked]
    with prepared.cursor() as cursor:
        params = insert(cursor, claim_records.of_waiting(waiting, reasons, now), now)
        afters = [_json.encode({"reason": reason}) for reason in reasons]
        tell(cursor, params, [each.actor for each in waiting], ["allocation.queued"] * len(asked), afters)
    _keep(waiting, {})
    return repeated


def insert_scheduled(each: Planned, read: Read, start_at: datetime, end_at: datetime | None, *, now: datetime) -> bool:
    """Store a request that begins later, in the caller's transaction, who made sure that there is room then.

    False when its key was used before: then nothing is stored. Its quota counts from the start on.
    """
    if _repeated([each.asked], now):
        return False
    records = claim_records.of_claims([(each, Taken((), is_borrowed=False))], read, now)
    records |= {"states": ["scheduled"], "starts": [start_at], "ends": [end_at], "notices": [None]}
    with prepared.cursor() as cursor:
        after = claim_records.told(each, "scheduled", read, start_at=start_at, end_at=end_at)
        tell(cursor, insert(cursor, records, now), [each.asked.actor], ["allocation.scheduled"], [after])
    _keep([each.asked], {})
    return True


def is_granted(each: Planned) -> bool:
    """Return whether its project may use the pool now. One query."""
    return _is_granted(each, _granted([each]))
