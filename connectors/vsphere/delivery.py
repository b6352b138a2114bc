"""What a tenant is told of a VM: where it is in vCenter. There is no secret in it."""

from collections.abc import Sequence

from connectors.contract import Delivery, Order, Permanent, Target
from connectors.vsphere import vm
from connectors.vsphere.tasks import Client, read


def access(client: Client, installation: str, target: Target, orders: Sequence[Order]) -> Delivery:
    """Return name, uuid, id and guest address of the VM. Raises Permanent ``not_found`` when it carries nothing."""
    found = vm.find(client, target)
    told = vm.tell(client, installation, found) if found else None
    if found is None or told is None or not told.is_ours or not told.markers:
        raise Permanent(f"{target.ref} delivers nothing yet; apply its orders first.", code="not_found")
    more = read(client, found.ref, ["config.instanceUuid", "guest.ipAddress"]) or {}
    facts = {
        "vcenter": client.host,
        "vm": found.name,
        "instance_uuid": more.get("config.instanceUuid") or "",
        "moid": found.ref._GetMoId(),
        "address": more.get("guest.ipAddress") or "",
    }
    return Delivery(kind="vm", facts={key: value for key, value in facts.items() if value})
