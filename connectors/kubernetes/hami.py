"""Cards that HAMi and Volcano cut into shares: the node's register annotation names each card, the pod's each share.

Both write the same shares: UUID, memory and percent of the cores. The register has four forms: HAMi's with 7 and 9
fields and as JSON, and Volcano's with 5 or 6 fields.
Sources: github.com/Project-HAMi/HAMi (pkg/device, pkg/util), github.com/volcano-sh/volcano (devices/nvidia/vgpu).
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from connectors.contract import DeviceFact, UseFact
from connectors.kubernetes.host import Host, counted, counts_cards, fitting, without_withdrawn
from connectors.kubernetes.resources import classify
from connectors.kubernetes.usage import PodUse

SILENT = timedelta(minutes=5)
_VOLCANO = "volcano.sh/node-vgpu-register"
_VENDORS = {
    "nvidia": "nvidia",
    "ascend": "huawei",
    "amd": "amd",
    "mlu": "cambricon",
    "dcu": "hygon",
    "xpu": "kunlunxin",
    "metax": "metax",
    "iluvatar": "iluvatar",
    "gcu": "enflame",
    "mthreads": "mthreads",
}
_MOST_CARDS = 256
_MOST_MEMORY_MIB = 2**24


class Card(Struct, frozen=True):
    """One entry of a register. ``split`` is how many pods may share it, ``cores`` its compute in percent."""

    uuid: str = msgspec.field(name="id", default="")
    index: int | None = None
    split: int = msgspec.field(name="count", default=1)
    memory_mib: int = msgspec.field(name="devmem", default=0)
    cores: int = msgspec.field(name="devcore", default=100)
    model: str = msgspec.field(name="type", default="")
    numa: int | None = None
    is_healthy: bool = msgspec.field(name="health", default=False)  # false is left out of the JSON form


def found(host: Host, api_time: datetime | None) -> dict[str, list[DeviceFact]]:
    """Return the registered cards with health and users, by vendor. ``api_time`` is the API server's clock."""
    by_vendor: dict[str, list[DeviceFact]] = {}
    for key, text in host.annotations.items():
        if (vendor := _vendor(key)) is None or not text:
            continue
        if not (cards := list(_once(_read(key, text)))):
            host.warnings.append(f"Annotation {key} of node {host.name} cannot be read; its cards are counted only.")
            continue
        silence = _silence(host, key, api_time)
        devices = [_device(card, at, vendor, silence) for at, card in enumerate(cards)]
        by_vendor.setdefault(vendor, []).extend(_with_plugin_health(host, vendor, devices))
    return {vendor: _with_users(host, vendor, devices) for vendor, devices in by_vendor.items()}


def _vendor(key: str) -> str | None:
    """``hami.io/node-nvidia-register``, ``hami.io/node-register-Ascend910B3``, Volcano's; None for anything else."""
    if key == _VOLCANO:
        return "nvidia"
    if not key.startswith("hami.io/node-") or "register" not in key:
        return None
    word = key.removeprefix("hami.io/node-").replace("register", "").strip("-").lower()
    return next((vendor for part, vendor in _VENDORS.items() if part in word), "")


def _read(key: str, text: str) -> Iterator[Card]:
    if text.lstrip().startswith("["):
        try:
            yield from msgspec.json.decode(text, type=list[Card])
        except msgspec.DecodeError:
            return
        return
    for entry in text.split(":"):
        fields = entry.strip().split(",")
        try:
            if key == _VOLCANO and len(fields) >= 5:
                uuid, split, memory, model, health = fields[:5]
                yield Card(uuid, None, int(split), int(memory), 100, model, None, health == "true")
            elif key != _VOLCANO and len(fields) >= 7:
                uuid, split, memory, cores, model, numa, health = fields[:7]
                index = int(fields[7]) if len(fields) >= 9 else None
                yield Card(uuid, index, int(split), int(memory), int(cores), model, int(numa), health == "true")
        except ValueError:
            continue


def _once(cards: Iterable[Card]) -> Iterator[Card]:
    """An annotation is free text: a card that comes twice or without a name must not spoil the whole pool."""
    seen: set[str] = set()
    for card in cards:
        if card.uuid and card.uuid not in seen and len(seen) < _MOST_CARDS:
            seen.add(card.uuid)
            yield card


def _device(card: Card, at: int, vendor: str, silence: str) -> DeviceFact:
    index = at if card.index is None else card.index
    device = DeviceFact(
        ref=card.uuid,
        uuid=card.uuid,
        vendor=vendor,
        model=card.model.removeprefix("NVIDIA-"),
        index=index if 0 <= index < 2**15 else None,
        memory_mib=card.memory_mib if 0 <= card.memory_mib <= _MOST_MEMORY_MIB else 0,
        numa_node=card.numa if card.numa is not None and 0 <= card.numa < 1024 else None,
    )
    if not card.is_healthy:
        return replace(device, health="faulty", health_reason="The node's agent reports the card as unhealthy.")
    return replace(device, health="unknown", health_reason=silence) if silence else device


