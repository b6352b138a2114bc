"""Fleets out of nothing: the same spec gives the same facts, node by node, on every machine and in every order."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from hashlib import blake2b

from msgspec import Struct

from connectors.contract import CounterFact, DeviceFact, NodeFact, UseFact
from connectors.simulated.chips import CHIPS, UNKNOWN, Chip

NODES_PER_RACK = 8
RACKS_PER_ZONE = 16
CUT_CHIP = "NVIDIA A100-SXM4-80GB"
CUT_PROFILE = "1g.10gb"
CUTS_PER_CHIP = 7


class Look(Struct, frozen=True, kw_only=True):
    """How a kind of platform shows its hosts and devices.

    One node of ``cpu_only_of`` has no devices, one of ``cut_of`` has its cards cut in MIG slices that are only counted.
    """

    region: str
    node_name: str
    mix: tuple[str, ...]
    holder: str
    names_by_label: bool = False
    tells_hardware: bool = True
    cpu_only_of: int = 0
    cut_of: int = 0


LOOKS: Mapping[str, Look] = {
    "kubernetes": Look(
        region="cn-east-1",
        node_name="worker-{number:04d}",
        mix=("NVIDIA H100 80GB HBM3", "NVIDIA H20", "Ascend 910B3", "NVIDIA A100-SXM4-80GB"),
        holder="team-{word}/train-{number:04x}",
        names_by_label=True,
        tells_hardware=False,
        cpu_only_of=8,
        cut_of=6,
    ),
    "openstack": Look(
        region="RegionOne",
        node_name="compute-{number:04d}.cloud.example",
        mix=("NVIDIA L40S", "MLU370-X8", "NVIDIA A100-PCIE-40GB", "Tesla T4"),
        holder="5f0c{number:04x}-7d1e-4a52-9c1b-3b6f0a2e8d11",
        cpu_only_of=6,
    ),
    "vsphere": Look(
        region="Frankfurt",
        node_name="esxi-{number:03d}.vc.example",
        mix=("NVIDIA L40S", "NVIDIA A40", "NVIDIA A10"),
        holder="vdi-{word}-{number:04d}",
        cpu_only_of=10,
    ),
    "baremetal": Look(
        region="cn-north-2",
        node_name="bm-{number:04d}",
        mix=("Ascend 910B3", "MXC500", "AMD Instinct MI300X OAM", "K100_AI", "MTT S4000"),
        holder="{word} (pid {number})",
    ),
    "plain": Look(region="region-1", node_name="node-{number:05d}", mix=tuple(CHIPS)[:20], holder="job-{number}"),
}
_WORDS = ("vision", "speech", "search", "ranking", "biology", "climate", "robotics", "finance")


class Spec(Struct, frozen=True, kw_only=True):
    """A fleet in a few numbers. Without ``models`` the character's own mix is taken; a node has one model.

    ``used_percent`` of all devices are used by somebody whom ocenter does not know. ``has_trouble`` adds faulty
    devices, cordoned nodes and nodes of a chip that no catalogue has.
    """

    seed: int = 1
    nodes: int = 8
    devices_per_node: int = 8
    character: str = "plain"
    models: tuple[str, ...] = ()
    used_percent: int = 0
    has_trouble: bool = False


def nodes(spec: Spec) -> Iterator[NodeFact]:
    """Yield all nodes of a fleet, in the order of their numbers."""
    return (node(spec, number) for number in range(spec.nodes))


def node(spec: Spec, number: int) -> NodeFact:
    """Return one node. It is the same in every fleet of this seed, however many nodes that has."""
    look = LOOKS[spec.character]
    dice = _dice(spec, number)
    is_cut = bool(look.cut_of) and not spec.models and number % look.cut_of == 1
    is_cpu_only = bool(look.cpu_only_of) and number % look.cpu_only_of == look.cpu_only_of - 1
    chip = CHIPS[CUT_CHIP] if is_cut else _chip(spec, look, number)
    name = look.node_name.format(number=number + 1)
    indexes = range(0 if is_cpu_only else spec.devices_per_node)
    devices = tuple(_device(spec, look, chip, name, dice, index, is_cut) for index in indexes)
    used = sum(1 for device in devices if device.uses)
    is_cordoned = spec.has_trouble and number % 11 == 7
    return NodeFact(
        ref=ref(spec, number),
        name=name,
        serial=f"SN{dice[8:14].hex().upper()}" if look.tells_hardware else None,
        topology=_place(look.region, number // NODES_PER_RACK),
        labels=_labels(spec.character),
        cpu_milli=128_000,
        memory_mib=2_097_152,
        cpu_used_milli=used * 12_000,
        memory_used_mib=used * 131_072,
        is_available=not is_cordoned,
        unavailable_reason="cordoned for maintenance" if is_cordoned else "",
        devices=devices,
        counters=(_slices(spec, look, chip, dice, len(devices)),) if is_cut and devices else (),
    )


def _chip(spec: Spec, look: Look, number: int) -> Chip:
    if spec.has_trouble and number % 29 == 4:
        return UNKNOWN
    # Neighbours are of one model, as people buy them; small fleets still show the whole mix.
    names = spec.models or look.mix
    name = names[number // 2 % len(names)]
    return CHIPS.get(name) or Chip("", name, 0)


def _device(spec: Spec, look: Look, chip: Chip, node: str, dice: bytes, index: int, is_cut: bool) -> DeviceFact:
    card = blake2b(dice + index.to_bytes(2), digest_size=20).digest()
    is_faulty = spec.has_trouble and card[0] < 4
    is_used = not is_cut and not is_faulty and card[1] * 100 < spec.used_percent * 256
    code = card[4:].hex()
    return DeviceFact(
        ref=f"{chip.vendor or 'device'}-{index}",
        vendor=chip.vendor,
        model=chip.label if look.names_by_label else chip.name,
        pci_id=chip.pci_id if look.tells_hardware else None,
        index=index,
        uuid=f"{code[:8]}-{code[8:12]}-{code[12:16]}-{code[16:20]}-{code[20:]}" if look.tells_hardware else None,
        pci_address=_SLOTS[index] if look.tells_hardware else None,
        memory_mib=chip.memory_mib,
        total_milli=0 if is_cut else 1000,
        health="faulty" if is_faulty else "ok",
        health_reason=_FAULTS[card[0] % len(_FAULTS)] if is_faulty else "",
        link_group=f"{node}/{chip.link}" if chip.link else None,
        numa_node=index * 2 // max(1, spec.devices_per_node),
        uses=(_use(look, card, chip.memory_mib),) if is_used else (),
    )


_SLOTS = tuple(f"0000:{16 + index * 3:02x}:00.0" for index in range(64))
_FAULTS = ("XID 79: fallen off the bus", "uncorrectable memory error", "over temperature", "link down")


def _use(look: Look, card: bytes, memory_mib: int) -> UseFact:
    # Some hold half a card, where the platform shares cards.
    share = 2 if look.names_by_label and card[3] < 32 else 1
    return UseFact(
        holder=look.holder.format(word=_WORDS[card[4] % len(_WORDS)], number=card[5] * 256 + card[6]),
        milli=1000 // share,
        memory_mib=memory_mib // share,
        is_counted=look.names_by_label,
    )


def _slices(spec: Spec, look: Look, chip: Chip, dice: bytes, cards: int) -> CounterFact:
    total = cards * CUTS_PER_CHIP
    used = total * spec.used_percent // 100
    holder = look.holder.format(word=_WORDS[dice[20] % len(_WORDS)], number=dice[21])
    unit_milli, unit_memory_mib = 1000 // CUTS_PER_CHIP, chip.memory_mib // 8
    uses = (UseFact(holder=holder, milli=used * unit_milli, memory_mib=used * unit_memory_mib, is_counted=True),)
    return CounterFact(
        ref=f"{chip.vendor}.com/mig-{CUT_PROFILE}",
        vendor=chip.vendor,
        model=chip.label,
        profile=CUT_PROFILE,
        unit_milli=unit_milli,
        unit_memory_mib=unit_memory_mib,
        total_units=total,
        faulty_units=1 if spec.has_trouble and used < total else 0,
        uses=uses if used else (),
    )


def ref(spec: Spec, number: int) -> str:
    """Return the ref of a node without making the node."""
    return f"{spec.character}-{_dice(spec, number)[:8].hex()}"


@lru_cache(maxsize=64)
def numbers(spec: Spec) -> Mapping[str, int]:
    """Return the number of each node by its ref."""
    return {ref(spec, number): number for number in range(spec.nodes)}


def _dice(spec: Spec, number: int) -> bytes:
    return blake2b(f"{spec.seed}/{spec.character}/{number}".encode(), digest_size=64).digest()


@lru_cache(maxsize=100_000)
def _place(region: str, rack: int) -> Mapping[str, str]:
    return {"region": region, "zone": f"zone-{rack // RACKS_PER_ZONE % 3 + 1}", "rack": f"rack-{rack + 1:04d}"}


@lru_cache(maxsize=16)
def _labels(character: str) -> Mapping[str, str]:
    return {"simulated": "yes", "character": character}
