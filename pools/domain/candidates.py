"""One read of what is free: all that a decision may look at, so that the same read always gives the same decision."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, Literal, NamedTuple
from uuid import UUID

from msgspec import Struct

from pools.domain.chips import Entry
from pools.domain.packing import Prices
from pools.domain.profiles import Layout

Grain = Literal["device", "node", "pool"]
Kind = Literal["cards", "counter", "host"]
# What a pool can be asked for: whole devices, pieces by profile, shares of a card, hosts without a device.
Form = Literal["whole", "profile", "share", "cpu"]
FORMS: Final[frozenset[Form]] = frozenset({"whole", "profile", "share", "cpu"})


class Card(NamedTuple):
    """What is free at one position of a capacity row; a counter has one, with what is free of all its units.

    ``group`` is the link group, empty when none is known. ``pieces`` are the profiles placed on the card. Bookings:
    a lease that is longer than ``booked_in_seconds`` from now on finds only ``later_milli`` and ``later_mib`` free;
    None: no booking.
    """

    position: int
    free_milli: int
    free_mib: int
    total_milli: int = 1000
    total_mib: int = 0
    group: str = ""
    pieces: Layout = ()
    booked_in_seconds: int | None = None
    later_milli: int = 0
    later_mib: int = 0


class Candidate(Struct, frozen=True, kw_only=True):
    """A capacity row that a claim could take from, as it was read.

    ``model`` is None for a resource that covers several models. ``node_id`` is None for a pool's own counter. Of a
    ``host`` row there are no cards. ``host_id`` is the host's capacity row, None where the platform tells nothing of
    CPU and memory; rows of one node give the same numbers, and what is booked of them as a card does. ``domains`` are
    the names of the node's region, zone, rack and what else is known. ``is_advisory`` rows only show whether a shape
    fits now; claims go to the pool's counter.
    ``alike`` is how many nodes this row stands for, itself included; no node is stood for twice in one read.
    ``units`` is how many devices that work the row has where ``cards`` are only those of which something is free; 0:
    these.
    """

    capacity_id: UUID
    pool_id: UUID
    node_id: UUID | None = None
    node_name: str = ""
    kind: Kind = "cards"
    model: str | None = None
    profile: str | None = None
    resource: str = ""
    unit_milli: int = 1000
    cards: tuple[Card, ...] = ()
    host_id: UUID | None = None
    cpu_free_milli: int = 0
    memory_free_mib: int = 0
    host_booked_in_seconds: int | None = None
    cpu_later_milli: int = 0
    memory_later_mib: int = 0
    domains: Mapping[str, str] = {}
    state_key: int = 0
    alike: int = 1
    units: int = 0
    is_advisory: bool = False


class PoolView(Struct, frozen=True, kw_only=True):
    """A pool as placement sees it.

    ``prices`` are per hour and device by (model, None), per hour and piece by (model, profile); ``flavor_prices`` per
    hour and member. ``forms`` are what its platform can give out. ``is_granted`` says whether the project may use it.
    ``is_done_at_once``: nothing has to be asked of its platform, so that what is claimed is had.
    """

    id: UUID
    name: str
    kind: str = ""
    grain: Grain = "device"
    region: str = ""
    labels: Mapping[str, str] = {}
    is_stale: bool = False
    state: str = "active"
    is_granted: bool = True
    is_done_at_once: bool = False
    forms: frozenset[Form] = FORMS
    prices: Mapping[tuple[str, str | None], Decimal] = {}
    flavor_prices: Mapping[str, Decimal] = {}


class Unobserved(Struct, frozen=True, kw_only=True):
    """Claims of a pool without nodes that its platform does not show as used yet: ``count`` members, all alike.

    Each has so many devices of ``milli`` and ``mib``; 0 MiB is in proportion to the milli.
    """

    pool_id: UUID
    model: str | None
    profile: str | None = None
    devices: int = 1
    milli: int = 1000
    mib: int = 0
    cpu_milli: int = 0
    memory_mib: int = 0
    count: int = 1


class End(Struct, frozen=True, kw_only=True):
    """A claim whose lease ends: what becomes free where, in how many seconds from the read."""

    capacity_id: UUID
    in_seconds: int
    positions: tuple[int, ...] = ()
    milli: int = 0
    mib: int = 0
    pieces: Layout = ()  # one for each position, where it is a profile's
    cpu_milli: int = 0
    memory_mib: int = 0


class View(Struct, frozen=True, kw_only=True, eq=False):
    """All of one read. ``is_exhausted`` says that there are no further rows that could fit.

    ``prices`` are what a unit of each kind's room is worth, of ``prices_version``. ``chips`` is the catalogue by slug.
    """

    pools: tuple[PoolView, ...]
    candidates: tuple[Candidate, ...]
    chips: Mapping[str, Entry] = {}
    prices: Prices
    prices_version: int = 0
    unobserved: tuple[Unobserved, ...] = ()
    ends: tuple[End, ...] = ()
    is_exhausted: bool = True
