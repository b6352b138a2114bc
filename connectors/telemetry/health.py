"""Faults that exporters tell, put into the facts of an observation."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct, ValidationError, convert, to_builtins
from msgspec.structs import replace

from connectors.contract import Cursor, DeviceFact, Last, NodeFact, Page, Reading
from connectors.telemetry.exporters import pci_address
from connectors.telemetry.sources import Seen, Sources

CURSOR_KEY = "telemetry"

Observe = Callable[[Cursor | None], Iterator[Page]]
Watch = Callable[[Cursor], Iterator[Page]]
Faults = Mapping[str, tuple["Fault", ...]]
"""By the address of the source that told them."""


class Fault(Struct, frozen=True, omit_defaults=True):
    """A device that a source calls faulty, as it stands in the cursor."""

    reason: str
    node: str = ""
    uuid: str | None = None
    pci_address: str | None = None
    index: int | None = None


def observed(observe: Observe, sources: Sources, cursor: Cursor | None) -> Iterator[Page]:
    """Yield the pages of ``observe``, with devices faulty that a source says are.

    A source that cannot be read leaves its last known faults standing, which the cursor carries, and a warning. When
    the faults are others than at the last look, all is looked at again: only a full look tells nodes that did not
    change otherwise.
    """
    if not sources:
        yield from observe(cursor)
        return
    own, before = _split(cursor)
    seen = sources.read()
    faults = {each.source: _faults(each, before.get(each.source, ())) for each in seen}
    is_known = cursor is not None and CURSOR_KEY in cursor and faults == before
    marking = _Marking([fault for each in faults.values() for fault in each])
    warnings: Sequence[str] = [_unread(each, faults[each.source]) for each in seen if each.failure]
    for page in observe(own if is_known else None):
        page = replace(page, nodes=[marking.node(node) for node in page.nodes], warnings=(*page.warnings, *warnings))
        warnings = ()
        if page.last is not None:
            page = _ended(page, page.last, faults, marking)
        yield page


def watched(watch: Watch, cursor: Cursor) -> Iterator[Page]:
    """Yield the pages of ``watch`` with the faults that the cursor carries; what is new comes by the next look."""
    if CURSOR_KEY not in cursor:
        yield from watch(cursor)
        return
    own, before = _split(cursor)
    marking = _Marking([fault for each in before.values() for fault in each])
    for page in watch(own or {}):
        page = replace(page, nodes=[marking.node(node) for node in page.nodes])
        yield page if page.last is None else replace(page, last=_carrying(page.last, before))


def _split(cursor: Cursor | None) -> tuple[Cursor | None, Faults]:
    own = {key: value for key, value in (cursor or {}).items() if key != CURSOR_KEY}
    try:
        before = convert((cursor or {}).get(CURSOR_KEY, {}), dict[str, tuple[Fault, ...]])
    except ValidationError:  # written by another version
        before = {}
    return own or None, before


def carried(cursor: Cursor | None) -> object:
    """Return the part of a cursor that holds the faults, to be compared with that of another."""
    return (cursor or {}).get(CURSOR_KEY)


def _faults(seen: Seen, before: tuple[Fault, ...]) -> tuple[Fault, ...]:
    """Return what is faulty now. A source that no longer speaks of a device has not said that it is well."""
    if seen.failure:
        return before
    told = {key for each in seen.readings if each.health != "unknown" for key in _keys_of(each)}
    silent = [fault for fault in before if told.isdisjoint(_keys_of(fault))]
    return tuple(sorted({*silent, *(_fault(each) for each in seen.readings if each.health == "faulty")}, key=repr))


def _keys_of(told: Reading | Fault) -> Iterator[tuple[str, ...]]:
    return _keys(told.uuid, (told.node,), told.pci_address, told.index)


def _fault(reading: Reading) -> Fault:
    return Fault(reading.health_reason, reading.node, reading.uuid, reading.pci_address, reading.index)


def _unread(seen: Seen, standing: Sequence[Fault]) -> str:
    kept = f"{len(standing)} faults that it told before stand." if standing else "No fault was known from it."
    return f"The health of devices cannot be read from {seen.source}: {seen.failure} {kept}"


def _ended(page: Page, last: Last, faults: Faults, marking: "_Marking") -> Page:
    missed = marking.missed() if page.is_full and last.complete else ()
    warning = f"{len(missed)} devices that exporters call faulty are not among the pool's: {'; '.join(missed[:5])}."
    return replace(page, last=_carrying(last, faults), warnings=(*page.warnings, *([warning] if missed else ())))


def _carrying(last: Last, faults: Faults) -> Last:
    return replace(last, cursor={**(last.cursor or {}), CURSOR_KEY: to_builtins(faults)})


class _Marking:
    """Finds the faults of a device: by uuid, else on its node by PCI address, else on its node by index."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self._by_key: dict[tuple[str, ...], list[Fault]] = {}
        self._unmet = dict.fromkeys(faults)
        for fault in self._unmet:
            for key in _keys(fault.uuid, (fault.node,), fault.pci_address, fault.index):
                self._by_key.setdefault(key, []).append(fault)

    def node(self, node: NodeFact) -> NodeFact:
        if not self._by_key or not node.devices:
            return node
        return replace(node, devices=tuple(self._device(device, node) for device in node.devices))

    def missed(self) -> list[str]:
        return [f"{fault.node or '?'} {fault.uuid or fault.pci_address or fault.index}" for fault in self._unmet]

    def _device(self, device: DeviceFact, node: NodeFact) -> DeviceFact:
        keys = _keys(device.uuid, (node.ref, node.name), device.pci_address, device.index)
        met = dict.fromkeys(
            fault
            for key in keys
            for fault in self._by_key.get(key, ())
            # The weakest name, and partitions have their own: it counts where nothing better can be compared.
            if key[0] != "index" or not ((device.uuid and fault.uuid) or (device.pci_address and fault.pci_address))
        )
        if not met:
            return device
        for fault in met:
            self._unmet.pop(fault, None)
        reasons = dict.fromkeys(filter(None, (device.health_reason, *(fault.reason for fault in met))))
        return replace(device, health="faulty", health_reason=", ".join(reasons))


def _keys(uuid: str | None, nodes: Sequence[str], address: str | None, index: int | None) -> Iterator[tuple[str, ...]]:
    if uuid:
        yield ("uuid", uuid.lower().removeprefix("gpu-"))
    places = [node.lower() for node in nodes if node]
    if address and (normal := pci_address(address)):
        yield from (("pci", place, normal) for place in places)
    if index is not None:
        yield from (("index", place, str(index)) for place in places)
