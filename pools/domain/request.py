"""A request for capacity: the body of an allocation as checked values, with the defaults of the API.

``request_body`` reads it from JSON and ``request_rules`` says what is wrong with it; here is only what it is. It is
stored without what nobody asked for, which ``complete`` adds: so a default, once given, stays what it is.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal

from msgspec import Struct

Mode = Literal["claim", "hold"]
WHOLE_MILLI: Final = 1000


class Choice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Devices that would do: one model, or every model with these properties. ``profile`` asks for a piece of one."""

    model: str | None = None
    profile: str | None = None
    vendor: str | None = None
    memory_mib_min: int | None = None
    interconnect: str | None = None
    runtime: str | None = None


class Share(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of one card. Without ``memory_mib`` the memory follows the milli in proportion."""

    milli: int
    memory_mib: int | None = None


class PerMember(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a member takes of its host beside devices."""

    cpu_milli: int = 0
    memory_mib: int = 0


class Level(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A level of the topology: ``link-group`` for devices; ``node``, ``rack``, ``zone``, ``region`` ... for members."""

    level: str
    required: bool = False


class Avoid(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Names or ids of what not to use."""

    nodes: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()


class Topology(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How near to each other, or how far apart.

    ``devices``: those of one member within one such domain. ``members``: all within one such domain. ``spread``: each
    in another such domain where required, else as evenly as possible.
    """

    devices: Level | None = None
    members: Level | None = None
    spread: Level | None = None
    avoid: Avoid = Avoid()


class PoolSelector(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which pools may be used; null means any. ``labels`` is a selector such as ``tier=prod,!old``."""

    names: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None
    regions: tuple[str, ...] | None = None
    labels: str | None = None


class Access(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who gets in, where ocenter makes the machine."""

    ssh_keys: tuple[str, ...] = ()


class Wanted(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request. A member is one node's share of it; ``devices_per_member`` 0 asks for CPU and memory alone.

    ``any_of`` is in order of preference: the first that fits is taken. ``lease_seconds`` null is open-ended.
    ``notice_seconds`` and ``min_run_seconds`` are what a preemptible one is promised. ``before_end_seconds`` is the
    time that it gets to save before it ends, 0 none.
    """

    project: str = ""
    name: str = ""
    mode: Mode = "claim"
    hold_seconds: int | None = None
    members: int = 1
    devices_per_member: int = 1
    flavor: str | None = None
    any_of: tuple[Choice, ...] = ()
    share: Share | None = None
    per_member: PerMember = PerMember()
    topology: Topology = Topology()
    pools: PoolSelector = PoolSelector()
    policy: str = "pack"
    max_price_per_hour: Decimal | None = None
    lease_seconds: int | None = None
    start_at: datetime | None = None
    queue: bool = False
    priority: int = 50
    preemptible: bool = False
    notice_seconds: int = 0
    min_run_seconds: int = 0
    before_end_seconds: int = 0
    consumer_pool: str | None = None
    target: Mapping[str, Any] = {}
    access: Access = Access()
    labels: Mapping[str, str] = {}

    @property
    def devices(self) -> int:
        """All devices, pieces or shares that it asks for."""
        return self.members * self.devices_per_member


def complete(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored request with all defaults, in the values of JSON."""
    found = _over(_ALL, stored)
    found["any_of"] = [_CHOICE | choice for choice in found["any_of"]]
    found["share"] = found["share"] and _SHARE | found["share"]
    for name in ("devices", "members", "spread"):
        found["topology"][name] = found["topology"][name] and _LEVEL | found["topology"][name]
    return found


def _defaults(value: Any) -> Any:
    if isinstance(value, Struct):
        return {name: _defaults(getattr(value, name)) for name in value.__struct_fields__}
    return list(value) if isinstance(value, tuple) else value


def _over(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    inner = {name: _over(value, given.get(name, {})) for name, value in defaults.items() if isinstance(value, dict)}
    return {**defaults, **given, **inner}


_ALL: Final = _defaults(Wanted())
_CHOICE: Final = _defaults(Choice())
_SHARE: Final = {"memory_mib": None}
_LEVEL: Final = {"required": False}
