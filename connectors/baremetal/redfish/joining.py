"""Put what a management controller tells into what the host's own tools told. Pure."""

from collections.abc import Sequence

from msgspec.structs import replace

from connectors.baremetal.redfish.machine import Accelerator, Machine
from connectors.contract import DeviceFact, NodeFact


def joined(node: NodeFact, machine: Machine, warnings: list[str]) -> NodeFact:
    """Return the node with the server's serial, and each card with its slot, firmware and health out of band.

    A card is found by uuid, else by serial; both stay. Cards that only the controller sees are added as faulty, where
    others prove that the two can be compared. A controller of another server changes nothing, and is told.
    """
    if _is_another(node, machine):
        warnings.append(
            f"The management controller of {node.name} is of another server: its serial number is {machine.serial}, "
            f"the host's is {node.serial}. Correct the host's bmc; nothing of it was used."
        )
        return node
    pairs = [(device, _match(device, machine.accelerators)) for device in node.devices]
    found = {card.ref for _, card in pairs if card}
    lost = [card for card in machine.accelerators if card.ref not in found] if _are_comparable(node, found) else []
    is_off = machine.power == "off"
    return replace(
        node,
        uuid=node.uuid or machine.uuid,
        serial=node.serial or machine.serial,
        is_available=node.is_available and not is_off,
        unavailable_reason="its power is off" if is_off else node.unavailable_reason,
        devices=(*(_with(device, card) for device, card in pairs), *map(_lost, lost)),
    )


def _is_another(node: NodeFact, machine: Machine) -> bool:
    return bool(node.serial and machine.serial and node.serial.lower() != machine.serial.lower())


def _match(device: DeviceFact, cards: Sequence[Accelerator]) -> Accelerator | None:
    by_uuid = [card for card in cards if card.uuid and card.uuid.lower() == (device.uuid or "").lower()]
    if by_uuid:
        return by_uuid[0]
    by_serial = [card for card in cards if card.serial and card.serial == device.serial]
    # Two chips of one module may have one serial: then only the uuid tells them apart.
    return by_serial[0] if len(by_serial) == 1 else None


def _with(device: DeviceFact, card: Accelerator | None) -> DeviceFact:
    if card is None:
        return device
    is_broken = card.health == "faulty"
    reasons = dict.fromkeys(filter(None, (device.health_reason, card.health_reason if is_broken else "")))
    return replace(
        device,
        uuid=device.uuid or card.uuid,
        serial=device.serial or card.serial,
        model=device.model or card.model,
        health="faulty" if is_broken else device.health,
        health_reason=", ".join(reasons),
        attributes={**device.attributes, **_attributes(card)},
    )


def _attributes(card: Accelerator) -> dict[str, str]:
    return {"slot": card.slot, **({"firmware": card.firmware} if card.firmware else {})}


def _are_comparable(node: NodeFact, found: set[str]) -> bool:
    """Partitions stand for their card, and tools that tell no serial cannot show that a card is missing."""
    return bool(found) and not any(device.profile for device in node.devices)


def _lost(card: Accelerator) -> DeviceFact:
    return DeviceFact(
        ref=card.uuid or card.serial or card.ref,
        vendor=card.manufacturer.split(" ")[0].lower(),
        model=card.model,
        uuid=card.uuid,
        serial=card.serial,
        health="faulty",
        health_reason="the management controller sees it, the host's own tool does not",
        attributes=_attributes(card),
    )
