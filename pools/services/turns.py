"""Turns: the lock of the one run that may merge a pool now. A row with a token and a time outlives any process."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from django.db import connection

from pools.domain import ids, schedule, states
from pools.domain.actors import SYSTEM
from pools.models import Pool, PoolSync, SyncRun
from pools.services import audit, writing

TURN_SECONDS: Final = 45
WATCH_RUN_SECONDS: Final = 3600


class TurnLost(Exception):
    """Another run took over because this one was silent for too long. Whatever it still holds must not be written."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The right to merge one pool until it is lost, and what the run needs to know of the pool."""

    pool_id: UUID
    pool_name: str
    kind: str
    settings: dict[str, Any]
    identity: str | None
    is_pool_grain: bool
    interval_seconds: int
    generation: int
    token: UUID
    run_id: UUID
    is_dry_run: bool
    cursor: dict[str, Any] | None
    is_watch: bool = False
    so_far: dict[str, Any] | None = None
    """What the run of a watch counted before: {counts, pages, byte_count, warnings, phases}."""


@writing.transaction
def take(*, pool_id: UUID, now: datetime) -> Turn | None:
    """Take the pool's turn and start its run. None: someone else has it, or nothing is due.

    A queued run comes first, else the schedule's. A run whose turn is over was left by a dead worker: it has failed.
    The pool is then due at once, unless run after run is lost: it may be what kills the workers, and has to wait.
    """
    sync = PoolSync.objects.select_for_update(skip_locked=True).filter(pool_id=pool_id).first()
    if sync is None or (sync.turn_until is not None and sync.turn_until > now):
        return None
    pool = Pool.objects.get(id=pool_id)
    lost = _bury(pool, sync, now)
    run = _next_run(pool, sync, now)
    if run is None and not lost and sync.turn_token is None:
        return None
    token = ids.new_id()
    sync.turn_token, sync.turn_until = (token, now + timedelta(seconds=TURN_SECONDS)) if run else (None, None)
    sync.save(update_fields=["turn_token", "turn_until", *lost])
    return None if run is None else _turn(pool, run, token, sync.cursor)


def _turn(pool: Pool, run: SyncRun, token: UUID, cursor: dict[str, Any] | None) -> Turn:
    return Turn(
        pool_id=pool.id,
        pool_name=pool.name,
        kind=pool.kind,
        settings=pool.settings,
        identity=pool.identity,
        is_pool_grain=pool.grain == "pool",
        interval_seconds=pool.sync_interval_seconds,
        generation=pool.generation,
        token=token,
        run_id=run.id,
        is_dry_run=run.is_dry_run,
        cursor=cursor,
    )


@writing.transaction
def take_for_changes(*, pool_id: UUID, generation: int, now: datetime) -> Turn | Literal["busy", "over"]:
    """Take the pool's turn for changes that a platform told by itself.

    ``busy``: a run is at it, so ask again. ``over``: the pool was edited, paused or has to be looked at as a whole, and
    what is being watched is not what was. All changes of an hour are of one run, or a busy platform would make
    thousands a day.
    """
    sync = PoolSync.objects.select_for_update(skip_locked=True).filter(pool_id=pool_id).first()
    if sync is None or (sync.turn_until is not None and sync.turn_until > now):
        return "busy"
    pool = Pool.objects.get(id=pool_id)
    if pool.generation != generation or pool.state not in states.POOL_STATES_SYNCED or sync.cursor is None:
        return "over"
    if SyncRun.objects.filter(pool=pool, state="running").exists():
        return "busy"  # a worker died at it; whoever takes the next turn ends it
    begun = now - timedelta(seconds=WATCH_RUN_SECONDS)
    run = SyncRun.objects.filter(pool=pool, trigger="watch", state="succeeded", started_at__gt=begun).last()
    if run is None:
        run = SyncRun.objects.create(
            pool=pool, trigger="watch", kind="incremental", state="succeeded", complete=True, actor="ocenter",
            queued_at=now, started_at=now, heartbeat_at=now, ended_at=now, cursor=sync.cursor,
        )  # fmt: skip
    token = ids.new_id()
    sync.turn_token, sync.turn_until = token, now + timedelta(seconds=TURN_SECONDS)
    sync.save(update_fields=["turn_token", "turn_until"])
    so_far = {name: getattr(run, name) for name in ("counts", "pages", "byte_count", "warnings", "phases")}
    return replace(_turn(pool, run, token, sync.cursor), is_watch=True, so_far=so_far if run.pages else None)


def lock(pool_id: UUID) -> None:
    """Take the pool's advisory lock until the transaction ends. A merge takes it before any other lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [str(pool_id)])


def keep(turn: Turn, *, now: datetime) -> None:
    """Make the turn last longer. Raises TurnLost when it is somebody else's by now."""
    kept = PoolSync.objects.filter(pool_id=turn.pool_id, turn_token=turn.token).update(
        turn_until=now + timedelta(seconds=TURN_SECONDS)
    )
    if not kept:
        raise TurnLost(f"The run {turn.run_id} of pool {turn.pool_name} lost its turn.")


def progress(turn: Turn, *, now: datetime, **figures: Any) -> None:
    """Show how far the run is."""
    SyncRun.objects.filter(id=turn.run_id, state="running").update(heartbeat_at=now, **figures)


