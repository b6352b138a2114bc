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
    hostname: str | None = None
    attach_handle_info: Any = None

    @property
    def address(self) -> str:
        """The PCI address of what is bound, empty where it has none."""
        info = self.attach_handle_info
        try:
            return "{domain}:{bus}:{device}.{function}".format_map(info if isinstance(info, dict) else {})
        except KeyError:
            return ""


class Profile(Struct, kw_only=True):
    """A device profile: what a request asks for. ``description`` is ours to mark it; ``groups`` are its resources."""

    uuid: str
    name: str
    description: str | None = None
    groups: list[dict[str, str]] = []


class Deployables(Struct):
    """GET /deployables."""

    deployables: list[Deployable]


class Devices(Struct):
    """GET /devices."""

    devices: list[CyborgDevice]


class Requests(Struct):
    """GET /accelerator_requests."""

    arqs: list[Request]


class Profiles(Struct):
    """GET /device_profiles."""

    device_profiles: list[Profile]


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
    """GET /allocations/{uuid}, by provider. ``consumer_type`` is there from 1.38 on; all is absent once it is gone."""

    project_id: str = ""
    user_id: str = ""
    consumer_type: str = ""
    consumer_generation: int | None = None
    allocations: dict[str, Taken] = {}


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


class Fault(Struct, kw_only=True):
    """Why a server is in ERROR; it may come after the status."""

    message: str = ""


class Address(Struct, kw_only=True):
    """An address of a server in one of its networks."""

    addr: str


class ServerFlavor(Struct, kw_only=True):
    """The flavor as it was when the server was made (2.47 and newer)."""

    vcpus: int | None = None
    ram: int | None = None


class Server(Struct, kw_only=True):
    """A server; ``metadata`` is its owner's. One that was never built has no ``launched_at``, and maybe no host.

    ``hypervisor`` is told to admins only.
    """

    id: str
    name: str = ""
    status: str = ""
    metadata: dict[str, str] = {}
    addresses: dict[str, list[Address]] = {}
    flavor: ServerFlavor = field(default_factory=ServerFlavor)
    fault: Fault = field(default_factory=Fault)
    launched_at: str | None = field(default=None, name="OS-SRV-USG:launched_at")
    hypervisor: str | None = field(default=None, name="OS-EXT-SRV-ATTR:hypervisor_hostname")
    task: str | None = field(default=None, name="OS-EXT-STS:task_state")

    @property
    def is_going(self) -> bool:
        """Whether it is being deleted. Its cards are let go before it is out of the list."""
        return self.status == "DELETED" or self.task == "deleting"


class Servers(Struct):
    """GET /servers/detail."""

    servers: list[Server]


class Flavor(Struct, kw_only=True):
    """What servers there can be. ``description`` from 2.55, ``extra_specs`` from 2.61 on."""

    description: str | None = None
    vcpus: int = 0
    ram: int = 0
    disk: int = 0
    extra_specs: dict[str, str] = {}


class FlavorOf(Struct):
    """GET /flavors/{id}."""

    flavor: Flavor
