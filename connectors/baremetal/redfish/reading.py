"""Look at servers through their management controllers, and switch them."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Literal, TypeVar

import sushy
from sushy import exceptions

from connectors.addresses import Outgoing
from connectors.baremetal.redfish import machine
from connectors.baremetal.redfish.client import Controller, opened
from connectors.baremetal.redfish.machine import Document, Machine
from connectors.contract import ConnectorError, Reading

T = TypeVar("T")

AT_ONCE = 32
WAIT_SECONDS = 3.0
STEP_SECONDS = 0.5

_RESETS: Mapping[str, tuple[sushy.ResetType, ...]] = {
    "on": (sushy.ResetType.ON, sushy.ResetType.FORCE_ON, sushy.ResetType.PUSH_POWER_BUTTON),
    "off": (sushy.ResetType.GRACEFUL_SHUTDOWN, sushy.ResetType.FORCE_OFF),
}
"""In the order in which they are preferred, where the controller allows them."""


def looks(controllers: Mapping[str, Controller], outgoing: Outgoing) -> Mapping[str, Machine | ConnectorError]:
    """Return what each controller tells, or why it does not, by the keys given."""
    return _of_each(controllers, lambda ref: look(controllers[ref], outgoing))


def measured(
    controllers: Mapping[str, Controller], outgoing: Outgoing, names: Mapping[str, str]
) -> Iterator[tuple[Reading, ...]]:
    """Yield what each controller that answers measures; ``names`` are the nodes' names by the same keys."""
    found = _of_each(controllers, lambda ref: readings(controllers[ref], outgoing, names[ref]))
    yield from (each for each in found.values() if not isinstance(each, ConnectorError))


def _of_each(keys: Iterable[str], ask: Callable[[str], T]) -> dict[str, T | ConnectorError]:
    """Ask some at once: sushy is synchronous, so each has a thread."""

    def asked(key: str) -> T | ConnectorError:
        try:
            return ask(key)
        except ConnectorError as error:
            return error

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="redfish") as pool:
        return dict(zip(keys, pool.map(asked, keys), strict=True))


def look(controller: Controller, outgoing: Outgoing) -> Machine:
    """Return the server of a controller, with the cards of all its systems. Raises a ConnectorError."""
    with opened(controller, outgoing) as root:
        systems = root.get_system_collection().get_members()
        chosen = machine.server([system.json for system in systems], controller.system)
        return machine.machine(chosen, [each.json for each in _processors(systems, chosen)])


def readings(controller: Controller, outgoing: Outgoing, node: str) -> tuple[Reading, ...]:
    """Return what a controller measures at each card: temperature, power, uncorrected ECC errors over its life.

    Of cards that have a uuid there, since a reading is found by it. Raises a ConnectorError.
    """
    with opened(controller, outgoing) as root:
        systems = root.get_system_collection().get_members()
        chosen = machine.server([system.json for system in systems], controller.system)
        cards = {card.ref: card for card in machine.machine(chosen, _documents(systems, chosen)).accelerators}
        return tuple(
            _reading(root, each.json, cards[each.identity], node)
            for each in _processors(systems, chosen)
            if each.identity in cards and cards[each.identity].uuid
        )


def switch(
    controller: Controller, outgoing: Outgoing, wanted: Literal["on", "off"]
) -> Literal["on", "off", "changing"]:
    """Ask for a power state and tell the present one, after some seconds at most.

    While the server is changing nothing is sent, so this may be called again and again; the caller bounds how often.
    Whether anybody still needs the host is the caller's to know: **never ask for off while leases are on it**.
    Raises Permanent ``not_supported`` when the controller offers no way there, and other ConnectorErrors.
    """
    with opened(controller, outgoing) as root:
        listed = root.get_system_collection().get_members()
        chosen = machine.server([each.json for each in listed], controller.system)
        system = next(each for each in listed if each.json is chosen)
        state = machine.power(chosen)
        if state in (wanted, "changing"):
            return "changing" if state == "changing" else wanted
        if wanted == "on":
            _boot_from_disk_once(system)
        allowed = system.get_allowed_reset_system_values()
        # With none of them allowed sushy refuses the first, in words that name those that are.
        system.reset_system(next((each for each in _RESETS[wanted] if each in allowed), _RESETS[wanted][0]))
        deadline_at = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline_at:
            system.refresh()
            if machine.power(system.json) == wanted:
                return wanted
            time.sleep(STEP_SECONDS)
        return "changing"


def _boot_from_disk_once(system: Any) -> None:
    """Let it start from its own disk, unless the site set another override. Where that cannot be set, it starts."""
    if (system.json.get("Boot") or {}).get("BootSourceOverrideEnabled") != "Disabled":
        return
    with suppress(exceptions.SushyError):  # its own boot order leads to the disk too, on nearly all of them
        if sushy.BootSource.HDD in system.get_allowed_system_boot_source_values():
            system.set_system_boot_options(sushy.BootSource.HDD, sushy.BootSourceOverrideEnabled.ONCE)


def _documents(systems: list[Any], chosen: Document) -> list[Document]:
    return [each.json for each in _processors(systems, chosen)]


def _processors(systems: list[Any], chosen: Document) -> Iterator[Any]:
    """Yield the processors of the server and of its baseboards, not those of other servers at one controller."""
    for system in systems:
        is_other_server = system.json is not chosen and "Bios" in system.json
        if not is_other_server and "Processors" in system.json:
            yield from system.processors.get_members()


def _reading(root: Any, processor: Document, card: machine.Accelerator, node: str) -> Reading:
    environment = _linked(root, processor, "EnvironmentMetrics")
    metrics = _linked(root, processor, "Metrics")
    memory = _linked(root, processor.get("MemorySummary") or {}, "Metrics")
    temperature = (environment.get("TemperatureCelsius") or {}).get("Reading", metrics.get("TemperatureCelsius"))
    power_watts = (environment.get("PowerWatts") or {}).get("Reading", metrics.get("ConsumedPowerWatt"))
    return Reading(
        node=node,
        uuid=card.uuid,
        temperature_celsius=temperature,
        power_watts=power_watts,
        ecc_uncorrected=(memory.get("LifeTime") or {}).get("UncorrectableECCErrorCount"),
        health=card.health,
        health_reason=card.health_reason,
    )


def _linked(root: Any, document: Document, name: str) -> Document:
    link = (document.get(name) or {}).get("@odata.id")
    if not link:
        return {}
    answer: Document = root._conn.get(link).json()
    return answer
