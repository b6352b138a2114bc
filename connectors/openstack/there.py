"""What there is of one target: a consumer in Placement and Cyborg, or a server of Nova."""

from collections.abc import Sequence

from msgspec import Struct

from connectors.contract import Permanent, Target
from connectors.openstack import marks
from connectors.openstack.client import Cloud
from connectors.openstack.marks import Mark
from connectors.openstack.payloads import (
    Consumer,
    Flavor,
    FlavorOf,
    Profile,
    Profiles,
    Request,
    Requests,
    Server,
    Servers,
)

CONSUMERS = ("1.38",)
CYBORG = ("2.3", "2.0")
NOVA = ("2.90",)
KEY = "ocenter"
"""The key of our marker in a server's metadata."""
BOUND, STARTED = "Bound", "BindStarted"


class There(Struct, frozen=True, kw_only=True):
    """What there is of one target: the consumer, its requests (bound or not), its profile and whether they are ours."""

    uuid: str
    consumer: Consumer
    requests: list[Request]
    profile: Profile | None = None

    @property
    def mark(self) -> Mark | None:
        """The marker on the allocation."""
        return marks.read(self.consumer.user_id)

    @property
    def of_profile(self) -> Mark | None:
        """The marker on the device profile."""
        return marks.read(self.profile.description) if self.profile else None

    @property
    def units(self) -> dict[str, int]:
        """Units by provider."""
        return {provider: sum(each.resources.values()) for provider, each in self.consumer.allocations.items()}

    @property
    def held(self) -> dict[str, dict[str, int]]:
        """Units by provider and class."""
        return {provider: each.resources for provider, each in self.consumer.allocations.items()}

    @property
    def bound(self) -> list[Request]:
        """Requests with our consumer as their instance, in whatever state."""
        return [request for request in self.requests if request.instance_uuid == self.uuid]

    @property
    def loose(self) -> list[Request]:
        """Requests of our profile that nobody has."""
        return [request for request in self.requests if request.instance_uuid is None]

    @property
    def is_there(self) -> bool:
        """Whether anything is."""
        return bool(self.consumer.allocations or self.requests or self.profile)

    def is_bound_to(self, slots: Sequence[str]) -> bool:
        """Whether exactly these slots are bound, each by one request."""
        return [BOUND] * len(slots) == [each.state for each in self.bound] and sorted(
            each.device_rp_uuid or "" for each in self.bound
        ) == list(slots)

    def is_of(self, installation: str) -> bool:
        """Whose it is: by the markers. Of our type without a marker it is ours too: its uuid is made of our id."""
        is_of_our_type = not self.consumer.allocations or self.consumer.consumer_type == marks.OURS
        known = [mark for mark in (self.mark, self.of_profile) if mark is not None]
        return is_of_our_type and all(mark.installation == installation for mark in known)


def read(cloud: Cloud, target: Target) -> There:
    """Ask the services. One call of Placement, two of Cyborg: it filters neither requests nor profiles itself."""
    uuid = marks.consumer(target)
    consumer = cloud.get("placement", f"/allocations/{uuid}", Consumer, versions=CONSUMERS)
    if not cloud.has("accelerator"):
        return There(uuid=uuid, consumer=consumer, requests=[])
    requests = cloud.get("accelerator", "/accelerator_requests", Requests, versions=CYBORG).arqs
    path = f"/device_profiles?name={target.ref}"
    profiles = cloud.get("accelerator", path, Profiles, versions=CYBORG).device_profiles
    return There(
        uuid=uuid,
        consumer=consumer,
        requests=[each for each in requests if each.instance_uuid == uuid or each.device_profile_name == target.ref],
        profile=next((profile for profile in profiles if profile.name == target.ref), None),
    )


class Made(Struct, frozen=True, kw_only=True):
    """What there is of a server: more than one only after two writers at once. ``requests`` are the first one's.

    Those that are being deleted come last.
    """

    servers: list[Server]
    flavor: Flavor | None = None
    profile: Profile | None = None
    requests: list[Request] = []

    @property
    def is_there(self) -> bool:
        """Whether anything is."""
        return bool(self.servers or self.flavor or self.profile)

    @property
    def server(self) -> Server | None:
        """The one that counts."""
        return self.servers[0] if self.servers else None

    @property
    def mark(self) -> Mark | None:
        """The marker on the server."""
        return marks.read(self.servers[0].metadata.get(KEY)) if self.servers else None

    def is_of(self, installation: str) -> bool:
        """Whether something there carries the installation's marker, and nothing another one's."""
        texts = [server.metadata.get(KEY) for server in self.servers]
        texts += [each.description for each in (self.flavor, self.profile) if each is not None]
        known = [mark for text in texts if (mark := marks.read(text)) is not None]
        return bool(known) and all(mark.installation == installation for mark in known)


def made(cloud: Cloud, target: Target) -> Made:
    """Ask Nova and Cyborg for a server and what belongs to it, by name. Four calls."""
    listed = cloud.get("compute", f"/servers/detail?name={target.ref}", Servers, versions=NOVA).servers
    named = (each for each in listed if each.name == target.ref)
    servers = sorted(named, key=lambda each: (each.is_going, each.id))
    path = f"/device_profiles?name={target.ref}"
    profiles = cloud.get("accelerator", path, Profiles, versions=CYBORG).device_profiles
    requests: list[Request] = []
    if servers:
        path = f"/accelerator_requests?instance={servers[0].id}"
        requests = cloud.get("accelerator", path, Requests, versions=CYBORG).arqs
    return Made(
        servers=servers,
        flavor=_flavor(cloud, target),
        profile=next((profile for profile in profiles if profile.name == target.ref), None),
        requests=[each for each in requests if servers and each.instance_uuid == servers[0].id],
    )


def _flavor(cloud: Cloud, target: Target) -> Flavor | None:
    try:
        return cloud.get("compute", f"/flavors/{target.ref}", FlavorOf, versions=NOVA).flavor
    except Permanent as error:
        if error.code != "not_found":
            raise
        return None


def guard(there: There | Made, name: str, installation: str, target: Target) -> None:
    """Raise Permanent ``not_ours`` or ``stale_generation`` where an order must not touch what is there."""
    if there.is_there and not there.is_of(installation):
        raise Permanent(
            f"The {name} was not made by this installation. Nothing was changed; whoever made it has to remove it.",
            code="not_ours",
        )
    if there.mark is not None and there.mark.generation > target.generation:
        raise Permanent(
            f"The {name} carries generation {there.mark.generation}, newer than {target.generation}. Nothing was "
            "changed; the order is out of date.",
            code="stale_generation",
        )
