"""Devices that drivers publish in ResourceSlices, and who holds them by ResourceClaims (dynamic resource allocation).

Source: Kubernetes documentation, Dynamic Resource Allocation (v1.36), KEP-4815 partitionable devices, KEP-5055 device
taints, KEP-5075 consumable capacity; attributes: github.com/NVIDIA/k8s-dra-driver-gpu.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from connectors.contract import CounterFact, DeviceFact, Health, UseFact
from connectors.kubernetes import products, quantity
from connectors.kubernetes.host import Found, fitting
from connectors.kubernetes.payloads import Amount, Attribute, BasicDevice, Device, ResourceClaim, ResourceSlice, Taint
from connectors.kubernetes.resources import DEVICE_CLASS

_VENDORS = {
    "gpu.nvidia.com": "nvidia",
    "gpu.amd.com": "amd",
    "gpu.intel.com": "intel",
    "gaudi.intel.com": "intel",
    "npu.huawei.com": "huawei",
}
_BLOCKING = ("NoSchedule", "NoExecute")

Key = tuple[str, str, str]
"""Driver, pool and device name: what a claim's result names."""


class Published(Struct, gc=False):
    """One device of a slice, reduced to what facts need. ``consumes`` is counter set to counter to amount."""

    key: Key
    node_name: str
    told: dict[str, str]
    capacity: dict[str, int]
    consumes: dict[str, dict[str, int]]
    taints: tuple[Taint, ...]


class Holding(Struct, gc=False):
    """A claim's hold on a device; ``consumed`` is empty where it holds the whole device."""

    holder: str
    marker: str | None
    consumed: dict[str, int]


class Pool(Struct):
    """What one driver publishes under one pool name: the highest generation seen, and the one before it."""

    generation: int = -1
    wanted: int = 0
    slices: int = 0
    devices: dict[str, Published] = {}
    counters: dict[str, dict[str, int]] = {}
    earlier: dict[str, Published] = {}


class Pools:
    """Collects slices page by page. Only the highest generation of a pool counts, and only when all of it is there."""

    def __init__(self) -> None:
        self._pools: dict[tuple[str, str], Pool] = {}

    def add(self, piece: ResourceSlice) -> None:
        """Take one slice."""
        spec = piece.spec
        pool = self._pools.setdefault((spec.driver, spec.pool.name), Pool())
        devices = {
            device.name: _published(spec.driver, spec.pool.name, spec.node_name, device) for device in spec.devices
        }
        if spec.pool.generation < pool.generation:
            pool.earlier.update(devices)
            return
        if spec.pool.generation > pool.generation:
            earlier = pool.earlier | pool.devices
            pool = Pool(spec.pool.generation, spec.pool.resource_slice_count, earlier=earlier)
            self._pools[spec.driver, spec.pool.name] = pool
        pool.slices += 1
        pool.devices.update(devices)
        pool.counters.update({shared.name: _amounts(shared.counters) for shared in spec.shared_counters})

    def by_node(self, warnings: list[str]) -> dict[str, list[Pool]]:
        """Return the pools of each node. Devices that no single node has are left out, with a warning."""
        nodes: dict[str, list[Pool]] = {}
        for (driver, name), pool in self._pools.items():
            parts: dict[str, Pool] = {}
            for is_current, devices in ((True, pool.devices), (False, pool.earlier)):
                for device in devices.values():
                    if not device.node_name:
                        warnings.append(
                            f"Driver {driver} publishes devices in pool {name} that belong to no single node; they are "
                            "not shown."
                        )
                        continue
                    part = parts.setdefault(device.node_name, replace(pool, devices={}, earlier={}))
                    (part.devices if is_current else part.earlier)[device.key[2]] = device
            for node_name, part in parts.items():
                nodes.setdefault(node_name, []).append(part)
        return nodes


def holdings(claim: ResourceClaim, namespace_markers: Mapping[str, str]) -> Iterable[tuple[Key, Holding]]:
    """Yield what a claim holds. Results with admin access watch a device and hold nothing of it."""
    if (allocation := claim.status.allocation) is None:
        return
    meta = claim.metadata
    pod = next((consumer.name for consumer in claim.status.reserved_for if consumer.resource == "pods"), "")
    marker = namespace_markers.get(meta.namespace)
    for result in allocation.devices.results:
        if not result.admin_access:
            consumed = {name: quantity.units(text) for name, text in result.consumed_capacity.items()}
            key = (result.driver, result.pool, result.device)
            yield key, Holding(f"{meta.namespace}/{pod or meta.name}", marker, consumed)


def found(pools: Iterable[Pool], held: Mapping[Key, list[Holding]]) -> Found:
    """Return a node's devices with their holders. Drivers of other things than accelerators are counted and no more."""
    told = Found()
    for pool in pools:
        devices = list(pool.devices.values())
        if pool.slices < pool.wanted:
            # While a driver rewrites its slices, what it published before is still there.
            devices += [device for name, device in pool.earlier.items() if name not in pool.devices]
        if not devices:
            continue
        driver, name, _ = devices[0].key
        if driver not in _VENDORS:
            told.counters.append(CounterFact(ref=f"{driver}/{name}", unit_milli=0, total_units=len(devices)))
            continue
        facts = _cards(pool, devices, held)
        if pool.slices < pool.wanted:
            reason = f"The driver has published {pool.slices} of {pool.wanted} slices so far."
            facts = [replace(fact, health="unknown", health_reason=reason) for fact in facts]
        told.devices += facts
    return told


