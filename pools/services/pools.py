"""Pools: register, edit, move through their states, remove. Nothing here touches a platform."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db.transaction import atomic

from pools import dispatch
from pools.domain import states
from pools.domain.actors import SYSTEM, Actor
from pools.domain.errors import (
    FieldError,
    PoolChanged,
    PoolInUse,
    PoolMissing,
    PoolModeFixed,
    PoolNotChecked,
    PoolState,
)
from pools.models import Credential, Pool, PoolSync
from pools.services import allocations, audit, credentials, pool_fields, removals, uniqueness, writing

DRAFT_LASTS: Final = timedelta(hours=24)
REMOVAL_TRIES: Final = 5
EDITABLE: Final = (
    "name",
    "region",
    "labels",
    "sync_interval_seconds",
    "drift_policy",
    "changes_per_minute",
    "settings",
    "mode",
)


@writing.transaction
def register(
    *,
    name: str,
    kind: str,
    settings: Mapping[str, Any],
    credential: Mapping[str, Any],
    mode: str | None = None,
    region: str = "",
    labels: Mapping[str, str] | None = None,
    sync_interval_seconds: int | None = None,
    drift_policy: str = "report",
    changes_per_minute: int | None = None,
    actor: Actor,
    now: datetime,
) -> Pool:
    """Store a draft of a pool: it is checked and previewed next, and goes after 24 hours when nobody activates it.

    Raises Invalid with all mistakes at once, PoolNameTaken.
    """
    manifest = pool_fields.manifest(kind)
    interval = manifest.default_sync_interval_seconds if sync_interval_seconds is None else sync_interval_seconds
    mode = mode or manifest.modes[0].name
    wrong = pool_fields.mistakes(
        manifest,
        name=name,
        region=region,
        labels=labels or {},
        sync_interval_seconds=interval,
        mode=mode,
        drift_policy=drift_policy,
        changes_per_minute=changes_per_minute,
    )
    valid = pool_fields.validated(kind, settings, credential, wrong)
    pool = Pool(
        name=name,
        kind=kind,
        mode=mode,
        grain=pool_fields.grain(manifest, mode),
        region=region,
        labels=dict(labels or {}),
        settings=dict(valid.settings),
        sync_interval_seconds=interval,
        drift_policy=drift_policy,
        changes_per_minute=changes_per_minute,
        created_at=now,
        draft_expires_at=now + DRAFT_LASTS,
    )
    with uniqueness.of(pool):
        pool.save(force_insert=True)
    PoolSync.objects.create(pool=pool)
    stored = credentials.store(pool, valid.credential, state="active", now=now)
    after = {name: getattr(pool, name) for name in ("kind", *EDITABLE)} | {"credential_fields": stored.fields}
    audit.record(actor, "pool.registered", "pool", pool.pk, pool.name, None, after, now)
    return pool


@writing.transaction
def edit(*, pool_id: UUID, changes: Mapping[str, Any], generation: int | None, actor: Actor, now: datetime) -> Pool:
    """Change some of name, region, labels, sync_interval_seconds, drift_policy, changes_per_minute, settings and mode.

    Given settings replace those of the same name, the others stay; labels are replaced as a whole.
    Raises Invalid with all mistakes at once, PoolNameTaken, PoolModeFixed, PoolChanged, PoolMissing.
    """
    pool = locked(pool_id, generation)
    manifest = pool_fields.manifest(pool.kind)
    before = {name: getattr(pool, name) for name in changes if name in EDITABLE}
    wrong = [
        FieldError(name[:64], "unknown_field", "This cannot be edited.") for name in changes if name not in EDITABLE
    ]
    wrong += pool_fields.mistakes(manifest, **{name: value for name, value in changes.items() if name in before})
    merged = {**pool.settings, **changes.get("settings", {})}
    valid = pool_fields.validated(pool.kind, merged, None, wrong)
    if changes.get("mode", pool.mode) != pool.mode and pool.activated_at is not None:
        raise PoolModeFixed
    after = {**changes, **({"settings": dict(valid.settings)} if "settings" in changes else {})}
    changed = {name: value for name, value in after.items() if value != before[name]}
    if not changed:
        return pool
    for field, value in changed.items():
        setattr(pool, field, value)
    pool.grain = pool_fields.grain(manifest, pool.mode)
    _look_again(pool, changed, now)
    save(pool)
    audit.record(actor, "pool.edited", "pool", pool.pk, pool.name, _only(before, changed), changed, now)
    return pool


def activate(*, pool_id: UUID, generation: int | None = None, actor: Actor, now: datetime) -> Pool:
    """Begin to use a draft: from now on it is synchronised on schedule.

    Raises PoolState unless it is a draft, PoolNotChecked, PoolHasLeft, PoolIdentityTaken, PoolChanged, PoolMissing.
    """
    return _move(pool_id, "active", "pool.activated", ("registering",), generation, actor, now)


def pause(*, pool_id: UUID, generation: int | None = None, actor: Actor, now: datetime) -> Pool:
    """Stop synchronising. Raises PoolState, PoolChanged, PoolMissing."""
    return _move(pool_id, "paused", "pool.paused", states.POOL_STATES, generation, actor, now)


def resume(*, pool_id: UUID, generation: int | None = None, actor: Actor, now: datetime) -> Pool:
    """Return to active from paused, draining or maintenance. Raises PoolState, PoolChanged, PoolMissing."""
    resumable = ("paused", "draining", "maintenance")
    return _move(pool_id, "active", "pool.resumed", resumable, generation, actor, now)


def drain(*, pool_id: UUID, generation: int | None = None, actor: Actor, now: datetime) -> Pool:
    """Take no new allocations. Raises PoolState, PoolChanged, PoolMissing."""
    return _move(pool_id, "draining", "pool.draining", states.POOL_STATES, generation, actor, now)


def maintenance(*, pool_id: UUID, generation: int | None = None, actor: Actor, now: datetime) -> Pool:
    """Expect trouble: observed, and nothing new placed. Raises PoolState, PoolChanged, PoolMissing."""
    return _move(pool_id, "maintenance", "pool.maintenance", states.POOL_STATES, generation, actor, now)


@writing.transaction
def remove(
    *, pool_id: UUID, actor: Actor, now: datetime, generation: int | None = None, force_name: str | None = None
) -> None:
    """Remove a pool: its name becomes free, its nodes and devices retire, its secrets are forgotten.

    ``force_name`` is the typed name of a pool that does not answer and whose capacity somebody still holds: its
    allocations end as lost, and what it may still carry is listed as orphans.
    Raises PoolInUse, PoolReachable, Invalid (another name typed), PoolChanged, PoolMissing.
    """
    for _ in range(REMOVAL_TRIES):
        try:
            with atomic():  # a savepoint: what is locked is let go before it is begun anew
                return _remove(locked(pool_id, generation), force_name, actor, now)
        except removals.Overtaken:
            continue
    raise PoolInUse


def _remove(pool: Pool, force_name: str | None, actor: Actor, now: datetime) -> None:
    given = allocations.lock_all_of(pool.pk) if force_name == pool.name else []
    removals.check(pool, force_name, now)
    removals.refuse_late(pool, given)
    before = {"state": pool.state}
    removals.lose(pool, given, actor, now)
    removals.leave(pool, now)
    removals.retire_inventory(pool, now)
    removals.end_runs(pool, actor, now)
    credentials.wipe(pool, now)
    pool.state, pool.removed_at, pool.draft_expires_at = "removed", now, None
    save(pool)
    after = {"state": pool.state, "forced": force_name is not None}
    if given:
        after["allocations"] = len(given)
    audit.record(actor, "pool.removed", "pool", pool.pk, pool.name, before, after, now)


def remove_expired_drafts(*, now: datetime) -> int:
    """Remove the drafts that nobody touched for 24 hours. Returns how many."""
    due = Pool.objects.filter(state="registering", draft_expires_at__lte=now).values_list("pk", flat=True)
    return sum(_remove_expired(pool_id, now) for pool_id in due)


def touch_draft(pool_id: UUID, now: datetime) -> None:
    """Let a draft that somebody works with last for another 24 hours. No pool in any other state expires."""
    Pool.objects.filter(pk=pool_id, state="registering").update(draft_expires_at=now + DRAFT_LASTS)


@writing.transaction
def _remove_expired(pool_id: UUID, now: datetime) -> bool:
    """Look again under the lock: somebody may have taken the draft up, or another beat was faster."""
    try:
        pool = locked(pool_id)
    except PoolMissing:
        return False
    if pool.state != "registering" or pool.draft_expires_at is None or pool.draft_expires_at > now:
        return False
    _remove(pool, None, SYSTEM, now)
    return True


@writing.transaction
def request_check(*, pool_id: UUID, actor: Actor, now: datetime) -> None:
    """Ask a worker to check the pool. Asking again while a check is on makes no second one.

    Raises PoolMissing.
    """
    pool = locked(pool_id)
    touch_draft(pool_id, now)
    PoolSync.objects.filter(pool=pool).update(check_state="queued", check_requested_at=now)
    audit.record(actor, "pool.check_requested", "pool", pool.pk, pool.name, None, None, now)
    dispatch.check(pool.pk, pool.kind)


def begin_check(pool_id: UUID) -> None:
    """Show that a worker asks the platform; the check stays due until its result is stored."""
    PoolSync.objects.filter(pool_id=pool_id, check_state="queued").update(check_state="running")


@writing.transaction
def store_check(pool_id: UUID, result: Mapping[str, Any], now: datetime, *, generation: int | None = None) -> None:
    """Store what a worker found: {reachable, identity: {key, label, version} | null, watch, manage, ...}.

    A draft becomes the far end that answered. Any other pool keeps its identity, whoever answers. ``generation`` is
    that of the pool which was checked. Raises PoolMissing, and PoolChanged when it was edited since.
    """
    pool = locked(pool_id, generation)
    PoolSync.objects.filter(pool=pool).update(check_state="done", checked_at=now, check_result=dict(result))
    identity = result.get("identity")
    if identity and (pool.state == "registering" or pool.identity == identity["key"][:255]):
        found = {
            "identity": identity["key"][:255],
            "identity_label": identity["label"][:255],
            "version": identity["version"][:100],
        }
        before = {name: getattr(pool, name) for name in found}
        if found != before:
            Pool.objects.filter(pk=pool.pk).update(**found)
            audit.record(SYSTEM, "pool.identified", "pool", pool.pk, pool.name, before, found, now)


@writing.transaction
def store_identity(pool_id: UUID, key: str, label: str, version: str, now: datetime) -> None:
    """Store which far end a pool stands for, when a first run finds it. Raises PoolMissing, PoolIdentityTaken."""
    pool = locked(pool_id)
    if pool.identity is not None:
        return
    with uniqueness.of(pool):
        pool.identity, pool.identity_label, pool.version = key[:255], label[:255], version[:100]
        pool.save(update_fields=["identity", "identity_label", "version"])
    audit.record(SYSTEM, "pool.identified", "pool", pool.pk, pool.name, None, {"identity": key}, now)


@writing.transaction
def replace_credential(*, pool_id: UUID, values: Mapping[str, Any], actor: Actor, now: datetime) -> Credential:
    """Store a new credential. It is ``pending`` until a worker saw that the same far end accepts it.

    While nobody knows which far end the pool stands for, there is nothing to compare and it is active at once.
    Raises Invalid with all mistakes at once, PoolMissing.
    """
    pool = locked(pool_id)
    valid = pool_fields.validated(pool.kind, pool.settings, values, [])
    state = "active" if pool.identity is None else "pending"
    credential = credentials.store(pool, valid.credential, state=state, now=now)
    if state == "active":
        _look_again(pool, {"credential"}, now)
        save(pool)
    else:
        dispatch.check(pool.pk, pool.kind)
    audit.record(
        actor, "pool.credential_replaced", "pool", pool.pk, pool.name, None, {"fields": credential.fields}, now
    )
    return credential


# --- shared by the writes ---------------------------------------------------------------------------------------------


def locked(pool_id: UUID, generation: int | None = None) -> Pool:
    """Return the pool, locked to the end of the transaction. Raises PoolMissing, PoolChanged."""
    pool = Pool.objects.select_for_update(no_key=True).filter(pk=pool_id, removed_at=None).first()
    if pool is None:
        raise PoolMissing
    if generation is not None and pool.generation != generation:
        raise PoolChanged
    return pool


def save(pool: Pool) -> None:
    """Save a locked pool as its next generation. Raises PoolNameTaken, PoolIdentityTaken."""
    pool.generation += 1
    with uniqueness.of(pool):
        pool.save(force_update=True)


@writing.transaction
def _move(
    pool_id: UUID,
    state: str,
    action: str,
    allowed_from: tuple[str, ...],
    generation: int | None,
    actor: Actor,
    now: datetime,
) -> Pool:
    pool = locked(pool_id, generation)
    if pool.state not in allowed_from or state not in states.POOL_MOVES[pool.state]:
        raise PoolState(state=pool.state, wanted=state)
    before = {"state": pool.state}
    if pool.state == "registering":
        if pool.identity is None:
            raise PoolNotChecked
        removals.refuse_undecided(pool)
        pool.activated_at, pool.draft_expires_at = now, None
    pool.state = state
    save(pool)
    if state not in states.POOL_STATES_SYNCED:
        PoolSync.objects.filter(pool=pool).update(next_at=None)
    elif before["state"] not in states.POOL_STATES_SYNCED:
        PoolSync.objects.filter(pool=pool).update(next_at=now, breaker_open_until=None)
        dispatch.observe(pool.pk, pool.kind)
    audit.record(actor, action, "pool", pool.pk, pool.name, before, {"state": state}, now)
    return pool


def _look_again(pool: Pool, changed: Any, now: datetime) -> None:
    """Forget what no longer follows from the pool's settings. A draft must be checked again, an active pool synced."""
    if pool.state == "registering":
        pool.draft_expires_at = now + DRAFT_LASTS
    if not {"settings", "mode", "credential"} & set(changed):
        return
    if pool.state == "registering":
        pool.identity, pool.identity_label, pool.version = None, "", ""
        PoolSync.objects.filter(pool=pool).update(cursor=None, check_state="idle", check_result=None, checked_at=None)
    else:
        PoolSync.objects.filter(pool=pool).update(cursor=None)
        PoolSync.objects.filter(pool=pool, next_at__isnull=False).update(next_at=now, breaker_open_until=None)


def _only(values: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in names}
