"""Facts that may go into the database: what nonsense a platform tells is found here, once for all connectors."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from connectors.contract import CounterFact, DeviceFact, NodeFact, Page, Permanent, Transient

MAX_NAME = 255
MAX_COUNT = 2**31 - 1
MAX_WARNINGS = 50

_SHORTER = {
    "vendor": 63,
    "profile": 63,
    "pci_id": 16,
    "pci_address": 32,
    "health_reason": 500,
    "unavailable_reason": 500,
}
_HASH_DIGITS = 12

_NODE_TEXTS = ("ref", "name", "uuid", "serial", "unavailable_reason")
_NODE_COUNTS = ("cpu_milli", "memory_mib", "cpu_used_milli", "memory_used_mib")
_DEVICE_TEXTS = (
    *("ref", "vendor", "model", "pci_id", "uuid", "serial", "pci_address", "profile"),
    *("health_reason", "link_group"),
)
_DEVICE_COUNTS = ("memory_mib", "total_milli")
_COUNTER_TEXTS = ("ref", "vendor", "model", "pci_id", "profile")
_COUNTER_COUNTS = ("unit_milli", "unit_memory_mib", "total_units", "faulty_units")

D = TypeVar("D", DeviceFact, CounterFact)


class Checked:
    """Checks the pages of one observation, in their order.

    ``page`` raises Permanent ``invalid_answer`` for numbers and refs that cannot be, and Transient ``repeated_page``
    when a node comes twice. What it corrects is told in the warnings: texts that are too long are shortened and stay
    unique, and hardware that shows up twice is counted once, where it was seen first.
    """

    def __init__(self) -> None:
        self._nodes: set[str] = set()
        self._hardware: set[str | tuple[str, str | None] | None] = set()
        self._warned = 0

    def page(self, page: Page) -> Page:
        """Return the page, corrected where that loses nothing that matters."""
        warnings: list[str] = []
        nodes = [self._node(node, warnings) for node in page.nodes]
        if not warnings:
            return page
        left = max(0, MAX_WARNINGS - self._warned)
        self._warned += len(warnings)
        told = warnings[:left]
        if 0 < left < len(warnings):
            told.append("There are more warnings of this kind; they are left out.")
        return replace(page, nodes=nodes, warnings=(*page.warnings, *told))

    def _node(self, node: NodeFact, warnings: list[str]) -> NodeFact:
        name = short(node.name or node.ref, 80)
        if not node.ref:
            raise _invalid(f"node {name}", "ref", "empty")
        if node.ref in self._nodes:
            raise Transient(
                f"The platform told node {name} twice in one observation, so a page may be missing. Nothing is "
                "concluded from it; the pool is read again. If it stays so, look for proxies that cache answers.",
                code="repeated_page",
            )
        self._nodes.add(node.ref)
        _refuse_wrong_counts(node, _NODE_COUNTS, f"node {name}")
        changes = _shortened(node, _NODE_TEXTS) | _shortened_maps(node, ("topology", "labels"))
        devices = tuple(_device(device, name) for device in node.devices)
        counters = tuple(_counter(counter, name) for counter in node.counters)
        if changes or devices != node.devices or counters != node.counters:
            warnings.append(
                f"Node {name} has texts that are too long or hold unprintable characters; they were changed."
            )
            node = replace(node, **changes, devices=devices, counters=counters)
        _refuse_twins(devices, f"node {name}, device")
        _refuse_twins(counters, f"node {name}, counter")
        once = self._counted_once(devices, name, warnings)
        return replace(node, devices=once) if len(once) < len(devices) else node

    def _counted_once(self, devices: tuple[DeviceFact, ...], name: str, warnings: list[str]) -> tuple[DeviceFact, ...]:
        """Leave out what another node, or this one, had already: a device that moves while we read, or a false id."""
        hardware = self._hardware
        again = []
        for device in devices:
            key = device.uuid or (device.serial and (device.serial, device.profile))
            if key in hardware:
                again.append(device)
            elif key:
                hardware.add(key)
        if not again:
            return devices
        warnings.extend(
            f"Device {device.uuid or device.serial} of node {name} was seen before in this observation; it is counted "
            "once, where it was seen first."
            for device in again
        )
        return tuple(device for device in devices if device not in again)


def short(text: str, most: int = MAX_NAME) -> str:
    """Return the text in at most ``most`` characters, different for different texts, without the character 0."""
    text = text.replace("\x00", "\ufffd")
    if len(text) <= most:
        return text
    digits = hashlib.blake2b(text.encode(errors="replace"), digest_size=_HASH_DIGITS // 2).hexdigest()
    return f"{text[: most - _HASH_DIGITS - 1]}~{digits}"


def _device(device: DeviceFact, node: str) -> DeviceFact:
    # One look at all texts together: this runs for every device of every sync, and hardly ever finds something.
    texts = f"{device.ref}{device.model}{device.uuid}{device.serial}{device.link_group}{device.health_reason}"
    if (
        len(texts) <= MAX_NAME
        and "\x00" not in texts
        and device.ref
        and 0 <= device.memory_mib <= MAX_COUNT
        and 0 <= device.total_milli <= MAX_COUNT
        and len(device.vendor) <= 63
        and not device.attributes
        and (device.profile is None or len(device.profile) <= 63)
        and (device.pci_id is None or len(device.pci_id) <= 16)
        and (device.pci_address is None or len(device.pci_address) <= 32)
    ):
        return _with_uses(device, node) if device.uses else device
    where = f"node {node}, device {short(device.ref, 80)}"
    if not device.ref:
        raise _invalid(where, "ref", "empty")
    _refuse_wrong_counts(device, _DEVICE_COUNTS, where)
    changes = _shortened(device, _DEVICE_TEXTS) | _shortened_maps(device, ("attributes",))
    return _with_uses(replace(device, **changes) if changes else device, node)


def _counter(counter: CounterFact, node: str) -> CounterFact:
    where = f"node {node}, counter {short(counter.ref, 80)}"
    if not counter.ref:
        raise _invalid(where, "ref", "empty")
    _refuse_wrong_counts(counter, _COUNTER_COUNTS, where)
    if counter.faulty_units > counter.total_units:
        raise _invalid(where, "faulty_units", f"{counter.faulty_units} of {counter.total_units}")
    changes = _shortened(counter, _COUNTER_TEXTS)
    return _with_uses(replace(counter, **changes) if changes else counter, node)


def _with_uses(owner: D, node: str) -> D:
    changed = []
    for use in owner.uses:
        if not (0 <= use.milli <= MAX_COUNT and 0 <= use.memory_mib <= MAX_COUNT):
            _refuse_wrong_counts(
                use, ("milli", "memory_mib"), f"node {node}, {short(owner.ref, 80)}, use by {short(use.holder, 80)}"
            )
        if len(use.holder) > MAX_NAME or "\x00" in use.holder:
            changed.append((use, replace(use, holder=short(use.holder))))
    if not changed:
        return owner
    return replace(owner, uses=tuple(next((new for old, new in changed if old is use), use) for use in owner.uses))


def _refuse_wrong_counts(fact: Struct, fields: Sequence[str], where: str) -> None:
    for field in fields:
        if not 0 <= (count := getattr(fact, field)) <= MAX_COUNT:
            raise _invalid(where, field, str(count)[:40])


def _refuse_twins(facts: Sequence[DeviceFact] | Sequence[CounterFact], where: str) -> None:
    if len({fact.ref for fact in facts}) == len(facts):
        return
    seen: set[str] = set()
    for fact in facts:
        if fact.ref in seen:
            raise _invalid(where, "ref", f"{fact.ref[:80]} twice")
        seen.add(fact.ref)


def _shortened(fact: Struct, fields: Sequence[str]) -> dict[str, Any]:
    changes = {}
    for field in fields:
        text = getattr(fact, field)
        if text and (len(text) > _SHORTER.get(field, MAX_NAME) or "\x00" in text):
            changes[field] = short(text, _SHORTER.get(field, MAX_NAME))
    return changes


def _shortened_maps(fact: Struct, fields: Sequence[str]) -> dict[str, Any]:
    changes = {}
    for field in fields:
        texts: Mapping[str, str] = getattr(fact, field)
        if any(len(key) > MAX_NAME or len(text) > MAX_NAME or "\x00" in key + text for key, text in texts.items()):
            changes[field] = {short(key): short(text) for key, text in texts.items()}
    return changes


def _invalid(where: str, field: str, value: str) -> Permanent:
    return Permanent(
        f"The platform's answer cannot be right: {where} has {field} {value}. Nothing is taken from it. Repair what "
        "reports this on the platform, or take that node out of the pool.",
        code="invalid_answer",
    )
