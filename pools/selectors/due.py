"""What workers have to do next. Read by the sweep and by hints; whoever takes the turn decides again under its lock."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from connectors import catalog
from pools.domain import states
from pools.models import Credential, Pool, PoolSync, SyncRun

TELEMETERED: Final = tuple(kind for kind, manifest in catalog.MANIFESTS.items() if "telemetry" in manifest.capabilities)


def runs(now: datetime) -> list[tuple[UUID, str]]:
    """Return (pool id, kind) of the pools with a run queued or due by schedule that nobody observes now.

    Also of those whose run was left by a dead worker: whoever takes the turn ends that run.
    """
    queued = Exists(SyncRun.objects.filter(pool=OuterRef("pk"), state="queued"))
    scheduled = Q(state__in=states.POOL_STATES_SYNCED, sync__next_at__lte=now)
    free = Q(sync__turn_until=None) | Q(sync__turn_until__lte=now)
    left = Q(sync__turn_until__lte=now)
    due = Pool.objects.filter(queued | scheduled | left, free, removed_at=None)
    return list(due.order_by("sync__next_at", "id").values_list("id", "kind"))


def telemetry(now: datetime) -> list[tuple[UUID, str]]:
    """Return (pool id, kind) of the pools whose devices are to be asked how busy they are."""
    due = Q(sync__telemetry_next_at=None) | Q(sync__telemetry_next_at__lte=now)
    seen = Pool.objects.filter(
        due, kind__in=TELEMETERED, state__in=states.POOL_STATES_SYNCED, sync__observed_at__isnull=False, removed_at=None
    )
    return list(seen.order_by("sync__telemetry_next_at", "id").values_list("id", "kind"))


def telemetry_target(pool_id: UUID, now: datetime) -> dict[str, Any] | None:
    """Return {id, name, kind, settings, identity} of a pool whose telemetry is due now, else None."""
    if pool_id not in dict(telemetry(now)):
        return None
    found = Pool.objects.filter(id=pool_id).values("id", "name", "kind", "settings", "identity").first()
    return {**found} if found else None


def is_slow(pool_id: UUID, slow_seconds: float) -> bool:
    """True when the pool's last run failed, took longer than this, or when there was none: expect it to take long."""
    sync = PoolSync.objects.filter(pool_id=pool_id).select_related("last_run").first()
    if sync is None or sync.last_run is None or sync.consecutive_failures:
        return True
    run = sync.last_run
    if run.started_at is None or run.ended_at is None:
        return True
    return (run.ended_at - run.started_at).total_seconds() > slow_seconds


def checks() -> list[tuple[UUID, str]]:
    """Return (pool id, kind) of the pools that wait for a check, or for a decision on a new credential.

    A check that is on is among them: its worker may be lost, and a hint that comes too often does nothing.
    """
    pending = Exists(Credential.objects.filter(pool=OuterRef("pk"), state="pending"))
    waiting = Pool.objects.filter(pending | Q(sync__check_state__in=("queued", "running")), removed_at=None)
    return list(waiting.order_by("sync__check_requested_at", "id").values_list("id", "kind"))


def check_target(pool_id: UUID) -> dict[str, Any] | None:
    """Return {id, name, kind, state, settings, identity, generation, pending_credential_id}; None: no such pool."""
    columns = ("id", "name", "generation", "kind", "state", "settings", "identity")
    found = Pool.objects.filter(id=pool_id, removed_at=None).values(*columns).first()
    if found is None:
        return None
    pending = Credential.objects.filter(pool_id=pool_id, state="pending").values_list("id", flat=True).first()
    return {**found, "pending_credential_id": pending}


def far_end(pool_id: UUID) -> dict[str, Any]:
    """Return {name, kind, settings, identity} of a pool, as far as a session needs it."""
    return {**Pool.objects.values("name", "kind", "settings", "identity").get(id=pool_id)}


def pool_names(labels: Mapping[str, str] | None = None) -> dict[str, UUID]:
    """Return the pools that are there by name, all or those with these labels."""
    found = Pool.objects.filter(removed_at=None, labels__contains=labels or {})
    return dict(found.values_list("name", "id"))
