"""VMs as vCenter tells them: the devices and the marker of those that matter. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec
from pyVmomi import vim

from connectors.vsphere import lean
from connectors.vsphere.uses import Machine
from connectors.vsphere.vm import INSTALLATION, ORDERS, is_address

VERSION = "config.changeVersion"
PLACE = ("runtime.host", "runtime.powerState")
"""What is read of all VMs: where each is, and whether it is on."""
PATHS = (
    *("name", *PLACE, VERSION, "config.hardware.device", "config.extraConfig"),
    *("config.memoryReservationLockedToMax", "config.hardware.memoryMB"),
    *("config.memoryAllocation.reservation", "config.cpuAllocation.reservation"),
)
"""What is read of VMs that may have devices."""
_OURS = "oc-"


def host_of(values: Mapping[str, Any]) -> str:
    """Return the id of a VM's host, empty for none."""
    found = values.get("runtime.host")
    return str(found._GetMoId()) if found is not None else ""


def is_on(values: Mapping[str, Any]) -> bool:
    """Tell whether a VM runs. One that is off or suspended uses no device."""
    return values.get("runtime.powerState") == "poweredOn"


def machine(values: Mapping[str, Any], installation: str) -> Machine:
    """Return a VM by the values of ``PATHS``. What is in its marker counts when this installation made it."""
    devices = values.get("config.hardware.device")
    words = [_word(each) for each in devices or () if _is_gpu(each)]
    extra = {str(each.key): str(each.value or "") for each in values.get("config.extraConfig") or ()}
    name = str(values.get("name") or "")
    is_ours = bool(installation) and extra.get(INSTALLATION) == installation
    orders = _orders(extra.get(ORDERS, "")) if is_ours else {}
    is_locked = bool(values.get("config.memoryReservationLockedToMax"))
    memory = values.get("config.hardware.memoryMB" if is_locked else "config.memoryAllocation.reservation")
    return Machine(
        name=name,
        host=host_of(values),
        is_on=is_on(values),
        profiles=tuple(word for word in words if word and not is_address(word)),
        addresses=tuple(word for word in words if is_address(word)),
        orders=orders,
        marker=_marker(name, orders) if is_ours else None,
        is_told=devices is not None,
        memory_reserved_mib=memory or 0,
        cpu_reserved_mhz=values.get("config.cpuAllocation.reservation") or 0,
    )


def _is_gpu(device: Any) -> bool:
    return isinstance(device, vim.vm.device.VirtualPCIPassthrough | lean.PciPassthrough)


def _word(device: Any) -> str:
    """Return the profile of a vGPU, or the address of a card; empty for a card that is chosen when the VM starts."""
    told = (getattr(device.backing, name, None) for name in ("vgpu", "id", "assignedId"))
    word = str(next(filter(None, told), ""))
    return word.lower() if is_address(word.lower()) else word


def _orders(text: str) -> dict[str, list[str]]:
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, list[str]])
    except msgspec.DecodeError:
        return {}


def _marker(name: str, orders: Mapping[str, Any]) -> str | None:
    """Return what stands for devices of no order in particular: the target's name, or its only order."""
    if name.startswith(_OURS):
        return name
    return next(iter(orders)) if len(orders) == 1 else None
