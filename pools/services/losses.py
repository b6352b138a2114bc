"""What an observation did not show of what is recorded, and how grave it would be to lose it. Reads only."""

from collections.abc import Collection
from uuid import UUID

from django.db import connection

from pools.domain.observation import Loss, Sight, Unseen
from pools.models import Device, Node


def of(pool_id: UUID, sight: Sight, *, is_full: bool, waiting: Unseen) -> tuple[Unseen, Loss]:
    """Return the nodes and devices that a complete observation did not show, and how grave that is.

    ``waiting`` is what an earlier run did not see and a person has not decided on: one that tells only changes does
    not tell it again. What a person accepted before is among the unseen and does not count in the loss.
    """
    nodes = {node.id: node for node in sight.unseen_nodes(is_full=is_full).values()}
    lost_devices = sight.unseen_devices - sight.moved_devices
    if not is_full:
        again = still_unseen(sight, waiting)
        nodes |= {node.id: node for node in sight.recorded.values() if node.id in again.nodes}
        lost_devices |= again.devices
    # As of now, since a person may have accepted the loss while this run went on.
    missing = Node.objects.filter(pool_id=pool_id, missing_since__isnull=False, retired_at=None)
    accepted = set(missing.filter(loss_accepted=True).values_list("id", flat=True))
    lost_devices = set(Device.objects.filter(id__in=lost_devices, missing_since=None).values_list("id", flat=True))
    fresh = [node for node in nodes.values() if node.id not in accepted]
    live = [node for node in sight.recorded.values() if node.id not in accepted]
    loss = Loss(
        nodes=len(fresh),
        live_nodes=len(live),
        devices=_devices_left_on([node.id for node in fresh], sight) + len(lost_devices),
        live_devices=sum(node.device_count for node in live),
        has_claims=_has_claims(pool_id, [node.id for node in fresh], lost_devices),
    )
    devices = lost_devices | _missing_devices(pool_id, list(nodes))
    return Unseen(frozenset(nodes), frozenset(devices)), loss


def still_unseen(sight: Sight, before: Unseen) -> Unseen:
    """Return what of an earlier run's unseen this one, however far it came, has not seen either."""
    seen = sight.seen_nodes()
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, node_id FROM device WHERE id = ANY(%s)", [list(before.devices)])
        devices = {id for id, node_id in cursor.fetchall() if node_id not in seen}
    return Unseen(before.nodes - seen, frozenset(devices | (before.devices & sight.unseen_devices)))


def told_now(unseen: Unseen, sight: Sight) -> Unseen:
    """Return what went just now. What was missing before has missed no look by that others changed."""
    missing = {node.id for node in sight.recorded.values() if node.is_missing}
    return Unseen(unseen.nodes - missing, unseen.devices & (sight.unseen_devices - sight.moved_devices))


def _devices_left_on(node_ids: Collection[UUID], sight: Sight) -> int:
    """Count the devices that go with these nodes. A host that registers anew takes its cards along."""
    left = Device.objects.filter(node_id__in=node_ids, missing_since=None, retired_at=None)
    return left.exclude(id__in=sight.moved_devices).count() if node_ids else 0


def _missing_devices(pool_id: UUID, unseen_node_ids: Collection[UUID]) -> set[UUID]:
    """Devices that were missing before and whose node is there: they miss one observation more."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT d.id FROM device d JOIN node n ON n.id = d.node_id
            WHERE d.pool_id = %s AND d.missing_since IS NOT NULL AND d.retired_at IS NULL
                AND n.missing_since IS NULL AND NOT n.id = ANY(%s)
            """,
            [pool_id, list(unseen_node_ids)],
        )
        return {row[0] for row in cursor.fetchall()}


def _has_claims(pool_id: UUID, node_ids: Collection[UUID], device_ids: Collection[UUID]) -> bool:
    """True when a claim or hold lies on one of these nodes of the pool, or at the position of one of these devices."""
    if not node_ids and not device_ids:
        return False
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT EXISTS (SELECT FROM capacity WHERE pool_id = %(pool)s AND node_id = ANY(%(nodes)s)
                    AND claimed_milli + held_milli > 0)
                OR EXISTS (SELECT FROM device d JOIN capacity c ON c.id = d.capacity_id WHERE d.id = ANY(%(devices)s)
                    AND c.pos_claimed_milli[d.position] + c.pos_held_milli[d.position] > 0)
            """,
            {"pool": pool_id, "nodes": list(node_ids), "devices": list(device_ids)},
        )
        return bool(cursor.fetchone()[0])
