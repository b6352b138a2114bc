"""Facts that may go into the database: what nonsense a platform tells is found here, once for all connectors."""

import hashlib
import operator
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

from msgspec import Struct
from msgspec.structs import replace

from connectors.contract import CounterFact, DeviceFact, NodeFact, Page, Permanent, Transient, UseFact

MAX_NAME = 255
# What an integer column holds. Memory of counters and hosts has wider ones; the same bound keeps the sums of a whole
# fleet within them.
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
# No PostgreSQL text holds the character 0, and no UTF-8 half a surrogate pair.
_UNFIT = re.compile(r"[\x00\ud800-\udfff]")
_LONGEST_NUMBER = 10**40

_NODE_TEXTS = ("ref", "name", "uuid", "serial", "unavailable_reason")
_NODE_COUNTS = ("cpu_milli", "memory_mib", "cpu_used_milli", "memory_used_mib")
_DEVICE_TEXTS = (
    *("ref", "vendor", "model", "pci_id", "uuid", "serial", "pci_address", "profile"),
    *("health_reason", "link_group", "resource"),
)
_DEVICE_COUNTS = ("memory_mib", "total_milli", "index", "numa_node")
_COUNTER_TEXTS = ("ref", "vendor", "model", "pci_id", "profile")
_COUNTER_COUNTS = ("unit_milli", "unit_memory_mib", "total_units", "faulty_units")
_USE_TEXTS = ("holder", "marker")
_USE_COUNTS = ("milli", "memory_mib")

T = TypeVar("T")
D = TypeVar("D", DeviceFact, CounterFact)


