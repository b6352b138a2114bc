"""From what a host tells to facts."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from connectors.baremetal.document import Document
from connectors.baremetal.hosts import Host
from connectors.baremetal.look import Look
from connectors.baremetal.tools.card import Card
from connectors.contract import DeviceFact, NodeFact, UseFact

WHOLE_MILLI = 1000


def node(host: Host, look: Look, devices: Sequence[DeviceFact], trouble: str) -> NodeFact:
    """A host that answered. With trouble of its driver it takes no new work."""
    return NodeFact(
        ref=host.ref,
        name=host.name,
        uuid=look.uuid,
        serial=look.serial,
        cpu_milli=look.cpu_milli,
        memory_mib=look.memory_mib,
        is_available=not trouble,
        unavailable_reason=trouble,
        devices=tuple(devices),
    )


def silent_node(host: Host, devices: Sequence[DeviceFact], why: str) -> NodeFact:
    """A host that did not answer, with the cards it had."""
    return NodeFact(ref=host.ref, name=host.name, is_available=False, unavailable_reason=why, devices=tuple(devices))


def device(card: Card, look: Look, document: Document | None, installation: str) -> DeviceFact:
    """A card; what its tool does not tell of the bus, the host does."""
    place = look.pci.get(card.pci_address or "")
    return DeviceFact(
        ref=card.ref,
        vendor=card.vendor,
        model=card.model,
        pci_id=card.pci_id or (place.pci_id if place else None),
        index=card.index,
        uuid=card.uuid,
        serial=card.serial,
        pci_address=card.pci_address,
        memory_mib=card.memory_mib,
        profile=card.profile,
        numa_node=card.numa_node if card.numa_node is not None else (place.numa_node if place else None),
        health=card.health,
        health_reason=card.health_reason,
        uses=_uses(card, document, installation),
    )


def _uses(card: Card, document: Document | None, installation: str) -> tuple[UseFact, ...]:
    """The lease on the card, else the programs that hold it: then it is taken by somebody else, and whole.

    A lease is ours only when the helper says that this installation made it.
    """
    if document is not None and (lease := document.lease_on(card.nodes)):
        marker = lease.user if document.is_of(installation) else None
        return (UseFact(holder=lease.user, milli=WHOLE_MILLI, memory_mib=card.memory_mib, marker=marker),)
    programs = [f"{process.name} (pid {process.pid})" for process in card.processes]
    if not programs and document is not None:
        held = [holder for path in card.nodes for holder in document.holders.get(path, ())]
        programs = [f"uid {holder.uid} (pid {holder.pid})" for holder in held]
    if not programs:
        return ()
    more = f" and {len(programs) - 1} more" if len(programs) > 1 else ""
    memory_mib = min(sum(process.memory_mib for process in card.processes), card.memory_mib)
    return (UseFact(holder=f"{programs[0]}{more}", milli=WHOLE_MILLI, memory_mib=memory_mib),)


# --- cards of hosts that do not answer --------------------------------------------------------------------------------


def remembered(devices: Sequence[DeviceFact]) -> list[Any]:
    """Return what a cursor keeps of a host's cards, so that they can be told while the host is silent."""
    kept = [replace(device, health="ok", health_reason="") for device in devices]
    told: list[Any] = msgspec.json.decode(msgspec.json.encode(kept))  # as it comes back from where it is stored
    return told


def recalled(cursor: Mapping[str, Any], ref: str, why: str, lost: str = "") -> tuple[DeviceFact, ...] | None:
    """Return the cards that a host had, of unknown health; None when nobody knows them.

    ``lost`` is what the driver calls the card that it lost (index or bus address): that one is faulty.
    """
    try:
        known = msgspec.convert(cursor["cards"][ref], tuple[DeviceFact, ...])
    except (KeyError, TypeError, msgspec.ValidationError):
        return None
    return tuple(
        replace(device, health="faulty" if _is_called(device, lost) else "unknown", health_reason=why)
        for device in known
    )


def _is_called(device: DeviceFact, called: str) -> bool:
    address = (device.pci_address or "").lower()
    return bool(called) and (called == str(device.index) or (bool(address) and called.lower().endswith(address)))
