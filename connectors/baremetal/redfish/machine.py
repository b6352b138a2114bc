"""One server as its management controller tells it. Pure: Redfish documents in, a machine out.

Never taken from here: the memory of cards (makers leave it out, or say 0) and what uses them; the host's tools tell it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from connectors.contract import Health, Permanent

Document = Mapping[str, Any]
Power = Literal["on", "off", "changing", "unknown"]

_POWERS: Mapping[str, Power] = {"On": "on", "Off": "off", "PoweringOn": "changing", "PoweringOff": "changing"}
_NOTHING = frozenset({"", "n/a", "na", "none", "null", "unknown", "not available"})
_AWAY = frozenset({"Disabled", "UnavailableOffline", "InTest", "Deferring", "Quiesced"})


class Accelerator(Struct, frozen=True, kw_only=True):
    """A card out of band. ``ref`` is its Redfish id; the ``uuid`` of NVIDIA's is written as nvidia-smi does."""

    ref: str
    manufacturer: str = ""
    model: str = ""
    serial: str | None = None
    uuid: str | None = None
    slot: str = ""
    firmware: str = ""
    health: Health = "unknown"
    health_reason: str = ""


class Machine(Struct, frozen=True, kw_only=True):
    """A server: ``path`` of its ComputerSystem, and the cards of all systems in its chassis."""

    path: str
    ref: str
    serial: str | None = None
    uuid: str | None = None
    model: str = ""
    bios: str = ""
    power: Power = "unknown"
    health: Health = "unknown"
    health_reason: str = ""
    accelerators: tuple[Accelerator, ...] = ()


def server(systems: Sequence[Document], wanted: str = "") -> Document:
    """Return the system that is the server; a baseboard of cards is a system too, and no second server.

    ``wanted`` is its id where a controller tells several. Raises Permanent ``invalid_settings`` when it is not clear.
    """
    if wanted:
        found = [system for system in systems if system.get("Id") == wanted]
    else:
        switched = [system for system in systems if "#ComputerSystem.Reset" in (system.get("Actions") or {})]
        found = [system for system in switched or systems if "Bios" in system] or switched or list(systems)
    if len(found) == 1:
        return found[0]
    names = ", ".join(str(system.get("Id")) for system in (found or systems)[:20])
    raise Permanent(
        f"The management controller does not tell which of its systems is the host: {names or 'it has none'}. Give "
        "its id in the host's entry as bmc.system.",
        code="invalid_settings",
    )


def machine(system: Document, processors: Sequence[Document]) -> Machine:
    """Return the machine of a server's document and those of all processors of its chassis."""
    health, reason = _health(system)
    return Machine(
        path=system["@odata.id"],
        ref=system["Id"],
        serial=_text(system, "SerialNumber"),
        uuid=(_text(system, "UUID") or "").lower() or None,
        model=_text(system, "Model") or "",
        bios=_text(system, "BiosVersion") or "",
        power=power(system),
        health=health,
        health_reason=reason,
        accelerators=tuple(_accelerators(processors)),
    )


def power(system: Document) -> Power:
    """Return the state of a system; what makers call it beyond on, off and between is unknown."""
    return _POWERS.get(system.get("PowerState") or "", "unknown")


def _accelerators(processors: Sequence[Document]) -> Iterator[Accelerator]:
    for processor in processors:
        is_there = (processor.get("Status") or {}).get("State") != "Absent"
        if processor.get("ProcessorType") in ("GPU", "Accelerator") and is_there:
            yield _accelerator(processor)


def _accelerator(processor: Document) -> Accelerator:
    health, reason = _health(processor)
    manufacturer = _text(processor, "Manufacturer") or ""
    uuid = (_text(processor, "UUID") or "").lower()
    location = processor.get("Location") or {}
    # The label alone is that of one module of several.
    place = [location.get("PartLocationContext"), (location.get("PartLocation") or {}).get("ServiceLabel")]
    return Accelerator(
        ref=processor["Id"],
        manufacturer=manufacturer,
        model=_model(processor),
        serial=_text(processor, "SerialNumber"),
        uuid=f"GPU-{uuid}" if uuid and "nvidia" in manufacturer.lower() else uuid or None,
        slot="/".join(filter(None, place)) or processor["Id"],
        firmware=_text(processor, "FirmwareVersion") or "",
        health=health,
        health_reason=reason,
    )


def _model(processor: Document) -> str:
    model, name = _text(processor, "Model") or "", _text(processor, "Name") or ""
    # HPE puts the part number there and the product into the name.
    return name if model and model == _text(processor, "PartNumber") else model


def _health(document: Document) -> tuple[Health, str]:
    """Read Status. A missing one is unknown, not well; a warning asks for attention and takes nothing away."""
    status = document.get("Status") or {}
    said, state = status.get("Health"), status.get("State")
    if said == "Critical" or state in _AWAY:
        words = next((each.get("Message") for each in status.get("Conditions") or () if each.get("Message")), None)
        what = "is critical" if said == "Critical" else f"is {state}"
        return "faulty", f"the management controller says that it {what}{f': {words}' if words else ''}"
    return ("ok", "") if said in ("OK", "Warning") else ("unknown", "")


def _text(document: Document, name: str) -> str | None:
    value = document.get(name)
    said = value.strip() if isinstance(value, str) else ""
    return said if said.lower() not in _NOTHING else None