class Checked:
    """Checks the pages of one observation, in their order.

    ``page`` raises Permanent ``invalid_answer`` for numbers that no column holds and for refs that cannot be, and
    Transient ``repeated_page`` when a node comes twice. What it corrects is told in the warnings: texts that are too
    long are shortened and stay unique, characters that cannot be stored become U+FFFD, and hardware that shows up twice
    is counted once, where it was seen first. A negative NUMA node is how many platforms say that there is none.
    """

    def __init__(self) -> None:
        self._nodes: set[str] = set()
        self._hardware: set[str | tuple[str, str | None] | None] = set()
        self._kinds: set[tuple[object, ...]] = set()
        self._warned = 0

    def page(self, page: Page) -> Page:
        """Return the page, corrected where that loses nothing that matters."""
        warnings: list[str] = []
        nodes = [self._node(node, warnings) for node in page.nodes]
        told, last = storable(tuple(page.warnings)), storable(page.last)
        if last != page.last or told != tuple(page.warnings):
            warnings.append("The answer has texts that are too long or hold unprintable characters; they were changed.")
        gone = [short(ref) for ref in page.gone]  # as they were recorded
        if not warnings and gone == [*page.gone] and all(map(operator.is_, nodes, page.nodes)):
            return page
        left = max(0, MAX_WARNINGS - self._warned)
        self._warned += len(warnings)
        own = warnings[:left]
        if 0 < left < len(warnings):
            own.append("There are more warnings of this kind; they are left out.")
        return replace(page, nodes=nodes, gone=gone, warnings=(*told, *own), last=last)

    def _node(self, node: NodeFact, warnings: list[str]) -> NodeFact:
        name = short(node.name or node.ref, 80)
        if not node.ref:
            raise _invalid(f"node {name}", "ref", "empty", "a text is needed")
        _refuse_wrong_counts(node, _NODE_COUNTS, f"node {name}")
        mended: list[Struct] = []
        changes = _mended(node, _NODE_TEXTS, ("topology", "labels"), mended)
        self._refuse_repetition(changes.get("ref", node.ref), name)
        devices = tuple([self._device(device, name, mended) for device in node.devices])
        counters = tuple([_counter(counter, name, mended) for counter in node.counters])
        if mended:
            warnings.append(
                f"Node {name} has texts that are too long or hold unprintable characters; they were changed."
            )
        if changes or devices != node.devices or counters != node.counters:
            node = replace(node, **changes, devices=devices, counters=counters)
        _refuse_twins(devices, f"node {name}, device")
        _refuse_twins(counters, f"node {name}, counter")
        once = self._counted_once(devices, name, warnings)
        return replace(node, devices=once) if len(once) < len(devices) else node

    def _device(self, device: DeviceFact, node: str, mended: list[Struct]) -> DeviceFact:
        # This runs for every device of every sync and hardly ever finds something: what many devices have alike is
        # looked at once, and all other texts together.
        kind = (device.vendor, device.model, device.profile, device.pci_id, device.memory_mib, device.total_milli,
                device.index, device.numa_node, device.resource)  # fmt: skip
        texts = f"{device.ref}{device.uuid}{device.serial}{device.pci_address}{device.link_group}{device.health_reason}"
        if (
            kind in self._kinds
            and len(texts) <= MAX_NAME
            and "\x00" not in texts
            and texts.isascii()
            and device.ref
            and (device.pci_address is None or len(device.pci_address) <= _SHORTER["pci_address"])
            and (not device.attributes or _are_well(device.attributes))
        ):
            return _with_uses(device, node, mended) if device.uses else device
        where = f"node {node}, device {short(device.ref, 80)}"
        if not device.ref:
            raise _invalid(where, "ref", "empty", "a text is needed")
        changes = _mended(device, _DEVICE_TEXTS, ("attributes",), mended)
        if device.numa_node is not None and device.numa_node < 0:
            changes["numa_node"] = None
        device = replace(device, **changes) if changes else device
        _refuse_wrong_counts(device, _DEVICE_COUNTS, where)
        if not changes:
            self._kinds.add(kind)
        return _with_uses(device, node, mended)

    def _refuse_repetition(self, ref: str, name: str) -> None:
        if ref in self._nodes:
            raise Transient(
                f"The platform told node {name} twice in one observation, so a page may be missing. Nothing is "
                "concluded from it; the pool is read again. If it stays so, look for proxies that cache answers.",
                code="repeated_page",
            )
        self._nodes.add(ref)

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
    """Return the text in at most ``most`` characters, different for different texts, and such as can be stored."""
    text = _fit(text)
    if len(text) <= most:
        return text
    digits = hashlib.blake2b(text.encode(), digest_size=_HASH_DIGITS // 2).hexdigest()
    return f"{text[: most - _HASH_DIGITS - 1]}~{digits}"


def storable(value: T) -> T:
    """Return the value with U+FFFD for every character that no column takes, however deep in it the texts are."""
    fixed: Any = value
    if isinstance(value, str):
        fixed = _fit(value)
    elif isinstance(value, Mapping):
        fixed = {storable(key): storable(item) for key, item in value.items()}
    elif isinstance(value, list | tuple):
        fixed = type(value)(storable(item) for item in value)
    elif isinstance(value, Struct):
        fixed = replace(value, **{name: storable(getattr(value, name)) for name in value.__struct_fields__})
    return cast(T, fixed)


def _fit(text: str) -> str:
    return text if _is_fit(text) else _UNFIT.sub("\ufffd", text)


def _is_fit(text: str) -> bool:
    return "\x00" not in text and (text.isascii() or _UNFIT.search(text) is None)


def _counter(counter: CounterFact, node: str, mended: list[Struct]) -> CounterFact:
    where = f"node {node}, counter {short(counter.ref, 80)}"
    if not counter.ref:
        raise _invalid(where, "ref", "empty", "a text is needed")
    _refuse_wrong_counts(counter, _COUNTER_COUNTS, where)
    units, faulty = counter.total_units, counter.faulty_units
    if faulty > units:
        raise _invalid(where, "faulty_units", f"{faulty} of {units}", f"0 to {units} is allowed")
    for field, each in (("unit_milli", counter.unit_milli), ("unit_memory_mib", counter.unit_memory_mib)):
        if units * each > MAX_COUNT:
            raise _invalid(where, f"total_units * {field}", f"{units} * {each}", f"at most {MAX_COUNT} is allowed")
    changes = _mended(counter, _COUNTER_TEXTS, (), mended)
    return _with_uses(replace(counter, **changes) if changes else counter, node, mended)


def _with_uses(owner: D, node: str, mended: list[Struct]) -> D:
    for use in owner.uses:
        texts = use.holder if use.marker is None else use.holder + use.marker
        are_counts = 0 <= use.milli <= MAX_COUNT and 0 <= use.memory_mib <= MAX_COUNT
        if not (are_counts and len(texts) <= MAX_NAME and _is_fit(texts)):
            return replace(owner, uses=tuple(_use(use, owner.ref, node, mended) for use in owner.uses))
    return owner


def _use(use: UseFact, ref: str, node: str, mended: list[Struct]) -> UseFact:
    where = f"node {node}, {short(ref, 80)}, use by {short(use.holder, 80)}"
    _refuse_wrong_counts(use, _USE_COUNTS, where)
    changes = _mended(use, _USE_TEXTS, (), mended)
    return replace(use, **changes) if changes else use


def _refuse_wrong_counts(fact: Struct, fields: Sequence[str], where: str) -> None:
    for field in fields:
        count = getattr(fact, field)
        if count is not None and not 0 <= count <= MAX_COUNT:
            raise _invalid(where, field, _written(count), f"0 to {MAX_COUNT} is allowed")


def _written(count: int) -> str:
    """Python writes no integer of thousands of digits, and nobody reads one."""
    return str(count) if abs(count) < _LONGEST_NUMBER else f"of {count.bit_length()} bits"


def _refuse_twins(facts: Sequence[DeviceFact] | Sequence[CounterFact], where: str) -> None:
    if len({fact.ref for fact in facts}) == len(facts):
        return
    seen: set[str] = set()
    for fact in facts:
        if fact.ref in seen:
            raise _invalid(where, "ref", f"{fact.ref[:80]} twice", "each once is allowed")
        seen.add(fact.ref)


def _mended(fact: Struct, texts: Sequence[str], maps: Sequence[str], mended: list[Struct]) -> dict[str, Any]:
    """Return what must change in texts and in maps of texts; note the fact as mended when something must."""
    changes: dict[str, Any] = {}
    for field in texts:
        text = getattr(fact, field)
        if text and (len(text) > _SHORTER.get(field, MAX_NAME) or not _is_fit(text)):
            changes[field] = short(text, _SHORTER.get(field, MAX_NAME))
    for field in maps:
        items: Mapping[str, str] = getattr(fact, field)
        if items and not _are_well(items):
            changes[field] = {short(key): short(text) for key, text in items.items()}
    if changes:
        mended.append(fact)
    return changes


def _are_well(items: Mapping[str, str]) -> bool:
    texts = (*items, *items.values())
    return max(map(len, texts)) <= MAX_NAME and _is_fit("".join(texts))


def _invalid(where: str, field: str, value: str, allowed: str) -> Permanent:
    return Permanent(
        f"The platform's answer cannot be right: {where} has {field} {value}, and {allowed}. Nothing is taken from it. "
        "Repair what reports this on the platform, or take that node out of the pool.",
        code="invalid_answer",
    )
