"""One look at a cloud: which calls are made.

Their number does not grow with the fleet: Cyborg and Nova answer with whole lists, and one question to Placement (which
hosts could give 1 MiB of memory?) is answered with capacity, use and traits of every provider of these hosts. Only what
that leaves open is asked one by one: hosts that are given out to the last MiB, CPU and GB, and who uses a card without
a request in Cyborg.
"""

from typing import TypeVar

from connectors.contract import Denied, Permanent
from connectors.openstack import cards
from connectors.openstack.client import Cloud, marker_of
from connectors.openstack.payloads import (
    Allocations,
    Amount,
    Candidates,
    ComputeServices,
    Consumer,
    Deployable,
    Deployables,
    Devices,
    Hypervisors,
    Inventories,
    Profiles,
    Provider,
    Providers,
    Requests,
    Summary,
    Traits,
    Usages,
)
from connectors.openstack.snapshot import Compute, Snapshot

T = TypeVar("T")

# Newest first. Cyborg before 2.3 does not tell the status of a device, Placement before 1.38 not the consumer's type.
CYBORG = ("2.3", "2.0")
PLACEMENT = ("1.29",)
CONSUMERS = ("1.38", "1.29")
NOVA = "2.53"
OUR_PREFIX = "oc-"

_HOST_CLASSES = ("MEMORY_MB", "VCPU", "DISK_GB")
"""A host that has none left of one of these may have some of the next."""
_UNREADABLE = ("forbidden", "not_found")


def look(cloud: Cloud, installation: str = "") -> Snapshot:
    """Read everything once. Raises a ConnectorError when a service that is needed does not answer or forbids it."""
    endpoint = cloud.endpoint("placement")
    region = endpoint.region if endpoint else ""
    seen = Snapshot(region=region, installation=installation, has_cyborg=cloud.has("accelerator"))
    if seen.has_cyborg:
        seen.deployables = cloud.get("accelerator", "/deployables", Deployables, versions=CYBORG).deployables
        seen.devices = cloud.get("accelerator", "/devices", Devices, versions=CYBORG).devices
        seen.requests = cloud.get("accelerator", "/accelerator_requests", Requests, versions=CYBORG).arqs
        if any((request.device_profile_name or "").startswith(OUR_PREFIX) for request in seen.requests):
            found = cloud.get("accelerator", "/device_profiles", Profiles, versions=CYBORG).device_profiles
            seen.profiles = {profile.name: profile.description or "" for profile in found}
        seen.sees_all_requests = "admin" in cloud.roles
        if not seen.sees_all_requests:
            seen.warnings.append("Without the role admin, Cyborg shows the requests of this account's project only.")
    else:
        seen.warnings.append("The catalog has no accelerator service: only cards that Nova manages are seen.")
    providers = cloud.get("placement", "/resource_providers", Providers, versions=PLACEMENT).resource_providers
    seen.providers = {provider.uuid: provider for provider in providers}
    _read_summaries(cloud, seen)
    seen.compute = _compute(cloud, seen.warnings)
    _read_what_is_open(cloud, seen)
    return seen


def candidates(resource_class: str) -> str:
    """Return the path that asks which hosts could give one unit. The answer has every provider of these hosts."""
    return f"/allocation_candidates?resources={resource_class}:1"


def _read_summaries(cloud: Cloud, seen: Snapshot) -> None:
    roots = {each.uuid for each in seen.providers.values() if each.parent_provider_uuid is None}
    for resource_class in _HOST_CLASSES:
        if roots <= seen.summaries.keys():
            return
        path = candidates(resource_class)
        found = cloud.get("placement", path, Candidates, versions=PLACEMENT).provider_summaries
        seen.summaries = {**found, **seen.summaries}


def _compute(cloud: Cloud, warnings: list[str]) -> Compute:
    why = "the catalog has no compute service"
    if cloud.has("compute"):
        try:
            return _of_nova(cloud)
        except Permanent as error:
            if error.code not in _UNREADABLE:
                raise
            is_denied = isinstance(error, Denied)
            why = "the account may not list Nova's hypervisors and services" if is_denied else "no Nova answers"
    warnings.append(f"Whether hosts are alive is not known: {why}. All count as available.")
    return Compute()


