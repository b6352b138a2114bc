"""What the removal of a pool takes along, all in the caller's transaction."""

from datetime import datetime
from typing import Final

from django.db import connection
from django.db.models import Q

from pools.domain import freshness
from pools.domain.actors import Actor
from pools.domain.errors import FieldError, Invalid, PoolInUse, PoolReachable
from pools.models import Capacity, Device, DeviceTwin, Node, Pool, PoolSync, SyncRun

# The positions stay (one is never reused); the sums, roll-ups and the ledger's ends follow by trigger.
_EMPTY: Final = """
UPDATE capacity SET units = 0, uses = '[]', ceiling_milli = claimed_milli + held_milli,
    pos_total_milli = zeros, pos_total_mib = zeros, pos_shadow_milli = zeros, pos_shadow_mib = zeros,
    pos_faulty_milli = zeros, pos_faulty_mib = zeros
FROM (SELECT id, array_fill(0, ARRAY[cardinality(pos_total_milli)]) AS zeros FROM capacity WHERE pool_id = %s) AS old
WHERE capacity.id = old.id
"""


def check(pool: Pool, force_name: str | None, now: datetime) -> None:
    """Refuse to remove a pool that somebody uses, unless it does not answer and its name was typed.

    Locks the pool's capacity, so nobody claims of it any more. Raises PoolInUse, PoolReachable, Invalid.
    """
    if force_name is not None and force_name != pool.name:
        raise Invalid(fields=(FieldError("force", "another_name", "Type the name of the pool to remove it by force."),))
    sync = PoolSync.objects.select_for_update().get(pool=pool)
    rows = Capacity.objects.select_for_update(no_key=True).filter(pool=pool).order_by("pk")
    if not any(claimed or held for claimed, held in rows.values_list("claimed_milli", "held_milli")):
        return
    if force_name is None:
        raise PoolInUse
    if not freshness.is_stale(sync.observed_at, pool.sync_interval_seconds, now) and not sync.consecutive_failures:
        raise PoolReachable


def retire_inventory(pool: Pool, now: datetime) -> None:
    """Retire nodes and devices and take the pool's capacity out of all sums."""
    twins = DeviceTwin.objects.filter(Q(device__pool=pool) | Q(other__pool=pool))
    # In one order, for another pool may be removed at this moment and share them.
    locked = twins.select_for_update(of=("self",)).order_by("id").values_list("id", flat=True)
    DeviceTwin.objects.filter(id__in=list(locked)).delete()
    with connection.cursor() as cursor:
        cursor.execute(_EMPTY, [pool.pk])
    Device.objects.filter(pool=pool, retired_at=None).update(retired_at=now, changed_at=now)
    Node.objects.filter(pool=pool, retired_at=None).update(retired_at=now, changed_at=now)


def end_runs(pool: Pool, actor: Actor, now: datetime) -> None:
    """End the runs that wait or go on. A worker that is at it loses its turn and merges nothing more."""
    error = {"code": "pool.removed", "message": "The pool was removed.", "platform_words": ""}
    runs = SyncRun.objects.filter(pool=pool)
    runs.filter(state__in=("queued", "running")).update(state="failed", error=error, ended_at=now)
    runs.filter(state="held").update(state="rejected", decided_by=actor.name)
    PoolSync.objects.filter(pool=pool).update(
        turn_token=None, turn_until=None, next_at=None, cursor=None, held_run=None, unseen=None, check_state="idle"
    )