def vendors(pools: Iterable[Pool]) -> frozenset[str]:
    """The vendors whose cards these pools show."""
    drivers = {device.key[0] for pool in pools for device in (*pool.devices.values(), *pool.earlier.values())}
    return frozenset(_VENDORS[driver] for driver in drivers if driver in _VENDORS)


# --- from slices to cards ---------------------------------------------------------------------------------------------


def _cards(pool: Pool, devices: list[Published], held: Mapping[Key, list[Holding]]) -> list[DeviceFact]:
    """One fact per card. Devices that draw on one counter set, or sit at one PCI address, are views of one card."""
    views: dict[str, list[Published]] = {}
    for device in devices:
        views.setdefault(_card_of(device), []).append(device)
    facts = []
    for index, group in enumerate(views.values()):
        whole = max(group, key=lambda device: (device.told.get("type") == "gpu", device.capacity.get("memory", 0)))
        uses = [
            _use(view, holding, pool, is_part=view is not whole and view.told.get("type") != "vfio")
            for view in group
            for holding in held.get(view.key, ())
        ]
        facts.append(_fact(whole, index, fitting(uses, 1000)))
    return facts


def _card_of(device: Published) -> str:
    if device.consumes:
        return "counters " + min(device.consumes)
    address = device.told.get("pciBusID", "")
    return f"pci {address}" if address and device.told.get("type") in ("gpu", "vfio") else f"name {device.key[2]}"


def _fact(device: Published, index: int, uses: tuple[UseFact, ...]) -> DeviceFact:
    told = device.told
    driver, pool, name = device.key
    profile = told.get("profile") if told.get("type") == "mig" else None
    health, reason = _health(device.taints)
    model = told.get("productName", "") or name
    return DeviceFact(
        ref=f"{driver}/{pool}/{name}",
        vendor=_VENDORS[driver],
        model=model,
        index=index,
        uuid=told.get("uuid") or None,
        pci_address=told.get("pciBusID") or None,
        memory_mib=min(device.capacity.get("memory", 0) // quantity.MIB, quantity.MOST),
        profile=profile,
        health=health,
        health_reason=reason,
        # The class that a driver brings with it for whole cards has the driver's name.
        resource="" if profile else f"{driver}{DEVICE_CLASS}",
        uses=uses,
    )


def _use(view: Published, holding: Holding, pool: Pool, is_part: bool) -> UseFact:
    memory = holding.consumed.get("memory", view.capacity.get("memory", 0))
    milli = 1000
    if holding.consumed:
        milli = max((_part(holding.consumed, view.capacity)), default=1000)
    elif is_part and view.told.get("profile"):
        milli = products.unit_milli("nvidia", view.told["profile"], view.told.get("productName", "")) or 1000
    elif is_part:
        # A counter of one unit marks a position on the card and tells no share of it.
        shares = [_part(drawn, pool.counters.get(name, {})) for name, drawn in view.consumes.items()]
        milli = max((share for group in shares for share in group), default=1000)
    return UseFact(
        holder=holding.holder, milli=milli, memory_mib=min(memory // quantity.MIB, quantity.MOST), marker=holding.marker
    )


def _part(drawn: Mapping[str, int], of: Mapping[str, int]) -> list[int]:
    return [min(1000, -(-1000 * amount // of[name])) for name, amount in drawn.items() if of.get(name, 0) > 1]


def _health(taints: Iterable[Taint]) -> tuple[Health, str]:
    """Taints tell of trouble; one with the effect ``None`` informs, and stops nobody but us."""
    health: Health = "ok"
    reasons = []
    for taint in taints:
        reasons.append(f"{taint.key}={taint.value}:{taint.effect}" if taint.value else f"{taint.key}:{taint.effect}")
        if taint.effect in _BLOCKING and not taint.key.endswith("/unmonitored"):
            health = "faulty"
        elif health == "ok":
            health = "unknown"
    return health, f"The driver tainted the device: {', '.join(reasons)}." if reasons else ""


def _published(driver: str, pool: str, node_name: str, device: Device) -> Published:
    detail: BasicDevice = device.basic or device
    return Published(
        key=(driver, pool, device.name),
        node_name=node_name or detail.node_name or device.node_name,
        told={name.rpartition("/")[2]: text for name, told in detail.attributes.items() if (text := _text(told))},
        capacity={name.rpartition("/")[2]: quantity.units(amount.value) for name, amount in detail.capacity.items()},
        consumes={drawn.counter_set: _amounts(drawn.counters) for drawn in detail.consumes_counters},
        taints=tuple(detail.taints),
    )


def _text(told: Attribute) -> str:
    return told.string or told.version or ""


def _amounts(counters: Mapping[str, Amount]) -> dict[str, int]:
    return {name: quantity.units(amount.value) for name, amount in counters.items()}
