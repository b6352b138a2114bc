"""Hosts as vCenter tells them: the properties that a look reads of all, and what they say of cards. Pure."""

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

PCI_DEVICES, PASSTHROUGH = "hardware.pciDevice", "config.pciPassthruInfo"
"""What is long and read of some hosts only."""
_UUID, _OTHER_UUID = "hardware.systemInfo.uuid", "summary.hardware.uuid"
_GRAPHICS, _TYPES = "config.graphicsInfo", "config.sharedPassthruGpuTypes"
_BINDINGS = "config.assignableHardwareBinding"
_CORES, _MHZ, _MEMORY = "summary.hardware.numCpuCores", "summary.hardware.cpuMhz", "summary.hardware.memorySize"
_STATE, _MAINTENANCE, _BOOT = "runtime.connectionState", "runtime.inMaintenanceMode", "runtime.bootTime"
_PATHS = (
    *("name", "parent", _UUID, _OTHER_UUID, _STATE, _MAINTENANCE, _BOOT, _CORES, _MHZ, _MEMORY),
    *(_GRAPHICS, _TYPES),
)
_OF_CARDS = frozenset((_GRAPHICS, _TYPES, PASSTHROUGH, _BINDINGS))
_ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")

VENDORS = {
    "10de": "nvidia",
    "1002": "amd",
    "8086": "intel",
    "1da3": "intel",  # Habana Gaudi
    "19e5": "huawei",
    "cabc": "cambricon",
    "1d94": "hygon",
    "1e3e": "iluvatar",
    "9999": "metax",
    "1ed5": "mthreads",
    "1e36": "enflame",
    "1d22": "kunlunxin",
    "1ded": "thead",
}
CUT = "sharedDirect"
"""The graphics type of a card that is given out as vGPUs."""
_DISPLAY, _ACCELERATOR = 0x03, 0x12  # PCI base classes


class Slot(Struct, frozen=True, array_like=True):
    """A card as the PCI bus has it: ``vvvv:dddd``, the platform's name, and the memory that was last told of it."""

    pci_id: str
    model: str
    memory_mib: int = 0


Layout = Mapping[str, Slot]
"""The cards of a host by PCI address."""


class Graphics(Struct, frozen=True, kw_only=True):
    """A card that the host itself drives. ``kind`` is vSphere's graphics type, ``vms`` are on it now."""

    address: str
    model: str
    vendor: str
    kind: str
    cut: str
    memory_mib: int
    vms: tuple[str, ...]


class Host(Struct, kw_only=True):
    """A host at one moment.

    ``bound`` maps addresses to VMs, ``types`` names its profiles. ``active`` are the addresses that VMs get whole, None
    where they were not read. ``hidden`` are properties of cards that the account may not read.
    """

    ref: Any
    uuid: str
    name: str
    parent: Any = None
    state: str = ""
    is_in_maintenance: bool = False
    cpu_milli: int = 0
    cpu_mhz: int = 0
    memory_mib: int = 0
    graphics: tuple[Graphics, ...] = ()
    types: tuple[str, ...] = ()
    active: frozenset[str] | None = None
    bound: Mapping[str, str] = {}
    booted_at: str = ""
    hidden: frozenset[str] = frozenset()

    @property
    def is_lost(self) -> bool:
        """Whether vCenter tells what it heard last of the host, which may be nothing."""
        return self.state != "connected"

    @property
    def is_told(self) -> bool:
        """Whether its cards are told."""
        return not self.hidden and (not self.is_lost or bool(self.graphics or self.active))

    @property
    def moid(self) -> str:
        """Its id in this vCenter, which another registration of the same machine does not have."""
        return str(self.ref._GetMoId())

    def hardware(self) -> str:
        """Return a digest that changes when cards may have come or gone: what PCI devices are must be read again."""
        told = (self.booted_at, [(card.address, card.model) for card in self.graphics])
        return blake2b(repr(told).encode(), digest_size=8).hexdigest()


