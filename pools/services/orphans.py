"""Orphans: opened and closed by syncs, adopted or reaped by people.

Reaping sends nothing itself: a target without the orphan's order becomes due, and a worker makes it so.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.backends.utils import CursorWrapper

from connectors import catalog
from pools import dispatch
from pools.domain import markers, orphans, states, targets
from pools.domain.actors import Actor
from pools.domain.errors import (
    OrphanClosed,
    OrphanElsewhere,
    OrphanFresh,
    OrphanMissing,
    OrphanNotOurs,
    OrphanOver,
    OrphanUnknown,
    OrphanWithoutPool,
)
from pools.models import Orphan, Pool, Target
from pools.selectors.installation import installation_id
from pools.services import arrays, audit, sql, writing

# The last allocation that a marker stood for, whether one of its claims lives in the pool, and what carries it there.
_OF_MARKER: Final = """
SELECT a.id, a.state, m.target_id, m.order_state, EXISTS (
    SELECT FROM claim l WHERE l.allocation_id = o.allocation_id AND l.member_index = o.member_index
        AND l.pool_id = %(pool)s AND l.released_at IS NULL)
FROM operation o JOIN allocation a ON a.id = o.allocation_id
    LEFT JOIN member m ON m.allocation_id = o.allocation_id AND m.index = o.member_index AND m.pool_id = %(pool)s
