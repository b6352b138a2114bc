"""Which permissions of the account are missing, in the words of the services' policies."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from connectors.contract import Denied, Permanent, Tier
from connectors.openstack import reading
from connectors.openstack.client import Cloud
from connectors.openstack.there import CONSUMERS, CYBORG, NOVA

NOBODY = "00000000-0000-0000-0000-000000000000"
_OF_NOBODY = f"/resource_providers/{NOBODY}"
_VERSIONS = {"placement": CONSUMERS, "accelerator": CYBORG, "compute": NOVA}


class Ask(Struct, frozen=True):
    """A read that shows whether a policy lets us; the answer itself does not matter."""

    service: str
    path: str
    versions: tuple[str, ...]
    policy: str


class Change(Struct, frozen=True):
    """A change that changes nothing and shows whether a policy lets us."""

    service: str
    method: str
    path: str
    body: Any
    policy: str


# A provider that does not exist answers 404 to those who may ask and 403 to those who may not.
_ONE_CANDIDATE = f"{reading.candidates('MEMORY_MB')}&limit=1"
WATCH = (
    Ask("placement", f"/resource_providers?uuid={NOBODY}", reading.PLACEMENT, "placement:resource_providers:list"),
    Ask(
        "placement",
        _ONE_CANDIDATE,
        reading.PLACEMENT,
        "placement:allocation_candidates:list",
    ),
    Ask("placement", f"{_OF_NOBODY}/inventories", reading.PLACEMENT, "placement:resource_providers:inventories:list"),
    Ask("placement", f"{_OF_NOBODY}/usages", reading.PLACEMENT, "placement:resource_providers:usages"),
    Ask("placement", f"{_OF_NOBODY}/traits", reading.PLACEMENT, "placement:resource_providers:traits:list"),
    Ask("placement", f"{_OF_NOBODY}/allocations", reading.PLACEMENT, "placement:resource_providers:allocations:list"),
    Ask("placement", f"/allocations/{NOBODY}", reading.CONSUMERS, "placement:allocations:list"),
    Ask("accelerator", "/deployables", reading.CYBORG, "cyborg:deployable:get_all"),
    Ask("accelerator", "/devices", reading.CYBORG, "cyborg:device:get_all"),
    Ask("accelerator", "/accelerator_requests", reading.CYBORG, "cyborg:arq:get_all"),
)
LIVENESS = (
    Ask("compute", "/os-hypervisors/detail?limit=1", (reading.NOVA,), "os_compute_api:os-hypervisors:list-detail"),
    Ask("compute", "/os-services?binary=nova-compute", (reading.NOVA,), "os_compute_api:os-services:list"),
)
_NO_PROFILE = {"device_profile_name": f"oc-{NOBODY}"}
MANAGE = (
    Change(
        "placement", "PUT", f"/allocations/{NOBODY}", {}, "placement:allocations:update (by default the role admin)"
    ),
    Change("accelerator", "POST", "/device_profiles", [], "cyborg:device_profile:create (by default the role admin)"),
    Change(
        "accelerator",
        "DELETE",
        f"/device_profiles/{NOBODY}",
        None,
        "cyborg:device_profile:delete (by default the role admin)",
    ),
    Change("accelerator", "POST", "/accelerator_requests", _NO_PROFILE, "cyborg:arq:create (by default any member)"),
    Change(
        "accelerator",
        "DELETE",
        f"/accelerator_requests?instance={NOBODY}",
        None,
        "cyborg:arq:delete and a service token (the role service): Cyborg binds and releases for services only",
    ),
)
"""Changes of nothing: each is refused for what is in it, or has no effect, once the policy has let it in."""
_NO_FLAVOR = f"oc-{NOBODY}"
_NO_SERVER = {
    "name": _NO_FLAVOR,
    "imageRef": NOBODY,
    "flavorRef": _NO_FLAVOR,
    "networks": "none",
    "hypervisor_hostname": _NO_FLAVOR,
}
SERVERS = (
    # Nova looks at a new flavor's body before its policy, so of flavors only the others are tried.
    Change(
        "compute",
        "DELETE",
        f"/flavors/{_NO_FLAVOR}",
        None,
        "os_compute_api:os-flavor-manage:delete (by default the role admin, as for :create)",
    ),
    Change(
        "compute",
        "POST",
        f"/flavors/{_NO_FLAVOR}/action",
        {"addTenantAccess": {"tenant": NOBODY}},
        "os_compute_api:os-flavor-access:add_tenant_access (by default the role admin)",
    ),
    Change(
        "compute",
        "POST",
        f"/flavors/{_NO_FLAVOR}/os-extra_specs",
        {"extra_specs": {"accel:device_profile": _NO_FLAVOR}},
        "os_compute_api:os-flavor-extra-specs:create (by default the role admin)",
    ),
    Change(
        "compute",
        "POST",
        "/servers",
        {"server": _NO_SERVER},
        "os_compute_api:servers:create and compute:servers:create:requested_destination (by default the role admin)",
    ),
)
"""The same of Nova, for pools that deliver servers."""


def watch(cloud: Cloud) -> tuple[Tier, tuple[str, ...]]:
    """Return whether ``observe`` may read what it needs, and warnings of what it will do without.

    Raises a ConnectorError when a service does not answer, or is not in the catalog.
    """
    roles = ", ".join(cloud.roles) or "none"
    missing = [
        f"{ask.policy} (by default the role admin or service; this account has: {roles})"
        for ask in _refused(cloud, WATCH)
    ]
    warnings = [
        f"{ask.policy}: not allowed, so whether hosts are alive is not known" for ask in _refused(cloud, LIVENESS)
    ]
    if not cloud.has("accelerator"):
        warnings.append("The catalog has no accelerator service: only cards that Nova manages are seen.")
    elif "admin" not in cloud.roles:
        warnings.append("Without the role admin, Cyborg shows the requests of this account's project only.")
    return Tier(ok=not missing, missing=tuple(missing)), tuple(warnings)


def manage(cloud: Cloud, *, with_servers: bool = False) -> Tier:
    """Return whether we may deliver: each policy is tried by a change of nothing."""
    if not cloud.has("accelerator"):
        return Tier(ok=False, missing=("the service accelerator in the catalog: cards are bound by Cyborg",))
    if with_servers and not cloud.has("compute"):
        return Tier(ok=False, missing=("the service compute in the catalog: servers are made by Nova",))
    changes = (*MANAGE, *(SERVERS if with_servers else ()))
    missing = [change.policy for change in changes if not _may_change(cloud, change)]
    if with_servers and "admin" not in cloud.roles:
        missing.append("the role admin: Nova shows a private flavor to nobody else before a project was given it")
    return Tier(ok=not missing, missing=tuple(missing))


def _may_change(cloud: Cloud, change: Change) -> bool:
    versions = _VERSIONS[change.service]
    try:
        cloud.send(change.service, change.method, change.path, change.body, versions=versions)
    except Denied as error:
        if error.code != "forbidden":
            raise
        return False
    except Permanent as error:
        return error.code != "not_supported"
    return True


def _refused(cloud: Cloud, asks: Sequence[Ask]) -> list[Ask]:
    return [ask for ask in asks if (ask.service == "placement" or cloud.has(ask.service)) and not _may(cloud, ask)]


def _may(cloud: Cloud, ask: Ask) -> bool:
    try:
        cloud.get(ask.service, ask.path, dict, versions=ask.versions)
    except Denied as error:
        if error.code != "forbidden":
            raise
        return False
    except Permanent as error:
        if error.code != "not_found":
            raise
    return True
