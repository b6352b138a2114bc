"""To take a VM away. Every step is silent when it is so already; what is left is asked of vCenter, not assumed."""

from contextlib import suppress
from typing import Any

from pyVmomi import vim, vmodl

from connectors.contract import Target
from connectors.vsphere.faults import translated
from connectors.vsphere.tasks import Client, StillRunning, read, wait


def start_switching_off(there: Any) -> Any:
    """Start the task; None when the VM is off or gone already."""
    try:
        return there.PowerOffVM_Task()
    except (vim.fault.InvalidPowerState, vmodl.fault.ManagedObjectNotFound):
        return None


def start_destroying(there: Any) -> Any:
    """Start the task; None when the VM is gone already."""
    try:
        return there.Destroy_Task()
    except vmodl.fault.ManagedObjectNotFound:
        return None


def destroy(client: Client, there: Any) -> None:
    """Remove a VM that was just made and never ran."""
    with translated(client.host):
        task = start_destroying(there)
    if task is not None:
        with suppress(StillRunning):
            wait(client, task)


def is_shown(client: Client, target: Target, there: Any) -> bool:
    """Tell whether the host of the target still gives a GPU to a VM that is gone from the inventory."""
    if there is None or target.node_ref is None or target.is_tenants:
        return False
    with translated(client.host):
        host = client.content.searchIndex.FindByUuid(None, target.node_ref, False)
    if host is None:
        return False
    told = read(client, host, ["config.graphicsInfo", "config.assignableHardwareBinding"]) or {}
    users = [user for card in told.get("config.graphicsInfo") or [] for user in card.vm]
    users += [binding.vm for binding in told.get("config.assignableHardwareBinding") or []]
    return there in users


def is_taken(client: Client, there: Any) -> bool:
    """Tell whether a fixed DirectPath device of this VM is given to another one; its fault has no type of its own."""
    told = read(client, there, ["config.hardware.device", "runtime.host"]) or {}
    host = told.get("runtime.host")
    if host is None:
        return False
    found = read(client, host, ["config.assignableHardwareBinding"]) or {}
    others = {
        binding.instanceId for binding in found.get("config.assignableHardwareBinding") or [] if binding.vm != there
    }
    wanted = {
        getattr(getattr(device, "backing", None), "id", None) for device in told.get("config.hardware.device") or []
    }
    return bool(others & wanted)