@writing.transaction
def finish(
    turn: Turn, *, now: datetime, run: dict[str, Any], sync: dict[str, Any], overrules_held: bool = False
) -> None:
    """End the run and give the turn back, in one transaction, only if the turn is still ours.

    ``run`` and ``sync`` are the columns of the run and of the pool's synchronisation to write. With ``overrules_held``
    a run that waits for a person has nothing to decide any more: this one saw otherwise. Raises TurnLost.
    """
    pool = Pool.objects.select_for_update(no_key=True).get(id=turn.pool_id)
    if pool.generation != turn.generation:
        # Somebody paused or edited the pool meanwhile; what that says about the next observation stands.
        sync = {column: value for column, value in sync.items() if column not in ("cursor", "next_at")}
    if not turn.is_watch:
        sync = {**sync, "last_run_id": turn.run_id}
    if not _given_back(turn, **sync):
        raise TurnLost(f"The run {turn.run_id} of pool {turn.pool_name} lost its turn.")
    if overrules_held:
        _overrule_held(turn, now)
    SyncRun.objects.filter(id=turn.run_id).update(ended_at=now, heartbeat_at=now, **run)


def give_back(turn: Turn) -> None:
    """Let others have the turn when changes could not be merged; what they were, the next look will see."""
    _given_back(turn)


def _given_back(turn: Turn, **sync: Any) -> int:
    ours = PoolSync.objects.filter(pool_id=turn.pool_id, turn_token=turn.token)
    return ours.update(turn_token=None, turn_until=None, **sync)


def failed(turn: Turn, *, now: datetime, error: dict[str, Any], after_seconds: float | None = None) -> dict[str, Any]:
    """Return the columns of the synchronisation after a failed run: back-off, breaker, health."""
    sync = PoolSync.objects.get(pool_id=turn.pool_id)
    return _failed(sync, turn.interval_seconds, error["message"], now, after_seconds)


def _overrule_held(turn: Turn, now: datetime) -> None:
    for held in SyncRun.objects.filter(pool_id=turn.pool_id, state="held"):
        held.state, held.decided_by = "rejected", "ocenter"
        held.save(update_fields=["state", "decided_by"])
        after = {"state": held.state, "overruled_by": str(turn.run_id)}
        audit.record(SYSTEM, "sync_run.overruled", "sync_run", held.id, str(held.id), {"state": "held"}, after, now)


def _failed(
    sync: PoolSync, interval_seconds: int, message: str, now: datetime, after_seconds: float | None = None
) -> dict[str, Any]:
    failures = sync.consecutive_failures + 1
    due = schedule.after_run(
        now=now,
        interval_seconds=interval_seconds,
        failures=failures,
        pool_id=sync.pool_id,
        after_seconds=after_seconds,
    )
    return {
        "consecutive_failures": failures,
        "next_at": due.at,
        "breaker_open_until": due.breaker_open_until,
        "health": "unknown" if failures >= schedule.FAILURES_TO_UNKNOWN else "degraded",
        "health_reason": message[:500],
    }


def _next_run(pool: Pool, sync: PoolSync, now: datetime) -> SyncRun | None:
    """Start the queued run, else one by schedule if the pool is due. The caller holds the synchronisation's row."""
    is_observed = pool.state in states.POOL_STATES_SYNCED
    if not is_observed:
        _refuse_queued(pool, now)
    queued = SyncRun.objects.filter(pool=pool, state="queued").order_by("queued_at", "id").first()
    if queued is not None:
        queued.state, queued.started_at, queued.heartbeat_at, queued.cursor = "running", now, now, sync.cursor
        queued.save(update_fields=["state", "started_at", "heartbeat_at", "cursor"])
        return queued
    if not is_observed or sync.next_at is None or sync.next_at > now:
        return None
    return SyncRun.objects.create(
        pool=pool,
        trigger="schedule",
        state="running",
        actor="ocenter",
        queued_at=now,
        started_at=now,
        heartbeat_at=now,
        cursor=sync.cursor,
    )


def _refuse_queued(pool: Pool, now: datetime) -> None:
    """A pool that people paused or removed is not observed, whoever asked before. A dry run of it may be."""
    told = {"code": "pool.not_synced", "message": "The pool is not observed any more; resume it and ask again."}
    runs = SyncRun.objects.filter(pool=pool, state="queued")
    (runs if pool.state == "removed" else runs.filter(is_dry_run=False)).update(
        state="failed", ended_at=now, error=told | {"platform_words": ""}
    )


def _bury(pool: Pool, sync: PoolSync, now: datetime) -> list[str]:
    """End the run that a dead worker left. Return the columns of the synchronisation that changed with it."""
    run = SyncRun.objects.filter(pool=pool, state="running").first()
    if run is None:
        return []
    message = "The worker that ran this was lost. What it had merged is kept; the next run goes on."
    run.state, run.ended_at = "failed", now
    run.error = {"code": "worker_lost", "message": message, "platform_words": ""}
    run.save(update_fields=["state", "ended_at", "error"])
    if run.is_dry_run or sync.next_at is None:
        return []
    columns = _failed(sync, pool.sync_interval_seconds, message, now)
    if columns["consecutive_failures"] == 1:
        columns["next_at"] = now
    for column, value in columns.items():
        setattr(sync, column, value)
    return list(columns)
