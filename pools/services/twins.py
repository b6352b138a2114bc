"""The same card in several pools: one of them gives it out, in the others it counts for nothing.

``Device.is_elsewhere`` says so, and capacity rows follow from it. A card begins to count only under the lock of twins,
which is taken before any row: two pools that show it first at the same moment cannot both count it.
"""

from collections import defaultdict
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import connection
from django.db.backends.utils import CursorWrapper

from pools.domain.actors import Actor
from pools.domain.errors import Denied, DeviceMissing, DeviceNoTwin, DevicePromised
from pools.models import Device, Pool
from pools.services import audit, capacity, sql, writing

_LOCK: Final = 0x7477696E  # "twin"
MOST: Final = 500
"""So many pairs are settled in one transaction."""

_NODES: Final = """
INSERT INTO refresh_node (id, is_new)
SELECT node_id, false FROM device WHERE id = %(device)s
UNION SELECT other_node_id, false FROM live_twin WHERE device_id = %(device)s
"""
_OTHERS: Final = """
SELECT t.other_id, p.id, p.name, is_promised(t.other_id) FROM live_twin t JOIN pool p ON p.id = t.other_pool_id
WHERE t.device_id = %s AND NOT t.other_is_elsewhere ORDER BY p.name
"""
_TWINS: Final = "SELECT EXISTS (SELECT FROM live_twin WHERE device_id = %s)"


def lock(cursor: CursorWrapper) -> None:
    """Take the lock of twins until the transaction ends: after the lock of a pool, before any capacity row."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def is_unsettled(pool_id: UUID) -> bool:
    """Tell whether a device of the pool counts as one of another pool does, or no more though none does. One query."""
    with connection.cursor() as cursor:
        sql.run(cursor, "twins_unsettled", {"pool": pool_id})
        return bool(cursor.fetchone()[0])


def settle(cursor: CursorWrapper, pool_id: UUID) -> bool:
    """Let one pool count each card of this pool that others show, in the caller's transaction; False: nothing to do."""
    params = {"pool": pool_id, "most": MOST}
    lock(cursor)
    sql.run(cursor, "merge_incoming")
    sql.run(cursor, "twins_scope", params)
    sql.run(cursor, "twins_lock")
    sql.run(cursor, "twins_settle", params)
    changed = cursor.fetchall()
    _refresh(cursor, changed)
    return bool(changed)


@writing.transaction
def give_out(*, device_id: UUID, actor: Actor, now: datetime) -> None:
    """Let the pool of this device give the card out, and no other one that shows it. Again: changes nothing.

    Raises DevicePromised when another pool has given it out, DeviceNoTwin when none shows it, DeviceMissing, and Denied
    when who asks may not reach that pool.
    """
    with connection.cursor() as cursor:
        lock(cursor)
        sql.run(cursor, "merge_incoming")
        cursor.execute(_NODES, {"device": device_id})
        sql.run(cursor, "twins_lock")
        device = Device.objects.select_related("node", "pool").filter(id=device_id, retired_at=None).first()
        if device is None:
            raise DeviceMissing
        cursor.execute(_TWINS, [device_id])
        if not cursor.fetchone()[0]:
            raise DeviceNoTwin
        cursor.execute(_OTHERS, [device_id])
        others = cursor.fetchall()
        for _, pool_id, pool, is_promised in others:
            if actor.access.scope.pools is not None and pool_id not in actor.access.scope.pools:
                raise Denied
            if is_promised:
                raise DevicePromised(pool=pool)
        if not (device.is_elsewhere or others):
            return
        Device.objects.filter(id__in=[id for id, *_ in others]).update(is_elsewhere=True)
        Device.objects.filter(id=device_id).update(is_elsewhere=False)
        cursor.execute("SELECT n.pool_id, n.id FROM refresh_node r JOIN node n ON n.id = r.id")
        _refresh(cursor, cursor.fetchall())
    before, after = ({"given_out_by": names} for names in ([pool for _, _, pool, _ in others], [device.pool.name]))
    name = f"{device.node.name} {device.ref}"
    audit.record(actor, "device.given_out", "device", device_id, name, before, after, now)


def _refresh(cursor: CursorWrapper, changed: list[tuple[UUID, UUID]]) -> None:
    """Make the capacity of nodes, given as (pool, node), follow. Their rows are locked."""
    nodes = defaultdict(set)
    for pool_id, node_id in changed:
        nodes[pool_id].add(node_id)
    grains = dict(Pool.objects.filter(id__in=nodes).values_list("id", "grain"))
    for pool_id, of_pool in sorted(nodes.items()):
        cursor.execute("DELETE FROM refresh_node")
        cursor.execute("INSERT INTO refresh_node (id, is_new) SELECT unnest(%s::uuid[]), false", [list(of_pool)])
        capacity.refresh(cursor, {"pool": pool_id, "is_advisory": grains[pool_id] == "pool"})
