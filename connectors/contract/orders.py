"""Targets and orders: what a platform shall carry, what it would take, and what came of it."""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct


class Target(Struct, frozen=True, kw_only=True):
    """The platform object that carries orders: a namespace, a host's document, a server, a VM, a consumer.

    ``ref`` is our external name for it (``oc-...``) or, with ``is_tenants``, the tenant's own object: that one is
    neither made nor removed, and only what we put on it is taken off again. ``mode`` is one of the manifest's, empty
    for its first. An older ``generation`` overwrites no newer one. ``project`` is the full path, for people.

    ``keeps`` are markers of what a target of many tenants (one for each node) leaves as it is if it carries it, beside
    the orders: nobody ordered it, and nobody has decided yet to take it off.
    """

    kind: str
    ref: str
    generation: int
    node_ref: str | None = None
    mode: str = ""
    is_tenants: bool = False
    project: str = ""
    keeps: tuple[str, ...] = ()


class Order(Struct, frozen=True, kw_only=True):
    """What one member of an allocation wants of one target. ``marker`` is its external name (``oc-...``).

    ``devices`` are refs of devices of the target's node, where ocenter chose them; ``resource`` is the ref of the
    counter that the claim was taken from, where the platform counts. ``milli`` and ``memory_mib`` are of devices, over
    all of the order; ``cpu_milli`` and ``host_memory_mib`` are of the host. ``lease_end_at`` is RFC 3339, None is open.
    """

    marker: str
    allocation: str
    member: int
    model: str = ""
    profile: str | None = None
    resource: str = ""
    devices: tuple[str, ...] = ()
    milli: int = 0
    memory_mib: int = 0
    cpu_milli: int = 0
    host_memory_mib: int = 0
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


class Place(Struct, frozen=True):
    """Where an order is: a node, and one of its devices where the platform tells or we chose."""

    node_ref: str
    device_ref: str = ""


class Found(Struct, frozen=True, kw_only=True):
    """What a target carries: its generation and the markers of the orders that are delivered, sorted.

    ``undelivered`` are those of orders that are there and not usable (yet), such as of a server that is shut down, and
    those of which something is left.
    ``is_ours`` is False for what this installation did not make. ``places`` has the devices of each marker as far as
    they are known. ``enforced`` says what keeps others off the devices (``quota``, ``acl``, ``cgroup``, ``hypervisor``,
    ``scheduler``). ``detail`` is for people, in the platform's terms, and holds no secret.
    """

    generation: int
    markers: tuple[str, ...] = ()
    undelivered: tuple[str, ...] = ()
    is_ours: bool = True
    places: Mapping[str, tuple[Place, ...]] = {}
    enforced: tuple[str, ...] = ()
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


class Delivery(Struct, frozen=True, kw_only=True):
    """What a tenant needs to use a target. ``facts`` may be shown; ``secrets`` the caller encrypts and never logs.

    ``expires_at`` (RFC 3339) is when the platform itself ends what was handed over, None where it does not. Asking
    again renews it as long as the lease lasts.
    """

    kind: Literal["kubeconfig", "server", "vm", "ssh", "environment", "token"]
    facts: Mapping[str, str] = {}
    secrets: Mapping[str, str] = {}
    expires_at: str | None = None
