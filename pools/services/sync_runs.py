"""Ask for runs, and decide about losses that wait for a person."""

from datetime import datetime
from uuid import UUID

from django.db import connection

from pools import dispatch
from pools.domain import ids, states
from pools.domain.actors import Actor
from pools.domain.errors import PoolMissing, PoolNotSynced, RunMissing, RunNotHeld
from pools.domain.observation import Sight, Unseen
from pools.models import Pool, PoolSync, SyncRun
from pools.services import audit, pools, turns, writing
from pools.services.inventory import Merge
from pools.services.models import Resolver
from pools.services.turns import Turn


@writing.transaction
def request(*, pool_id: UUID, is_dry_run: bool = False, trigger: str = "manual", actor: Actor, now: datetime) -> UUID:
    """Ask for a run and return its id. Any number of requests while one is queued is that one.

    A request during a run makes one follow-up. Raises PoolMissing, and PoolNotSynced for a pool in a state that is not
    observed; a registering pool can be observed as a dry run only, and then lasts for another day.
    """
    pool = Pool.objects.filter(id=pool_id).first()
    if pool is None or pool.state == "removed":
        raise PoolMissing
    if pool.state not in states.POOL_STATES_SYNCED and not is_dry_run:
        raise PoolNotSynced(state=pool.state)
    pools.touch_draft(pool_id, now)
    run_id = _queue(pool, is_dry_run, trigger, actor, now)
    audit.record(actor, "pool.sync", "pool", pool.id, pool.name, None, {"run": str(run_id), "dry_run": is_dry_run}, now)
    dispatch.observe(pool.id, pool.kind)
    return run_id


def make_due(pool_id: UUID, *, now: datetime) -> None:
    """Let the pool be looked at now and not when its interval is over."""
    PoolSync.objects.filter(pool_id=pool_id, next_at__gt=now).update(next_at=now)


@writing.transaction
def approve(*, run_id: UUID, actor: Actor, now: datetime) -> SyncRun:
    """Let go of what the held run did not see: mark it missing; it is retired after more complete runs without it.

    What a later run has seen again stays. Raises RunMissing, RunNotHeld.
    """
    run, sync = _held(run_id)
    pool = Pool.objects.get(id=run.pool_id)
    merge = Merge(turn=_turn_of(pool, run), sight=Sight(recorded={}), resolver=Resolver(now=now))
    unseen = Unseen.stored(sync.unseen)
    merge.accept(unseen.nodes, unseen.devices, now=now)
    run.missing += merge.counts.total("missing")
    return _decide(run, sync, "succeeded", "sync_run.approved", actor, now)


@writing.transaction
def reject(*, run_id: UUID, actor: Actor, now: datetime) -> SyncRun:
    """Do not believe the loss: everything stays as it was, and the next run looks at all again.

    Raises RunMissing, RunNotHeld.
    """
    run, sync = _held(run_id)
    PoolSync.objects.filter(pool_id=run.pool_id).update(cursor=None)
    return _decide(run, sync, "rejected", "sync_run.rejected", actor, now)


def _queue(pool: Pool, is_dry_run: bool, trigger: str, actor: Actor, now: datetime) -> UUID:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO sync_run (id, pool_id, kind, trigger, state, is_dry_run, complete, seen, created, changed,
                unchanged, missing, retired, counts, pages, byte_count, warnings, phases, actor, request_id, decided_by,
                queued_at)
            SELECT %s, %s, 'full',
                CASE WHEN EXISTS (SELECT FROM sync_run WHERE pool_id = %s AND state = 'running') AND NOT %s
                     THEN 'follow_up' ELSE %s END,
                'queued', %s, false, 0, 0, 0, 0, 0, 0, '{}', 0, 0, '[]', '{}', %s, %s, '', %s
            ON CONFLICT (pool_id, is_dry_run) WHERE state = 'queued' DO NOTHING
            """,
            [ids.new_id(), pool.id, pool.id, is_dry_run, trigger, is_dry_run, actor.name, actor.request_id, now],
        )
    return SyncRun.objects.values_list("id", flat=True).get(pool=pool, is_dry_run=is_dry_run, state="queued")


def _held(run_id: UUID) -> tuple[SyncRun, PoolSync]:
    run = SyncRun.objects.filter(id=run_id).first()
    if run is None:
        raise RunMissing
    turns.lock(run.pool_id)  # before the row, as every merge does, or the two wait for each other
    sync = PoolSync.objects.select_for_update().get(pool_id=run.pool_id)
    run.refresh_from_db()
    if run.state != "held" or sync.held_run_id != run.id:
        raise RunNotHeld(state=run.state)
    return run, sync


def _decide(run: SyncRun, sync: PoolSync, state: str, action: str, actor: Actor, now: datetime) -> SyncRun:
    run.state, run.decided_by = state, actor.name
    run.save(update_fields=["state", "decided_by", "missing"])
    sync.held_run, sync.unseen, sync.health, sync.health_reason = None, None, "online", ""
    sync.save(update_fields=["held_run", "unseen", "health", "health_reason"])
    audit.record(
        actor, action, "sync_run", run.id, str(run.id), {"state": "held"}, {"state": state, **(run.hold or {})}, now
    )
    return run


def _turn_of(pool: Pool, run: SyncRun) -> Turn:
    """A merge on a person's word needs the pool's lock, and no turn: it observes nothing."""
    return Turn(
        pool_id=pool.id,
        pool_name=pool.name,
        kind=pool.kind,
        settings={},
        identity=pool.identity,
        is_pool_grain=pool.grain == "pool",
        interval_seconds=pool.sync_interval_seconds,
        generation=pool.generation,
        token=run.id,
        run_id=run.id,
        is_dry_run=False,
        cursor=None,
    )


def is_queued(pool_id: UUID) -> bool:
    """True when somebody asked for a run that nobody has started."""
    return SyncRun.objects.filter(pool_id=pool_id, state="queued").exists()


def held(pool_id: UUID) -> tuple[UUID, Unseen] | None:
    """Return the run whose loss waits for a person, and what of it no run has seen since."""
    sync = PoolSync.objects.filter(pool_id=pool_id, held_run__isnull=False).first()
    if sync is None or sync.held_run_id is None:
        return None
    return sync.held_run_id, Unseen.stored(sync.unseen)
