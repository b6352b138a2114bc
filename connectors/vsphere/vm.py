"""A VM as a target: how it is found, what it carries, and the devices and marker of its orders."""

import re
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from pyVmomi import vim

from connectors.contract import Found, NoCapacity, Order, Permanent, Place, Target, Transient
from connectors.vsphere.faults import translated
from connectors.vsphere.tasks import Client, read

ALLOCATION, INSTALLATION = "ocenter.allocation", "ocenter.installation"
GENERATION, ORDERS = "ocenter.generation", "ocenter.orders"
MARKERS = (ALLOCATION, INSTALLATION, GENERATION, ORDERS)
_PATHS = [
    "name",
    "config.changeVersion",
    "config.extraConfig",
    "config.hardware.device",
    "config.memoryReservationLockedToMax",
    "runtime.powerState",
    "runtime.host",
]
_PROFILE = re.compile(r"_[a-z0-9]+-(?:\d+-)?(\d+)(?:c|cme|q|b|a)$")

Pci = vim.vm.device.VirtualPCIPassthrough


class Machine(Struct, frozen=True, kw_only=True):
    """A VM as vCenter tells it now. One that is suspended is neither on nor off, and has no GPU."""

    ref: Any
    name: str
    change_version: str
    marks: dict[str, str]
    devices: list[Any]
    is_on: bool
    is_off: bool
    is_reserved: bool
    host: Any

    @property
    def generation(self) -> int:
        """The generation it carries, -1 for none."""
        text = self.marks.get(GENERATION, "")
        return int(text) if text.isdigit() else -1

    @property
    def orders(self) -> dict[str, list[str]]:
        """The devices of each order, in the words of ``wanted``."""
        try:
            return msgspec.json.decode(self.marks.get(ORDERS, "{}"), type=dict[str, list[str]])
        except msgspec.DecodeError:
            return {}

    def attached(self) -> list[str]:
        """Return the GPU devices that it has, in the words of ``wanted``."""
        return sorted(word_of(device) for device in self.devices)


def instance_uuid(target: Target) -> str:
    """Return the instance uuid of a VM of ours."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, target.ref))


def wanted(order: Order) -> list[str]:
    """Return a word for each device: a PCI address (whole GPU) or the name of a vGPU profile, once for each vGPU."""
    if order.devices and not order.profile:
        return sorted(order.devices)
    profile = order.profile or order.resource
    size = _PROFILE.search(profile)
    if not profile:
        raise Permanent(f"{order.marker} names neither a profile nor devices; order one of them.", code="rejected")
    mib = int(size[1]) * 1024 if size else 0
    return [profile] * max(1, -(-order.memory_mib // mib) if mib else 1)


def find(client: Client, target: Target) -> Machine | None:
    """Return the target's VM: by instance uuid, else by the name in the folder; a tenant's by either or its path."""
    index = client.content.searchIndex
    with translated(client.host):
        known = target.ref if target.is_tenants else instance_uuid(target)
        ref = index.FindByUuid(None, known, True, True) if _is_uuid(known) else None
        ref = ref or index.FindByInventoryPath(target.ref)
        if ref is None:
            ref = _by_name(client, target.ref)
    return machine(client, ref) if isinstance(ref, vim.VirtualMachine) else None


def machine(client: Client, ref: Any) -> Machine | None:
    """Read a VM in one call; None when it is gone. Raises Transient while vCenter itself cannot read it."""
    found = read(client, ref, _PATHS)
    if found is None:
        return None
    if "config.changeVersion" not in found:
        raise Transient(
            f"vCenter cannot read {found.get('name') or ref._GetMoId()} now, so nobody knows whose it is. See its host "
            "and its datastore."
        )
    extra = found.get("config.extraConfig") or []
    return Machine(
        ref=ref,
        name=found.get("name", ""),
        change_version=found["config.changeVersion"],
        marks={option.key: str(option.value) for option in extra if option.key in MARKERS and option.value},
        devices=[device for device in found.get("config.hardware.device") or [] if isinstance(device, Pci)],
        is_on=found.get("runtime.powerState") == "poweredOn",
        is_off=found.get("runtime.powerState") == "poweredOff",
        is_reserved=bool(found.get("config.memoryReservationLockedToMax")),
        host=found.get("runtime.host"),
    )


def tell(client: Client, installation: str, found: Machine) -> Found:
    """Return what a VM carries. Orders are delivered when their devices are there and the VM runs."""
    if found.marks.get(INSTALLATION) != installation:
        return Found(generation=max(0, found.generation), is_ours=False, detail={"vm": found.name})
    node = read(client, found.host, ["hardware.systemInfo.uuid"]) or {}
    ref = node.get("hardware.systemInfo.uuid", "")
    orders = found.orders if found.is_on and has_all(found.attached(), found.orders) else {}
    return Found(
        generation=found.generation,
        markers=tuple(sorted(orders)),
        undelivered=tuple(sorted(found.orders.keys() - orders.keys())),
        places={
            marker: tuple(Place(ref, word if is_address(word) else "") for word in words)
            for marker, words in sorted(orders.items())
        },
        enforced=("hypervisor",),
        detail={"vm": found.name, "is_on": found.is_on, "devices": found.attached()},
    )


def has_all(attached: Sequence[str], orders: dict[str, list[str]]) -> bool:
    """Tell whether all devices of these orders are attached."""
    left = list(attached)
    for word in (word for words in orders.values() for word in words):
        if word not in left:
            return False
        left.remove(word)
    return True


def marks(installation: str, target: Target, orders: Sequence[Order]) -> list[Any]:
    """Return the marker. An empty value takes an entry off; all are written, so a template's are overwritten."""
    listed = {order.marker: wanted(order) for order in sorted(orders, key=lambda order: order.marker)}
    values = {
        ALLOCATION: ",".join(sorted({order.allocation for order in orders})),
        INSTALLATION: installation,
        GENERATION: str(target.generation),
        ORDERS: msgspec.json.encode(listed).decode() if listed else "",
    }
    return [vim.option.OptionValue(key=key, value=value) for key, value in values.items()]


