"""What workers have to do next. Read by the sweep and by hints; whoever takes the turn decides again under its lock."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from pools.domain import states
from pools.models import Credential, Pool, SyncRun


def runs(now: datetime) -> list[tuple[UUID, str]]:
    """Return (pool id, kind) of the pools with a run queued or due by schedule that nobody observes now."""
    queued = Exists(SyncRun.objects.filter(pool=OuterRef("pk"), state="queued"))
    scheduled = Q(state__in=states.POOL_STATES_SYNCED, sync__next_at__lte=now)
    free = Q(sync__turn_until=None) | Q(sync__turn_until__lte=now)
    due = Pool.objects.filter(queued | scheduled, free, removed_at=None)
    return list(due.order_by("sync__next_at", "id").values_list("id", "kind"))


def checks() -> list[tuple[UUID, str]]:
    """Return (pool id, kind) of the pools that wait for a check, or for a decision on a new credential."""
    pending = Exists(Credential.objects.filter(pool=OuterRef("pk"), state="pending"))
    waiting = Pool.objects.filter(pending | Q(sync__check_state="queued"), removed_at=None)
    return list(waiting.order_by("sync__check_requested_at", "id").values_list("id", "kind"))


def check_target(pool_id: UUID) -> dict[str, Any] | None:
    """Return {id, name, kind, state, settings, identity, pending_credential_id}; None: no such pool."""
    columns = ("id", "name", "kind", "state", "settings", "identity")
    found = Pool.objects.filter(id=pool_id, removed_at=None).values(*columns).first()
    if found is None:
        return None
    pending = Credential.objects.filter(pool_id=pool_id, state="pending").values_list("id", flat=True).first()
    return {**found, "pending_credential_id": pending}


def pool_names(labels: Mapping[str, str] | None = None) -> dict[str, UUID]:
    """Return the pools that are there by name, all or those with these labels."""
    found = Pool.objects.filter(removed_at=None, labels__contains=labels or {})
    return dict(found.values_list("name", "id"))
