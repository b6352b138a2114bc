"""The few fields that ocenter reads of Kubernetes objects; msgspec skips all others while it decodes.

Source: Kubernetes API reference v1.36 (core/v1 Node, Pod, Namespace, ConfigMap; resource.k8s.io/v1 and its betas).
"""

from typing import Generic, TypeVar

from msgspec import Raw, Struct, field

Amounts = dict[str, str]
"""Resource name to quantity, as the API writes it."""


class Payload(Struct, rename="camel", gc=False):
    """Base of all payloads. They form trees and never cycles, so the garbage collector need not look at them."""


class ListMeta(Payload):
    resource_version: str
    next_page: str = field(name="continue", default="")


Item = TypeVar("Item")


class ObjectList(Payload, Generic[Item]):
    """One page of a list. ``kind`` and ``metadata`` are demanded: an empty ``{}`` must never pass as an empty list."""

    kind: str
    metadata: ListMeta
    items: list[Item] | None


class Labels(Payload):
    """Our own marks on a namespace."""

    allocation: str = field(name="ocenter.io/allocation", default="")
    installation: str = field(name="ocenter.io/installation", default="")


class Meta(Payload):
    name: str
    uid: str = ""
    namespace: str = ""
    labels: Labels = field(default_factory=Labels)
    annotations: dict[str, str] = {}


class Namespace(Payload):
    metadata: Meta


class Version(Payload):
    git_version: str


class GroupVersion(Payload):
    version: str


class ApiGroup(Payload):
    name: str
    versions: list[GroupVersion] = []


class ApiGroupList(Payload):
    groups: list[ApiGroup]


class ConfigMap(Payload):
    metadata: Meta
    data: dict[str, str] = {}


class ReviewStatus(Payload):
    allowed: bool = False


class AccessReview(Payload):
    status: ReviewStatus


class TokenStatus(Payload):
    token: str
    expiration_timestamp: str


class IssuedToken(Payload):
    """The answer to a TokenRequest."""

    status: TokenStatus


# --- nodes ------------------------------------------------------------------------------------------------------------


class Taint(Payload):
    key: str
    value: str = ""
    effect: str = ""


class NodeMeta(Payload):
    name: str
    uid: str
    deletion_timestamp: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class NodeSpec(Payload):
    unschedulable: bool = False
    taints: list[Taint] = []


class Condition(Payload):
    type: str
    status: str
    reason: str = ""
    message: str = ""


class NodeSystem(Payload):
    system_uuid: str = field(name="systemUUID", default="")


class NodeStatus(Payload):
    capacity: Amounts = {}
    allocatable: Amounts = {}
    conditions: list[Condition] = []
    node_info: NodeSystem = field(default_factory=NodeSystem)


class Node(Payload):
    metadata: NodeMeta
    spec: NodeSpec = field(default_factory=NodeSpec)
    status: NodeStatus = field(default_factory=NodeStatus)


# --- pods -------------------------------------------------------------------------------------------------------------


class Requirements(Payload):
    requests: Amounts = {}


class Container(Payload):
    name: str
    restart_policy: str = ""
    resources: Requirements = field(default_factory=Requirements)


class PodSpec(Payload):
    containers: list[Container] = []
    init_containers: list[Container] = []
    node_name: str = ""
    overhead: Amounts = {}
    resources: Requirements = field(default_factory=Requirements)


class RequestMapping(Payload):
    container_name: str
    resource_name: str


class ExtendedResourceClaim(Payload):
    request_mappings: list[RequestMapping] = []


class PodStatus(Payload):
    phase: str = ""
    extended_resource_claim_status: ExtendedResourceClaim | None = None


class Pod(Payload):
    metadata: Meta
    spec: PodSpec
    status: PodStatus = field(default_factory=PodStatus)


# --- dynamic resource allocation --------------------------------------------------------------------------------------


class Attribute(Payload):
    """One of the four is set."""

    string: str | None = None
    version: str | None = None
    int_: int | None = field(name="int", default=None)
    bool_: bool | None = field(name="bool", default=None)


class Amount(Payload):
    value: str


class Consumption(Payload):
    counter_set: str
    counters: dict[str, Amount] = {}


class BasicDevice(Payload):
    """Where v1beta1 keeps what later versions have in the device itself."""

    attributes: dict[str, Attribute] = {}
    capacity: dict[str, Amount] = {}
    consumes_counters: list[Consumption] = []
    taints: list[Taint] = []
    node_name: str = ""


class Device(BasicDevice):
    name: str = ""
    basic: BasicDevice | None = None


class SlicePool(Payload):
    name: str
    generation: int = 0
    resource_slice_count: int = 1


class CounterSet(Payload):
    name: str
    counters: dict[str, Amount] = {}


class SliceSpec(Payload):
    driver: str
    pool: SlicePool
    node_name: str = ""
    devices: list[Device] = []
    shared_counters: list[CounterSet] = []


class ResourceSlice(Payload):
    metadata: Meta
    spec: SliceSpec


class AllocatedDevice(Payload):
    driver: str
    pool: str
    device: str
    admin_access: bool = False
    consumed_capacity: dict[str, str] = {}


class AllocatedDevices(Payload):
    results: list[AllocatedDevice] = []


class Allocation(Payload):
    devices: AllocatedDevices = field(default_factory=AllocatedDevices)


class Consumer(Payload):
    resource: str = ""
    name: str = ""
    uid: str = ""


class ClaimStatus(Payload):
    allocation: Allocation | None = None
    reserved_for: list[Consumer] = []


class ResourceClaim(Payload):
    metadata: Meta
    status: ClaimStatus = field(default_factory=ClaimStatus)


# --- watches ----------------------------------------------------------------------------------------------------------


class WatchLine(Payload):
    type: str
    object: Raw


class WatchedMeta(Payload):
    resource_version: str = ""
    annotations: dict[str, str] = {}


class Watched(Payload):
    metadata: WatchedMeta = field(default_factory=WatchedMeta)
    code: int = 0
    message: str = ""