def _silence(host: Host, key: str, api_time: datetime | None) -> str:
    """Why the agent's word is no longer good, or an empty text.

    HAMi's scheduler asks (``Requesting_<time>``) and the agent answers (``Reported <time>``), so an old answer means
    that nobody asked since, or that a clock is wrong; only an unanswered question means a dead agent.
    """
    word = key.removeprefix("hami.io/node-").replace("register", "").strip("-")
    names = ("volcano.sh/node-vgpu-handshake",) if key == _VOLCANO else (f"hami.io/node-handshake-{word}",)
    text = next((host.annotations[name] for name in (*names, "hami.io/node-handshake") if name in host.annotations), "")
    if text.startswith("Deleted"):
        return "HAMi took the card out of service because its agent on the node is silent."
    asked_at = _instant(text)
    if asked_at is None or api_time is None or abs(api_time - asked_at) <= SILENT:
        return ""
    if text.startswith("Requesting") and asked_at < api_time:
        return f"The node's agent has not answered since {asked_at:%Y-%m-%d %H:%M}."
    host.warnings.append(
        "Handshakes of HAMi or Volcano agents differ from the API server's clock by more than 5 minutes; check the "
        "clocks of the nodes and that the scheduler of HAMi or Volcano runs."
    )
    return ""


def _instant(text: str) -> datetime | None:
    """Read the time behind ``Reported `` or ``Requesting_``; Go's longer form has digits and a zone behind it."""
    start = len("Requesting_") if text.startswith("Requesting") else len("Reported ")
    stamp = text[start : start + 19].replace(".", "-", 2)  # older agents write 2026.11.21 22:00:00
    try:
        return datetime.fromisoformat(f"{stamp}+00:00")
    except ValueError:
        return None


def _with_plugin_health(host: Host, vendor: str, devices: list[DeviceFact]) -> list[DeviceFact]:
    """A register outlives the device plugin that wrote it: when the plugin offers nothing, nobody watches the cards."""
    names = [name for name in host.capacity if counts_cards(name, vendor) and host.capacity[name]]
    is_offered = not names or any(host.offered(name) for name in names)
    return without_withdrawn(devices, len(devices) if is_offered else 0)


def _with_users(host: Host, vendor: str, devices: list[DeviceFact]) -> list[DeviceFact]:
    uses: dict[str, list[UseFact]] = {device.ref: [] for device in devices}
    by_ref = {device.ref: device for device in devices}
    unplaced: list[tuple[PodUse, int]] = []
    for pod in sorted(host.pods, key=lambda pod: pod.holder):
        is_placed = False
        for uuid, memory_mib, cores in _shares(pod.cards):
            if (device := by_ref.get(uuid)) is not None:
                milli = _milli(memory_mib, cores, device.memory_mib)
                uses[uuid].append(UseFact(holder=pod.holder, milli=milli, memory_mib=memory_mib, marker=pod.marker))
                is_placed = True
        units = sum(amount for name, amount in pod.units.items() if counts_cards(name, vendor))
        if units and not is_placed:
            unplaced.append((pod, units))
    for pod, units in unplaced:
        _place(pod, units, vendor, devices, uses)
    return [
        replace(device, uses=fitting(uses[device.ref], device.total_milli)) if uses[device.ref] else device
        for device in devices
    ]


def _shares(annotations: Mapping[str, str]) -> Iterator[tuple[str, int, int]]:
    """UUID, MiB and percent of the cores of each share: ``UUID,type,MiB,cores:`` per card, ``;`` between containers."""
    for key, text in annotations.items():
        if not key.endswith("-devices-allocated") and key != "volcano.sh/vgpu-ids-new":
            continue
        for entry in text.replace(";", ":").split(":"):
            fields = entry.strip().split(",")
            if len(fields) >= 4 and fields[2].isdecimal() and fields[3].isdecimal():
                uuid = fields[0].partition("[")[0]  # in MIG mode the instance stands behind in brackets
                yield uuid, min(int(fields[2]), _MOST_MEMORY_MIB), min(int(fields[3]), 100)


def _milli(memory_mib: int, cores: int, of_memory_mib: int) -> int:
    """A share without a limit of cores takes as much of the card as its memory does, so that shares never overbook."""
    if cores or not of_memory_mib:
        return cores * 10
    return min(1000, -(-1000 * memory_mib // of_memory_mib))


def _place(pod: PodUse, units: int, vendor: str, devices: list[DeviceFact], uses: dict[str, list[UseFact]]) -> None:
    """Put shares that no annotation places on the first cards that still hold them, each on a card of its own."""
    memory_mib, cores = _per_share(pod, vendor)
    for device in sorted(devices, key=lambda device: not _fits(device, uses[device.ref], memory_mib, cores))[:units]:
        share_mib = memory_mib or (0 if cores else device.memory_mib)
        milli = max(1, _milli(share_mib, cores, device.memory_mib))
        uses[device.ref].append(counted(pod, milli, share_mib))


def _per_share(pod: PodUse, vendor: str) -> tuple[int, int]:
    """MiB and percent of the cores that each share of a pod asks for; 0 where it has no limit."""
    memory_mib = cores = 0
    for name, amount in pod.units.items():
        resource = classify(name)
        if resource.vendor == vendor and resource.kind == "memory":
            memory_mib = max(memory_mib, min(amount * resource.unit_mib, _MOST_MEMORY_MIB))
        elif resource.vendor == vendor and resource.kind == "cores":
            cores = max(cores, min(amount, 100))
    return memory_mib, cores


def _fits(device: DeviceFact, uses: list[UseFact], memory_mib: int, cores: int) -> bool:
    used_milli = sum(use.milli for use in uses)
    used_mib = sum(use.memory_mib for use in uses)
    return (
        device.health == "ok"
        and used_mib + memory_mib <= device.memory_mib
        and used_milli + max(1, _milli(memory_mib, cores, device.memory_mib)) <= 1000
    )
