"""What the removal of a pool takes along, all in the caller's transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
from django.db import connection
from django.db.models import Q

from pools.domain import freshness
from pools.domain.actors import Actor
from pools.domain.errors import FieldError, Invalid, PoolHasLeft, PoolInUse, PoolReachable
from pools.models import Capacity, Claim, Device, DeviceTwin, Drift, Node, Orphan, Pool, PoolSync, SyncRun
from pools.services import allocations, sql
from pools.services.allocations import Locked

LOST: Final = "lost"
_LOST: Final = "The pool was removed by force. Nobody knows what it still carries."

# The positions stay (one is never reused); the sums, roll-ups and the ledger's ends follow by trigger.
_EMPTY: Final = """
UPDATE capacity SET units = 0, uses = '[]',
    ceiling_milli = CASE WHEN is_advisory THEN 0 ELSE claimed_milli + held_milli END,
    pos_claimed_milli = CASE WHEN is_advisory THEN zeros ELSE pos_claimed_milli END,
    pos_claimed_mib = CASE WHEN is_advisory THEN zeros ELSE pos_claimed_mib END,
    pos_total_milli = zeros, pos_total_mib = zeros, pos_shadow_milli = zeros, pos_shadow_mib = zeros,
    pos_faulty_milli = zeros, pos_faulty_mib = zeros
FROM (SELECT id, array_fill(0, ARRAY[cardinality(pos_total_milli)]) AS zeros FROM capacity WHERE pool_id = %s) AS old
WHERE capacity.id = old.id
"""


class Overtaken(Exception):
    """Somebody claimed of the pool while its removal began."""


def check(pool: Pool, force_name: str | None, now: datetime) -> None:
    """Refuse to remove a pool that somebody uses, unless it does not answer and its name was typed.

    Locks the pool's capacity, so nobody claims of it any more. Raises PoolInUse, PoolReachable, Invalid.
    """
    if force_name is not None and force_name != pool.name:
        raise Invalid(fields=(FieldError("force", "another_name", "Type the name of the pool to remove it by force."),))
    sync = PoolSync.objects.select_for_update().get(pool=pool)
    rows = Capacity.objects.select_for_update(no_key=True).filter(pool=pool).order_by("pk")
    # Of rows that no claim takes from, claimed is what was observed.
    taken = rows.values_list("claimed_milli", "held_milli", "is_advisory")
    if not any((claimed or held) and not is_advisory for claimed, held, is_advisory in list(taken)):
        return
    if force_name is None:
        raise PoolInUse
    if _answers(sync, pool, now):
        raise PoolReachable


def _answers(sync: PoolSync, pool: Pool, now: datetime) -> bool:
    is_stale = freshness.is_stale(sync.observed_at, pool.sync_interval_seconds, now)
    return not is_stale and not sync.consecutive_failures


def lose(pool: Pool, given: Sequence[Locked], actor: Actor, now: datetime) -> None:
    """End all allocations of a pool that is given up: what they held is free, their ledger ends, the reason is lost.

    What the platform may still carry of them is listed as orphans: nobody confirmed that it is gone. Without any, the
    pool's targets are left alone all the same.
    """
    ids = [each.id for each in given]
    with connection.cursor() as cursor:
        trouble = msgspec.json.encode({"code": LOST, "message": _LOST, "words": "", "class": "permanent"}).decode()
        sql.run(cursor, "pool_left", {"pool": pool.pk, "ids": ids, "now": now, "trouble": trouble})
        if ids:
            allocations.lose(cursor, given, LOST, now)
        for state in sorted({each.state for each in given}):
            told = [each.id for each in given if each.state == state]
            params = {"ids": told, "action": "allocation.lost", "before": state, "actor": actor.name, "now": now}
            sql.run(cursor, "allocation_told", params)


def refuse_late(pool: Pool, given: Sequence[Locked]) -> None:
    """Refuse where something was claimed after what is given up was read. Raises Overtaken.

    The pool's capacity is locked by now, and who locks that locks no allocation any more: it is begun anew.
    """
    known = [each.id for each in given]
    if Claim.objects.filter(pool=pool, released_at=None).exclude(allocation_id__in=known).exists():
        raise Overtaken


def leave(pool: Pool, now: datetime) -> None:
    """Keep what is known to be left of a pool for whoever registers the same far end again."""
    Orphan.objects.filter(pool=pool, closed_at=None).update(origin="left", reap_asked_at=None)
    Drift.objects.filter(pool=pool, closed_at=None).update(state="closed", closed_at=now, outcome="over")


def refuse_undecided(pool: Pool) -> None:
    """Refuse to use a far end again while nobody decided what a removed pool of it left there. Raises PoolHasLeft."""
    before = Orphan.objects.filter(
        pool__kind=pool.kind, pool__identity=pool.identity, pool__removed_at__isnull=False, closed_at=None
    )
    if count := before.count():
        raise PoolHasLeft(count=count)


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