def _of_nova(cloud: Cloud) -> Compute:
    hosts = cloud.pages(
        "compute",
        "/os-hypervisors/detail",
        Hypervisors,
        version=NOVA,
        marker=lambda page: marker_of(page.hypervisors_links),
    )
    services = cloud.get("compute", "/os-services?binary=nova-compute", ComputeServices, versions=(NOVA,)).services
    return Compute(
        hypervisors={host.id: host for page in hosts for host in page.hypervisors},
        zones={service.host: service.zone for service in services},
    )


# --- one by one, where the lists leave something open -----------------------------------------------------------------


def _read_what_is_open(cloud: Cloud, seen: Snapshot) -> None:
    bound = {provider: len(requests) for provider, requests in seen.bound().items()}
    joined = {each.rp_uuid: each for each in seen.deployables if each.rp_uuid}
    for provider in list(seen.providers.values()):
        deployable = joined.get(provider.uuid)
        try:
            _read_amounts(cloud, seen, provider, deployable, bound.get(provider.uuid, 0))
            summary = seen.summaries.get(provider.uuid, Summary())
            used = sum(amount.used for amount in summary.resources.values())
            is_card = deployable is not None or cards.nova_class(provider, summary) is not None
            if is_card and used > bound.get(provider.uuid, 0):
                _read_holders(cloud, seen, provider.uuid)
        except Permanent as error:
            if error.code != "not_found":
                raise
            del seen.providers[provider.uuid]  # it vanished since the list


def _read_amounts(
    cloud: Cloud, seen: Snapshot, provider: Provider, deployable: Deployable | None, bound_count: int
) -> None:
    summary = seen.summaries.get(provider.uuid)
    if summary is not None:
        is_reserved = deployable is None and any(amount.capacity < 1 for amount in summary.resources.values())
        if is_reserved and cards.nova_class(provider, summary):
            _read_inventories(cloud, seen, provider.uuid)
        return
    known_class = cards.of_deployable(deployable, None).resource_class if deployable is not None else ""
    if deployable is not None and known_class and deployable.num_accelerators == 1 and bound_count:
        # The commonest case on a host that is given out whole: the request says all there is to say.
        seen.summaries[provider.uuid] = Summary(resources={known_class: Amount(1, 1)})
        return
    if deployable is None and not cards.may_be_nova_card(provider) and not _may_be_host(seen, provider):
        return
    inventories = _read_inventories(cloud, seen, provider.uuid)
    seen.summaries[provider.uuid] = _summary(cloud, provider.uuid, inventories, has_traits=not known_class)


def summary(cloud: Cloud, provider: str) -> Summary | None:
    """Return what one provider has, or None when there is no such provider."""
    try:
        return _summary(cloud, provider, _of(cloud, provider, "inventories", Inventories), has_traits=True)
    except Permanent as error:
        if error.code != "not_found":
            raise
        return None


def _summary(cloud: Cloud, provider: str, inventories: Inventories, *, has_traits: bool) -> Summary:
    usages = _of(cloud, provider, "usages", Usages).usages
    return Summary(
        resources={
            name: Amount(int((each.total - each.reserved) * each.allocation_ratio), usages.get(name, 0))
            for name, each in inventories.inventories.items()
        },
        traits=_of(cloud, provider, "traits", Traits).traits if has_traits else [],
    )


def _may_be_host(seen: Snapshot, provider: Provider) -> bool:
    if provider.parent_provider_uuid is not None:
        return False
    hypervisor = seen.compute.hypervisors.get(provider.uuid)
    return hypervisor is None or hypervisor.hypervisor_type != "ironic"


def _read_inventories(cloud: Cloud, seen: Snapshot, provider: str) -> Inventories:
    found = _of(cloud, provider, "inventories", Inventories)
    seen.totals[provider] = {name: each.total for name, each in found.inventories.items()}
    return found


def _read_holders(cloud: Cloud, seen: Snapshot, provider: str) -> None:
    taken = _of(cloud, provider, "allocations", Allocations).allocations
    seen.holders[provider] = {consumer: sum(each.resources.values()) for consumer, each in taken.items()}
    for consumer in taken.keys() - seen.consumers.keys():
        path = f"/allocations/{consumer}"
        seen.consumers[consumer] = cloud.get("placement", path, Consumer, versions=CONSUMERS)


def _of(cloud: Cloud, provider: str, what: str, into: type[T]) -> T:
    return cloud.get("placement", f"/resource_providers/{provider}/{what}", into, versions=PLACEMENT)
