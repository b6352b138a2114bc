"""Facts: what a platform says is there. ``*_milli`` counts thousandths, ``*_mib`` is 2**20 bytes, rounded down."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

Health = Literal["ok", "faulty", "unknown"]
Cursor = Mapping[str, Any]


class UseFact(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody uses part of a device, a counter or a node.

    ``holder`` is the user in the platform's words (``namespace/pod``, an instance uuid, a VM name). ``marker`` is our
    own external name (``oc-...``) when the platform object carries it and this installation made it, else None: the
    order's, or the target's where the platform cannot tell which of its orders is meant. ``is_counted`` says that the
    platform told only how many are used on the node, and the connector picked the device.
    """

    holder: str
    milli: int
    memory_mib: int = 0
    marker: str | None = None
    is_counted: bool = False


class DeviceFact(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A physical accelerator, or a static partition that the platform shows as a device of its own.

    ``ref`` is unique within its node. ``uuid`` and ``serial`` identify the hardware and either may be absent; without
    both, (node ref, ref) does. ``model`` is the platform's own name for the card, ``pci_id`` is ``vvvv:dddd`` in lower
    case hex. ``total_milli`` is 1000, or 0 when the card's capacity is counted in counters of the same node.
    ``resource`` is the name by which a platform that only counts gives such cards out, as a counter's ``ref`` is.
    """

    ref: str
    vendor: str = ""
    model: str = ""
    pci_id: str | None = None
    index: int | None = None
    uuid: str | None = None
    serial: str | None = None
    pci_address: str | None = None
    memory_mib: int = 0
    profile: str | None = None
    total_milli: int = 1000
    health: Health = "ok"
    health_reason: str = ""
    link_group: str | None = None
    numa_node: int | None = None
    resource: str = ""
    uses: tuple[UseFact, ...] = ()
    attributes: Mapping[str, str] = {}


class CounterFact(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Units that the platform counts without showing them one by one (static MIG resources, replicas, vGPU slots).

    ``ref`` is the platform's resource name, unique within its node. ``model`` is empty where the resource covers
    several models; such a counter is shown and takes no claims by model. One unit is ``unit_milli`` of a device; a
    resource of unknown meaning has 0, and is shown but never counted.
    """

    ref: str
    vendor: str = ""
    model: str = ""
    pci_id: str | None = None
    profile: str | None = None
    unit_milli: int = 1000
    unit_memory_mib: int = 0
    total_units: int = 0
    faulty_units: int = 0
    uses: tuple[UseFact, ...] = ()


class NodeFact(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A host. ``ref`` is what the platform never reuses for another host (a uid, not a name), unique within the pool.

    ``topology`` goes from wide to narrow with the keys region, zone, rack and what else the platform tells. A node that
    takes no new work (cordoned, not ready, maintenance) has ``is_available`` False and says why.
    """

    ref: str
    name: str
    uuid: str | None = None
    serial: str | None = None
    topology: Mapping[str, str] = {}
    labels: Mapping[str, str] = {}
    cpu_milli: int = 0
    memory_mib: int = 0
    cpu_used_milli: int = 0
    memory_used_mib: int = 0
    is_available: bool = True
    unavailable_reason: str = ""
    devices: tuple[DeviceFact, ...] = ()
    counters: tuple[CounterFact, ...] = ()


class Last(Struct, frozen=True, kw_only=True):
    """The end of an observation: was all of it seen, and where does the next one go on.

    Only a complete observation lets ocenter conclude that something is missing. ``incomplete_because`` is for a person.
    """

    complete: bool
    cursor: Cursor | None = None
    incomplete_because: str = ""


class Page(Struct, frozen=True, kw_only=True):
    """A piece of an observation. ``gone`` are node refs which the platform itself says were deleted (incremental only).

    ``is_full`` is False when the observation carries changes since the cursor only. The last page, and no other,
    has ``last``.
    """

    nodes: Sequence[NodeFact] = ()
    gone: Sequence[str] = ()
    warnings: Sequence[str] = ()
    byte_count: int = 0
    is_full: bool = True
    last: Last | None = None


class Identity(Struct, frozen=True, kw_only=True):
    """Which far end answers. ``key`` never changes for one cluster, cloud or vCenter; ``label`` is for people."""

    key: str
    label: str = ""
    version: str = ""


class Tier(Struct, frozen=True, kw_only=True):
    """Whether one tier of permissions is there, else what is missing, in the platform's terms."""

    ok: bool
    missing: tuple[str, ...] = ()


class Check(Struct, frozen=True, kw_only=True):
    """What ``check`` found. A far end that cannot be reached raises instead."""

    identity: Identity
    watch: Tier
    manage: Tier
    warnings: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()


class Reading(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one device measures at a moment. None is not known, which is not zero.

    Found by ``uuid``, else by ``pci_address``, else by ``ref`` or ``index``, on ``node`` (a node's ref or name; empty
    where the source tells none). ``utilisation_percent`` is 0 to 100. ``health`` other than unknown is what the source
    says of the device now; ``health_reason`` names it (``XID 79``). ``measured_at`` is RFC 3339; None is now.
    """

    node: str = ""
    ref: str | None = None
    uuid: str | None = None
    pci_address: str | None = None
    index: int | None = None
    utilisation_percent: float | None = None
    memory_used_mib: int | None = None
    temperature_celsius: float | None = None
    power_watts: float | None = None
    ecc_uncorrected: int | None = None
    health: Health = "unknown"
    health_reason: str = ""
    measured_at: str | None = None
