"""The vocabulary that ocenter and its connectors share, and the promises a connector makes.

A connector turns one remote pool into facts (``observe``) and makes targets carry orders (``apply``). It keeps no state
of its own: every call may be repeated after a crash at any line, and none waits for long work on the platform.
Quantities: ``*_milli`` counts thousandths of one device (or of one CPU), ``*_mib`` is 2**20 bytes, rounded down.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

Health = Literal["ok", "faulty", "unknown"]
Cursor = Mapping[str, Any]


# --- facts: what a platform says is there -----------------------------------------------------------------------------


class UseFact(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody uses part of a device, a counter or a node.

    ``holder`` is the user in the platform's words (``namespace/pod``, an instance uuid, a VM name). ``marker`` is our
    own external name (``oc-...``) when the platform object carries it, else None. ``is_counted`` says that the platform
    told only how many are used on the node, and the connector picked the device.
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


# --- targets and orders: what a platform shall carry ------------------------------------------------------------------


class Target(Struct, frozen=True, kw_only=True):
    """The platform object that carries orders: a namespace, a host's document, a server, a consumer.

    ``ref`` is our external name for it or the tenant's own object. An older ``generation`` overwrites no newer one.
    """

    kind: str
    ref: str
    generation: int
    node_ref: str | None = None
    project: str = ""


class Order(Struct, frozen=True, kw_only=True):
    """What one member of an allocation wants of one target. ``marker`` is its external name (``oc-...``)."""

    marker: str
    allocation: str
    member: int
    model: str = ""
    profile: str | None = None
    devices: tuple[str, ...] = ()
    milli: int = 0
    memory_mib: int = 0
    lease_end_at: str | None = None
    ssh_keys: tuple[str, ...] = ()


class Call(Struct, frozen=True, kw_only=True):
    """One exact call on the platform, for people and for the drift detector. Holds no secret."""

    verb: str
    object: str
    body: Mapping[str, Any] = {}


class Plan(Struct, frozen=True, kw_only=True):
    """The calls ``apply`` would make now. None means that the target carries the orders already."""

    calls: tuple[Call, ...] = ()


class Found(Struct, frozen=True, kw_only=True):
    """What a target carries: its generation and the markers of its orders."""

    generation: int
    markers: tuple[str, ...] = ()
    is_ours: bool = True
    detail: Mapping[str, Any] = {}


class Absent(Struct, frozen=True, kw_only=True):
    """The target is not there."""


class Done(Struct, frozen=True, kw_only=True):
    """The platform confirmed. ``changes`` are the calls that were made; none when everything was as ordered."""

    found: Found | Absent
    changes: tuple[Call, ...] = ()


class Pending(Struct, frozen=True, kw_only=True):
    """The platform took the orders and is not done. Call again after ``after_seconds``."""

    after_seconds: float
    changes: tuple[Call, ...] = ()


Outcome = Done | Pending


# --- manifests: what a kind is, told without loading its SDK ----------------------------------------------------------


class Setting(Struct, frozen=True, kw_only=True):
    """One field of a pool's settings, or of its credential when ``is_secret``. Labels are English message ids."""

    name: str
    label: str
    help: str = ""
    type: Literal["text", "multiline", "url", "integer", "boolean", "choice"] = "text"
    is_required: bool = False
    is_secret: bool = False
    default: str | int | bool | None = None
    choices: tuple[str, ...] = ()
    example: str = ""
    minimum: int | None = None
    maximum: int | None = None
    max_length: int = 4096


class Mode(Struct, frozen=True, kw_only=True):
    """A way to give out capacity, and how finely it can promise: one device, one node, or only the pool."""

    name: str
    grain: Literal["device", "node", "pool"]
    label: str = ""


class Manifest(Struct, frozen=True, kw_only=True):
    """What a kind needs and can do. ``missing`` gives the reason for each capability that it has not.

    ``connector`` is ``module:Class``; it is imported in workers only. The first mode is the default. An observation
    that takes longer than ``observe_seconds`` is given up; what was seen until then stays merged.
    """

    kind: str
    label: str
    summary: str
    settings: tuple[Setting, ...]
    modes: tuple[Mode, ...]
    connector: str
    default_sync_interval_seconds: int = 60
    observe_seconds: int = 540
    capabilities: tuple[str, ...] = ()
    missing: Mapping[str, str] = {}
    is_simulation: bool = False


