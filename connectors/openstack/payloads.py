"""What the services answer, as far as ocenter reads it. Field names are theirs.

Sources: the API references of Cyborg (v2), Placement (1.29) and Nova (2.53), and answers recorded from the services.
"""

from typing import Any

from msgspec import Struct, field

# --- Cyborg -----------------------------------------------------------------------------------------------------------


class Deployable(Struct, kw_only=True):
    """What can be given out as one: a card, or the slots of a card. ``attributes_list`` is JSON inside a string."""

    uuid: str
    name: str | None = None
    num_accelerators: int = 1
    rp_uuid: str | None = None
    attributes_list: Any = None
    driver_name: str | None = None
    created_at: str | None = None


class CyborgDevice(Struct, kw_only=True):
    """A card. ``std_board_info`` is JSON inside a string; ``status`` is there from microversion 2.3 on."""

    uuid: str
    hostname: str | None = None
    type: str | None = None
    vendor: str | None = None
    model: str | None = None
    std_board_info: Any = None
    status: str | None = None


class Request(Struct, kw_only=True):
    """An accelerator request (ARQ): one slot that somebody asked for, and where it is bound."""

    uuid: str
    state: str | None = None
    device_profile_name: str | None = None
    device_rp_uuid: str | None = None
    instance_uuid: str | None = None
    project_id: str | None = None


class Deployables(Struct):
    """GET /deployables."""

    deployables: list[Deployable]


class Devices(Struct):
    """GET /devices."""

    devices: list[CyborgDevice]


class Requests(Struct):
    """GET /accelerator_requests."""

    arqs: list[Request]


# --- Placement --------------------------------------------------------------------------------------------------------


class Provider(Struct, kw_only=True):
    """A resource provider: a host (root) or something in it."""

    uuid: str
    name: str
    root_provider_uuid: str
    parent_provider_uuid: str | None = None


class Providers(Struct):
    """GET /resource_providers."""

    resource_providers: list[Provider]


class Amount(Struct):
    """How many of a resource class can be given out in all (reserved ones are left out) and how many are."""

    capacity: int
    used: int


class Summary(Struct, kw_only=True):
    """One provider, by resource class."""

    resources: dict[str, Amount] = {}
    traits: list[str] = []


class Candidates(Struct):
    """GET /allocation_candidates: the summaries cover every provider of a tree that has a candidate."""

    provider_summaries: dict[str, Summary]


class Inventory(Struct, kw_only=True):
    """One resource class of one provider."""

    total: int
    reserved: int = 0
    allocation_ratio: float = 1.0


class Inventories(Struct):
    """GET /resource_providers/{uuid}/inventories."""

    inventories: dict[str, Inventory]


class Usages(Struct):
    """GET /resource_providers/{uuid}/usages."""

    usages: dict[str, int]


class Traits(Struct):
    """GET /resource_providers/{uuid}/traits."""

    traits: list[str]


class Taken(Struct):
    """What one consumer takes of one provider."""

    resources: dict[str, int]


class Allocations(Struct):
    """GET /resource_providers/{uuid}/allocations: by consumer."""

    allocations: dict[str, Taken]


class Consumer(Struct):
    """GET /allocations/{uuid}. ``consumer_type`` is there from microversion 1.38 on; all is absent once it is gone."""

    project_id: str = ""
    consumer_type: str = ""


# --- Nova -------------------------------------------------------------------------------------------------------------


class ServiceOf(Struct, kw_only=True):
    """The nova-compute service of a hypervisor."""

    host: str = ""
    disabled_reason: str | None = None


class Hypervisor(Struct, kw_only=True):
    """A host as Nova sees it. ``id`` is the uuid of its resource provider (microversion 2.53 and newer)."""

    id: str
    state: str = ""
    status: str = ""
    hypervisor_type: str = ""
    service: ServiceOf = field(default_factory=ServiceOf)


class Hypervisors(Struct):
    """GET /os-hypervisors/detail."""

    hypervisors: list[Hypervisor]
    hypervisors_links: list[dict[str, str]] = []


class ComputeService(Struct, kw_only=True):
    """A nova-compute service and its availability zone."""

    host: str
    zone: str | None = None


class ComputeServices(Struct):
    """GET /os-services."""

    services: list[ComputeService]


class Server(Struct, kw_only=True):
    """A server by name."""

    id: str
    name: str | None = None


class Servers(Struct):
    """GET /servers."""

    servers: list[Server]
    servers_links: list[dict[str, str]] = []