def paths(api_version: str) -> list[str]:
    """Return the properties to read of all hosts. An older vCenter refuses to read what it does not know."""
    major = api_version.partition(".")[0]
    return [*_PATHS, *([_BINDINGS] if major.isdecimal() and int(major) >= 7 else [])]


def host(ref: Any, values: Mapping[str, Any], unknown: frozenset[str]) -> Host:
    """Return a host by the values of its properties; ``unknown`` are those that vCenter would not tell."""
    graphics = values.get(_GRAPHICS)
    bindings = values.get(_BINDINGS) or ()
    mhz, cores = values.get(_MHZ) or 0, values.get(_CORES) or 0
    return Host(
        ref=ref,
        uuid=str(values.get(_UUID) or values.get(_OTHER_UUID) or "").lower(),
        name=str(values.get("name") or ""),
        parent=values.get("parent"),
        state=str(values.get(_STATE) or ""),
        is_in_maintenance=bool(values.get(_MAINTENANCE)),
        cpu_milli=1000 * cores,
        cpu_mhz=mhz * cores,
        memory_mib=(values.get(_MEMORY) or 0) >> 20,
        graphics=tuple(_graphics(each) for each in graphics or ()),
        types=tuple(dict.fromkeys(values.get(_TYPES) or ())),
        active=active(values[PASSTHROUGH]) if PASSTHROUGH in values else None,
        bound=dict(found for each in bindings if (found := _bound(each))),
        booted_at=str(values.get(_BOOT) or ""),
        hidden=unknown & _OF_CARDS,
    )


def active(told: Sequence[Any]) -> frozenset[str]:
    """Return the addresses of the PCI devices that VMs get whole."""
    return frozenset(str(each.id).lower() for each in told if each.passthruActive)


def layout(
    devices: Sequence[Any], driven: Sequence[Graphics], whole: frozenset[str], before: Layout
) -> dict[str, Slot]:
    """Return the cards among PCI devices: accelerators, displays of vendors that make some, what is cut into vGPUs.

    Virtual functions of a card are on its bus and of its kind, behind it; they are cards only when VMs get them
    ``whole``. The memory of a card that the host drives no more is what was told ``before``.
    """
    memory_mib = {card.address: card.memory_mib for card in driven}
    cut = {card.address for card in driven if card.kind == CUT}
    found: dict[str, Slot] = {}
    physical: set[tuple[str, str]] = set()
    for device in sorted(devices, key=lambda device: str(device.id).lower()):
        address, vendor = str(device.id).lower(), f"{device.vendorId & 0xFFFF:04x}"
        kind = (device.classId & 0xFFFF) >> 8
        if not (kind == _ACCELERATOR or (kind == _DISPLAY and vendor in VENDORS) or address in cut):
            continue
        slot = Slot(f"{vendor}:{device.deviceId & 0xFFFF:04x}", str(device.deviceName or ""))
        bus = (address.rpartition(":")[0], slot.pci_id)
        if bus in physical and address not in memory_mib and address not in whole:
            continue
        physical.add(bus)
        old = before[address].memory_mib if address in before and before[address].pci_id == slot.pci_id else 0
        found[address] = replace(slot, memory_mib=memory_mib.get(address, old))
    return found


def _graphics(told: Any) -> Graphics:
    return Graphics(
        address=str(told.pciId).lower(),
        model=str(told.deviceName or ""),
        vendor=str(told.vendorName or ""),
        kind=str(told.graphicsType or ""),
        cut=str(told.vgpuMode or ""),
        memory_mib=(told.memorySizeInKB or 0) >> 10,
        vms=tuple(str(vm._GetMoId()) for vm in told.vm or ()),
    )


def _bound(told: Any) -> tuple[str, str] | None:
    found = _ADDRESS.search(str(told.instanceId or "").lower())
    return (found[0], str(told.vm._GetMoId())) if found and told.vm is not None else None