# --- errors: the class alone says whether a retry can help ------------------------------------------------------------


class ConnectorError(Exception):
    """Base of what a connector may raise.

    ``code`` is stable, ``str(error)`` tells a person what is wrong and what to do, ``platform_words`` is the platform's
    own text, cut and free of secrets.
    """

    code = "failed"

    def __init__(self, message: str, *, code: str | None = None, platform_words: str = "") -> None:
        super().__init__(message)
        self.code = code or type(self).code
        self.platform_words = platform_words[:2000]


class Transient(ConnectorError):
    """It may work later: unreachable, timeout, throttled, 5xx, a torn answer. The effect of a write is unknown."""

    code = "unreachable"

    def __init__(
        self, message: str, *, code: str | None = None, platform_words: str = "", after_seconds: float | None = None
    ) -> None:
        super().__init__(message, code=code, platform_words=platform_words)
        self.after_seconds = after_seconds


class Permanent(ConnectorError):
    """It will not work until somebody changes the request, the settings or the platform."""

    code = "invalid"


class Denied(Permanent):
    """The platform knows us and says no, or does not accept the credential."""

    code = "denied"


class NoCapacity(ConnectorError):
    """The platform has no room for the orders. Another candidate may have."""

    code = "no_capacity"


# --- the connector ----------------------------------------------------------------------------------------------------


class Connector(ABC):
    """One remote pool. Every call may be repeated after a crash at any line; none waits for long work."""

    @abstractmethod
    def identity(self) -> Identity:
        """Which far end answers now. One cheap call; ocenter refuses to go on when it is not the stored one."""

    @abstractmethod
    def check(self) -> Check:
        """Reach the far end, and name each permission that is missing to watch and to manage. Changes nothing."""

    @abstractmethod
    def observe(self, cursor: Cursor | None) -> Iterator[Page]:
        """Yield all that is there, in pages of at most some hundred nodes; the last page says whether all was seen.

        With a cursor of an earlier ``Last`` the connector may yield only what changed since (``Page.is_full`` False).
        Raises a ConnectorError in the middle when it cannot go on; nothing seen so far is lost by that.
        """

    @abstractmethod
    def plan(self, target: Target, orders: Sequence[Order]) -> Plan:
        """What ``apply`` would call now, by the same code, without sending any change."""

    @abstractmethod
    def apply(self, target: Target, orders: Sequence[Order]) -> Outcome:
        """Make the target carry exactly these orders. None: remove it if we made it, silently when it is absent.

        Raises Transient when the effect is unknown (probe before a repeat), NoCapacity, Denied, or Permanent
        with the code ``stale_generation`` when the target carries a newer generation.
        """

    @abstractmethod
    def probe(self, target: Target) -> Found | Absent:
        """What is there now, asked of the platform and nobody else."""

    def close(self) -> None:
        """Let go of connections; most connectors hold none. May be called twice."""
        return


class CanHold(ABC):
    """The platform can keep capacity for a short time without delivering it."""

    @abstractmethod
    def hold(self, target: Target, orders: Sequence[Order]) -> Outcome:
        """Like ``apply``, but nobody can use what is held."""


class CanPower(ABC):
    """The platform can switch hosts."""

    @abstractmethod
    def power(self, node_ref: str, wanted: Literal["on", "off"]) -> Literal["on", "off", "changing"]:
        """Ask for a power state and tell the present one."""


class CanTelemeter(ABC):
    """The platform can tell how busy devices are."""

    @abstractmethod
    def telemetry(self) -> Mapping[str, Mapping[str, float]]:
        """Return ``node ref/device ref`` to {"utilisation_percent", "memory_used_mib", "power_watts"}.

        What is not known is left out: missing is not zero.
        """


class CanResize:
    """Orders on a target can grow and shrink in place. ``apply`` with other orders does it; this says it is safe."""


class CanGrantAccess(ABC):
    """The connector can deliver what a tenant needs to use its target."""

    @abstractmethod
    def access(self, target: Target, orders: Sequence[Order]) -> Mapping[str, str]:
        """What to hand over. Values may be secrets: the caller encrypts them and never logs them."""