WHERE o.target_ref = %(marker)s AND o.action = 'apply' ORDER BY o.id DESC LIMIT 1
"""

_FOUND: Final = """
INSERT INTO orphan (id, pool_id, marker, holder, node_id, milli, memory_mib, places, origin, opened_at)
SELECT new_id(), t.pool_id, marker, '', t.node_id, 0, 0, '[]', 'seen', %s
FROM unnest(%s::text[]) marker CROSS JOIN target t WHERE t.id = %s
ON CONFLICT (pool_id, marker) WHERE closed_at IS NULL DO NOTHING
"""


def renew(
    cursor: CursorWrapper, pool_id: UUID, found: Collection[str], explained: Collection[str], *, now: datetime
) -> None:
    """Open and close orphans by what a complete observation left recorded, in the caller's transaction.

    ``found`` are all recorded markers of the pool, ``explained`` those of claims.
    """
    params = {
        "pool": pool_id,
        "now": now,
        "markers": arrays.texts(sorted({*found} - {*explained})),
        "explained": arrays.texts(sorted(explained)),
    }
    sql.run(cursor, "orphans_seen", params)
    sql.run(cursor, "orphans_over", params)


@writing.transaction
def open_found(target_id: UUID, found: Collection[str], *, now: datetime) -> None:
    """Open an orphan for each of these markers that a target turned out to carry; syncs tell later what they use."""
    with connection.cursor() as cursor:
        cursor.execute(_FOUND, [now, list(found), target_id])


@writing.transaction
def adopt(*, orphan_id: UUID, actor: Actor, now: datetime) -> None:
    """Attach an orphan to the allocation whose name it carries, where that holds its claim in this pool again.

    Its target is applied anew, so that it carries what was claimed. What a removed pool left goes over to the pool that
    stands for the same far end now; its next sync sees whether it is there. Raises OrphanWithoutPool, OrphanUnknown,
    OrphanOver, OrphanElsewhere, OrphanClosed, OrphanMissing.
    """
    orphan = _locked(orphan_id)
    if orphan.pool.removed_at is not None:
        return _hand_over(orphan, actor, now)
    with connection.cursor() as cursor:
        cursor.execute(_OF_MARKER, {"pool": orphan.pool_id, "marker": orphan.marker})
        allocation_id, state, target_id, order_state, is_claimed = cursor.fetchone() or (None,) * 5
        if allocation_id is None:
            raise OrphanUnknown
        if state in states.ALLOCATION_FINAL or state == "releasing":
            raise OrphanOver
        if not is_claimed:
            raise OrphanElsewhere
        if target_id is not None and order_state in states.ORDER_CARRIED:
            cursor.execute(
                "UPDATE target SET generation = generation + 1, is_unknown = true, due_at = %s WHERE id = %s",
                [now, target_id],
            )
    _close(orphan, "adopted", now)
    _tell(actor, "orphan.adopted", orphan, {"allocation": str(allocation_id)}, now)
    dispatch.advance_allocations()


@writing.transaction
def reap(*, orphan_id: UUID, actor: Actor, now: datetime) -> None:
    """Have an orphan taken away by a worker. Asking again while one is at it changes nothing.

    Of what a removed pool left, somebody says that it is gone. Raises OrphanFresh before its grace time is over,
    OrphanNotOurs where the platform says that another installation made it, OrphanClosed, OrphanMissing.
    """
    orphan = _locked(orphan_id)
    if orphan.pool.removed_at is not None:
        _close(orphan, "reaped", now)
        return _tell(actor, "orphan.reaped", orphan, {"by_hand": True}, now)
    if orphan.reap_asked_at is not None and orphan.target is not None and orphan.target.due_at is not None:
        return  # a worker still has to do it; one that is done and left it there is asked again
    if orphans.reapable_at(orphan.opened_at) > now:
        raise OrphanFresh(at=f"{orphans.reapable_at(orphan.opened_at):%Y-%m-%dT%H:%M:%SZ}")
    target = _target_of(orphan)
    known = Target.objects.filter(pool_id=orphan.pool_id, kind=target["kind"], ref=target["ref"]).first()
    if known is not None and (known.trouble or {}).get("code") == targets.NOT_OURS:
        raise OrphanNotOurs
    with connection.cursor() as cursor:
        sql.run(cursor, "orphan_target", target | {"pool": orphan.pool_id, "now": now})
        orphan.target_id, orphan.reap_asked_at = cursor.fetchone()[0], now
    orphan.save(update_fields=["target", "reap_asked_at"])
    _tell(actor, "orphan.reaped", orphan, {"target": target["ref"]}, now)
    dispatch.advance_allocations()


def _target_of(orphan: Orphan) -> dict[str, Any]:
    """Return {kind, ref, node, mode} of what carries it: as recorded, else as its mode names it.

    What a removed pool left keeps the name that it had there, which may be made of that pool's id.
    """
    pool, node_ref = orphan.pool, orphan.node.ref if orphan.node else None
    manifest = catalog.manifest(pool.kind)
    params: dict[str, Any] = {"pool": pool.pk, "marker": orphan.marker, "node": node_ref}
    with connection.cursor() as cursor:
        sql.run(cursor, "orphan_carrier", params)
        known = cursor.fetchone()
        cursor.execute(_OF_MARKER, params)
        found = cursor.fetchone()
    if known is not None:
        kind, ref, mode_name, carried_on, node_id = known
        # On another node it is another host's: somebody moved what is here.
        if node_ref in (None, carried_on) or targets.mode_of(manifest, mode_name).per != "node":
            return {"kind": kind, "ref": ref, "node": node_id or orphan.node_id, "mode": mode_name}
    mode = targets.mode_of(manifest, pool.mode)
    if mode.per == "node" and node_ref is not None:
        ref = markers.of_key(installation_id(), f"{pool.pk}/{node_ref}")
    elif mode.per == "allocation" and found:
        ref = markers.of_key(installation_id(), str(found[0]))
    else:
        ref = orphan.marker
    return {"kind": mode.target, "ref": ref, "node": orphan.node_id, "mode": mode.name}


def _hand_over(orphan: Orphan, actor: Actor, now: datetime) -> None:
    """Let the pool that stands for the far end of a removed one have its orphan."""
    left = orphan.pool
    heirs = Pool.objects.filter(kind=left.kind, identity=left.identity, identity__isnull=False, removed_at=None)
    heir = heirs.order_by("created_at").first()
    if heir is None:
        raise OrphanWithoutPool
    if Orphan.objects.filter(pool=heir, marker=orphan.marker, closed_at=None).exists():
        _close(orphan, "adopted", now)
    else:
        orphan.pool, orphan.node, orphan.target, orphan.reap_asked_at = heir, None, None, None
        orphan.opened_at = now  # people have its grace time anew: the heir's sync may find whose it is
        orphan.save(update_fields=["pool", "node", "target", "reap_asked_at", "opened_at"])
    _tell(actor, "orphan.adopted", orphan, {"from": str(left.pk)}, now)


def _locked(orphan_id: UUID) -> Orphan:
    orphan = Orphan.objects.select_for_update(of=("self",)).select_related("pool").filter(id=orphan_id).first()
    if orphan is None:
        raise OrphanMissing
    if orphan.closed_at is not None:
        raise OrphanClosed
    return orphan


def _close(orphan: Orphan, outcome: str, now: datetime) -> None:
    orphan.closed_at, orphan.outcome = now, outcome
    orphan.save(update_fields=["closed_at", "outcome"])


def _tell(actor: Actor, action: str, orphan: Orphan, after: dict[str, Any], now: datetime) -> None:
    audit.record(actor, action, "orphan", orphan.pk, orphan.marker, None, after | {"pool": str(orphan.pool_id)}, now)