def device(word: str, passthrough: dict[str, Any], key: int) -> Any:
    """Return the device to add: the fixed DirectPath device of a PCI address, or a vGPU of a profile."""
    if not is_address(word):
        return Pci(key=key, backing=Pci.VmiopBackingInfo(vgpu=word))
    offered = passthrough.get(word)
    if offered is None:
        raise NoCapacity(f"The host gives no card at {word} away whole; another may. See its settings.")
    pci = offered.pciDevice
    return Pci(
        key=key,
        backing=Pci.DeviceBackingInfo(
            id=word,
            deviceId=f"{pci.deviceId & 0xFFFF:x}",
            systemId=offered.systemId,
            vendorId=pci.vendorId,
            deviceName=pci.deviceName,
        ),
    )


def is_address(word: str) -> bool:
    """Tell a PCI address from the name of a profile."""
    return re.fullmatch(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", word) is not None


def word_of(found: Any) -> str:
    """Return the word for an attached device."""
    backing = found.backing
    return str(getattr(backing, "vgpu", None) or getattr(backing, "id", None) or getattr(backing, "assignedId", ""))


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _by_name(client: Client, name: str) -> Any:
    for child in client.content.rootFolder.childEntity:
        if isinstance(child, vim.Datacenter):
            found = client.content.searchIndex.FindChild(child.vmFolder, name)
            if found is not None:
                return found
    return None


def is_marked(found: Machine, marks: Sequence[Any]) -> bool:
    """Tell whether a VM carries exactly this marker."""
    return found.marks == {option.key: option.value for option in marks if option.value}


def no_marks() -> list[Any]:
    """Return what takes our marker off."""
    return [vim.option.OptionValue(key=key, value="") for key in MARKERS]


def removing(found: Machine, words: Sequence[str]) -> list[Any]:
    """Return the changes that take these devices off, each once, by the keys that vCenter gave them."""
    left, leaving = list(words), []
    for attached in found.devices:
        if word_of(attached) in left:
            left.remove(word_of(attached))
            leaving.append(attached)
    return removed(leaving)


def removed(devices: Sequence[Any]) -> list[Any]:
    """Return the changes that take devices off."""
    return [vim.vm.device.VirtualDeviceSpec(operation="remove", device=device) for device in devices]
