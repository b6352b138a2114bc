"""Which permissions of the account are missing, in the words of the services' policies."""

from collections.abc import Sequence

from msgspec import Struct

from connectors.contract import Denied, Permanent, Tier
from connectors.openstack import reading
from connectors.openstack.client import Cloud

NOBODY = "00000000-0000-0000-0000-000000000000"
_OF_NOBODY = f"/resource_providers/{NOBODY}"


class Ask(Struct, frozen=True):
    """A read that shows whether a policy lets us; the answer itself does not matter."""

    service: str
    path: str
    versions: tuple[str, ...]
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
    Ask("compute", "/servers?all_tenants=1&limit=1", (reading.NOVA,), "os_compute_api:servers:index:get_all_tenants"),
)
MANAGE_ROLES = {
    "admin": "role admin: Cyborg's device profiles, and requests in a tenant's project, are made with it",
    "service": "role service: Cyborg binds an accelerator request only for a service token",
}


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


def manage(cloud: Cloud) -> Tier:
    """Return whether the roles are there that delivery needs. Only a change would prove it."""
    missing = tuple(why for role, why in MANAGE_ROLES.items() if role not in cloud.roles)
    return Tier(ok=not missing, missing=missing)


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
