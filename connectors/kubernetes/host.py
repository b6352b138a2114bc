"""A node as the vendor modules look at it, and what they all share."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from connectors.contract import CounterFact, DeviceFact, UseFact
from connectors.kubernetes import quantity
from connectors.kubernetes.resources import classify
from connectors.kubernetes.usage import PodUse


class Host(Struct):
    """``capacity`` and ``allocatable`` hold extended resources only, in units. ``warnings`` says what looks wrong."""

    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    capacity: Mapping[str, int]
    allocatable: Mapping[str, int]
    pods: Sequence[PodUse]
    warnings: list[str]

    def offered(self, resource_name: str) -> int:
        """Units that pods may use now; never more than there are."""
        return min(self.capacity.get(resource_name, 0), self.allocatable.get(resource_name, 0))

    def number(self, label: str) -> int:
        """A label that holds a count; 0 when it is absent or no number."""
        text = self.labels.get(label, "")
        return int(text) if text.isdecimal() and len(text) <= 9 else 0

    def users(self, resource_name: str) -> Iterator[tuple[PodUse, int]]:
        """The pods that ask for a resource, always in the same order, and how many units each."""
        asking = [pod for pod in self.pods if resource_name in pod.units]
        for pod in sorted(asking, key=lambda pod: pod.holder):
            yield pod, pod.units[resource_name]


class Product(Struct, frozen=True):
    """What kind of card a node's labels tell of. ``memory_mib`` is one whole card's, 0 where nobody tells."""

    vendor: str
    model: str
    memory_mib: int = 0
    pci_id: str | None = None
    link_group: str | None = None


class Found(Struct):
    """What one source tells of a node's accelerators."""

    devices: list[DeviceFact] = []
    counters: list[CounterFact] = []


def cards(product: Product, resource_name: str, refs: Iterable[str]) -> list[DeviceFact]:
    """Healthy cards without users, in the order of their index, which pods get by a resource.

    Without a resource their capacity is in counters.
    """
    return [
        DeviceFact(
            ref=ref,
            vendor=product.vendor,
            model=product.model,
            pci_id=product.pci_id,
            index=index,
            memory_mib=product.memory_mib,
            total_milli=1000 if resource_name else 0,
            link_group=product.link_group,
            resource=resource_name,
        )
        for index, ref in enumerate(refs)
    ]


def without_withdrawn(devices: list[DeviceFact], offered: int) -> list[DeviceFact]:
    """Mark what the device plugin does not offer: the last of the cards that were healthy, for it does not say which.

    All withdrawn at once is what a restart of the plugin looks like: the cards are there and their health is unknown.
    """
    healthy = [at for at, device in enumerate(devices) if device.health == "ok"]
    if not healthy or len(healthy) <= offered:
        return devices
    if offered == 0:
        reason = "The device plugin offers no card at present; it may be restarting."
        return [replace(d, health="unknown", health_reason=reason) if d.health == "ok" else d for d in devices]
    reason = f"The device plugin offers {offered} of {len(devices)} cards and does not say which is faulty."
    for at in healthy[offered:]:
        devices[at] = replace(devices[at], health="faulty", health_reason=reason)
    return devices


def with_counted_users(devices: list[DeviceFact], users: Iterable[tuple[PodUse, int]]) -> list[DeviceFact]:
    """Put the users on whole cards from the lowest index on; the platform told only how many each has."""
    if not devices:
        return devices
    uses: list[list[UseFact]] = [list(device.uses) for device in devices]
    # Cards that are known to be taken come last; more users than cards (bound past the scheduler) start over.
    order = sorted(range(len(devices)), key=lambda at: bool(uses[at]))
    taken = 0
    for pod, units in users:
        for _ in range(min(units, len(devices))):
            at = order[taken % len(devices)]
            uses[at].append(counted(pod, 1000, devices[at].memory_mib))
            taken += 1
    return [
        replace(device, uses=fitting(uses[at], device.total_milli)) if len(uses[at]) > len(device.uses) else device
        for at, device in enumerate(devices)
    ]


def fitting(uses: Iterable[UseFact], most_milli: int) -> tuple[UseFact, ...]:
    """Cut uses to what there is, in their order. Whoever comes too late (bound past the scheduler, or sharing a card
    without a limit) is still shown, with nothing.
    """
    fitted = []
    for use in uses:
        milli = min(use.milli, most_milli)
        most_milli -= milli
        fitted.append(
            use if milli == use.milli else replace(use, milli=milli, memory_mib=0 if not milli else use.memory_mib)
        )
    return tuple(fitted)


def counted(pod: PodUse, milli: int, memory_mib: int) -> UseFact:
    """Use of a card that we picked ourselves."""
    return UseFact(holder=pod.holder, milli=milli, memory_mib=memory_mib, marker=pod.marker, is_counted=True)


def counter(
    host: Host,
    resource_name: str,
    product: Product,
    *,
    profile: str | None = None,
    unit_milli: int = 0,
    unit_memory_mib: int = 0,
) -> CounterFact:
    """What a resource counts. Without a known ``unit_milli`` it is shown, and its use cannot be told in cards."""
    total = host.capacity.get(resource_name, 0)
    uses = [
        UseFact(
            holder=pod.holder,
            milli=min(units * unit_milli, quantity.MOST),
            memory_mib=min(units * unit_memory_mib, quantity.MOST),
            marker=pod.marker,
        )
        for pod, units in host.users(resource_name)
    ]
    return CounterFact(
        ref=resource_name,
        vendor=product.vendor,
        model=product.model,
        pci_id=product.pci_id,
        profile=profile,
        unit_milli=unit_milli,
        unit_memory_mib=unit_memory_mib,
        total_units=total,
        faulty_units=total - host.offered(resource_name),
        uses=fitting(uses, total * unit_milli),
    )


def counts_cards(resource_name: str, vendor: str) -> bool:
    """Whether a resource counts whole cards, or shares of them, of a vendor."""
    resource = classify(resource_name)
    return resource.vendor == vendor and resource.kind == "count" and not resource.profile
