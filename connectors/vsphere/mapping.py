"""From a host, its cards and the VMs on it to one NodeFact. Pure: no clock, no network.

A card that is cut into vGPUs is a whole device, and each vGPU on it a use of the fixed share that its profile takes:
what is free of it adds up over profiles that are alternatives to each other. What a profile may still find is told in
attributes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from connectors.contract import DeviceFact, NodeFact
from connectors.vsphere import uses
from connectors.vsphere.hosts import CUT, VENDORS, Graphics, Host, Layout, Slot
from connectors.vsphere.profiles import CUTS, Card, Profile, card, is_estimate, offered_on, profile
from connectors.vsphere.profiles import free as count_free
from connectors.vsphere.uses import Cut, Machine, Marks

_STATES = {
    "connected": "",
    "disconnected": "It is disconnected from vCenter.",
    "notResponding": "It does not answer vCenter.",
}
_MAINTENANCE = "It is in maintenance mode."
_HIDDEN = "Its cards are unknown: the account may not read them."
_ABSENT = "The host shows the card neither for vGPUs nor for DirectPath I/O; see its driver and its log."
_EXAMPLES, _LONGEST_NAME = 3, 60
_UNTOLD = "vCenter does not tell its cards now."


def node_fact(
    host: Host,
    slots: Layout,
    machines: Mapping[str, Machine],
    sizes: Mapping[str, Profile],
    topology: Mapping[str, str],
) -> NodeFact:
    """Return the facts of one host. ``machines`` are those that matter on it, ``sizes`` the profiles by name."""
    here = [machine for machine in machines.values() if machine.host == host.moid]
    running = [machine for machine in here if machine.is_on]
    reasons = [_STATES.get(host.state, f"Its connection to vCenter is {host.state or 'unknown'}.")]
    reasons += [_MAINTENANCE if host.is_in_maintenance else "", _HIDDEN if host.hidden else ""]
    cpu_mhz = sum(machine.cpu_reserved_mhz for machine in running)
    waiting = uses.waiting(here, slots)
    return NodeFact(
        ref=host.uuid,
        name=host.name,
        uuid=host.uuid,
        topology=topology,
        labels={"vms_off_with_gpu": _examples(waiting)} if waiting else {},
        cpu_milli=host.cpu_milli,
        memory_mib=host.memory_mib,
        cpu_used_milli=min(host.cpu_milli, host.cpu_milli * cpu_mhz // host.cpu_mhz) if host.cpu_mhz else 0,
        memory_used_mib=min(host.memory_mib, sum(machine.memory_reserved_mib for machine in running)),
        is_available=not any(reasons),
        unavailable_reason=" ".join(filter(None, reasons)),
        devices=_Cards(host, slots, machines, sizes).facts() if host.is_told else _remembered(slots),
    )


def _examples(names: Sequence[str]) -> str:
    """Return how many there are and some of them, in a label's length."""
    some = ", ".join(name[:_LONGEST_NAME] for name in names[:_EXAMPLES])
    return f"{len(names)}: {some}{' …' if len(names) > _EXAMPLES else ''}"


class _Cards:
    """The cards of one host while they are told."""

    def __init__(
        self, host: Host, slots: Layout, machines: Mapping[str, Machine], sizes: Mapping[str, Profile]
    ) -> None:
        self._host = host
        self._slots = slots
        self._machines = machines
        self._marks = Marks(machines)
        self._driven = {each.address: each for each in host.graphics}
        self._whole = (host.active or frozenset()) & slots.keys()
        models = tuple(dict.fromkeys(each.model for each in host.graphics))
        offered = _offered(tuple(sizes.get(name) or profile(name) for name in host.types), models)
        cut = {each.address: each for each in host.graphics if each.kind == CUT}
        self._offers = {address: offered[each.model] for address, each in cut.items()}
        self._cuts = {
            address: Cut(card=card(each.memory_mib, CUTS.get(each.cut, ""), offered[each.model]), vms=each.vms)
            for address, each in cut.items()
        }
        uses.spread(list(self._cuts.values()), machines, sizes)
        absent = {
            address: slots[address].memory_mib for address in sorted(slots.keys() - self._driven.keys() - self._whole)
        }
        listed = {vm for each in host.graphics for vm in each.vms}
        homeless = {vm: each for vm, each in machines.items() if vm not in listed and each.host == host.moid}
        self._stranded = uses.of_absent(absent, homeless, sizes, self._marks)

    def facts(self) -> tuple[DeviceFact, ...]:
        """Return the cards by their addresses."""
        shown = {*self._slots, *self._cuts}
        return tuple(self._fact(address, index) for index, address in enumerate(sorted(shown)))

    def _fact(self, address: str, index: int) -> DeviceFact:
        slot, driven = self._slots.get(address), self._driven.get(address)
        if (cut := self._cuts.get(address)) is not None:
            taken = uses.of_cut(cut, self._machines, self._marks) if cut.pieces else ()
            return _device(address, index, slot, driven, uses=taken, attributes=_room(cut, self._offers[address]))
        if slot is not None and address in self._whole:
            owner = self._host.bound.get(address)
            taken = uses.of_whole(address, slot.memory_mib, owner, self._machines, self._marks)
            return _device(address, index, slot, None, uses=taken, attributes={"mode": "directpath"})
        if driven is not None:
            reason = f"The host uses the card for graphics ({driven.kind or 'unknown'}), not for vGPUs."
            return _device(address, index, slot, driven, health="unknown", health_reason=reason)
        taken = self._stranded.get(address, ())
        return _device(address, index, slot, None, uses=taken, health="faulty", health_reason=_ABSENT)


def _remembered(slots: Layout) -> tuple[DeviceFact, ...]:
    """Return the cards that a host had when it told them last."""
    return tuple(
        _device(address, index, slots[address], None, health="unknown", health_reason=_UNTOLD)
        for index, address in enumerate(sorted(slots))
    )


def _device(address: str, index: int, slot: Slot | None, driven: Graphics | None, **told: Any) -> DeviceFact:
    """Return a card by what the PCI bus says of it, else by what its host does."""
    vendor_id = slot.pci_id.partition(":")[0] if slot is not None else ""
    return DeviceFact(
        ref=address,
        vendor=VENDORS.get(vendor_id) or (driven.vendor if driven is not None else vendor_id),
        model=(slot and slot.model) or (driven.model if driven is not None else ""),
        pci_id=slot.pci_id if slot is not None else None,
        pci_address=address,
        index=index,
        memory_mib=driven.memory_mib if driven is not None else (slot.memory_mib if slot is not None else 0),
        **told,
    )


@lru_cache(maxsize=1024)
def _offered(profiles: tuple[Profile, ...], models: tuple[str, ...]) -> Mapping[str, tuple[Profile, ...]]:
    return offered_on(profiles, models)


def _room(cut: Cut, offered: tuple[Profile, ...]) -> Mapping[str, str]:
    """Tell what may still come onto a card that is cut."""
    if not cut.pieces:
        return _room_of_empty(cut.card, offered)
    free = cut.room(offered)
    used_gib = sum(piece.biggest(cut.card).gib for piece in cut.pieces)
    best_gib = max((count * each.gib for each, count in zip(offered, free.values(), strict=True)), default=0)
    is_certain = all(piece.is_certain for piece in cut.pieces)
    names = Counter(" or ".join(each.name for each in piece.candidates) for piece in cut.pieces)
    return {
        "mode": "vgpu",
        "vgpu_mode": cut.card.cut or "unknown",
        "profiles_in_use": ", ".join(f"{count} x {name}" for name, count in sorted(names.items())),
        "stranded_gib": str(max(0, cut.card.gib - used_gib - best_gib)),
        "free_is": "estimate" if not is_certain or is_estimate(cut.card, cut.certain()) else "exact",
        **{f"free:{name}": str(count) for name, count in free.items()},
    }


@lru_cache(maxsize=1024)
def _room_of_empty(card: Card, offered: tuple[Profile, ...]) -> Mapping[str, str]:
    told = {f"free:{each.name}": str(count_free(card, (), each)) for each in offered}
    return {"mode": "vgpu", "vgpu_mode": card.cut or "unknown", "free_is": "exact", **told}
