"""All that one look at a cloud told, before it is read as facts."""

from msgspec import Struct, field

from connectors.openstack.payloads import Consumer, CyborgDevice, Deployable, Hypervisor, Provider, Request, Summary

_BOUND = "Bound"


class Compute(Struct, kw_only=True):
    """What Nova told: hosts by the uuid of their provider, zones by service host."""

    hypervisors: dict[str, Hypervisor] = {}
    zones: dict[str, str | None] = {}


class Snapshot(Struct, kw_only=True):
    """One look. ``totals`` and ``holders`` are there only where a provider had to be asked by itself.

    ``totals``: provider to class to units with the reserved ones. ``holders``: provider to consumer to units.
    ``sees_all_requests``: whether Cyborg shows us the requests of all projects. ``profiles``: description by name.
    ``installation``: who we are; objects with its marker are ours.
    """

    region: str
    installation: str = ""
    has_cyborg: bool = True
    sees_all_requests: bool = True
    deployables: list[Deployable] = []
    devices: list[CyborgDevice] = []
    requests: list[Request] = []
    profiles: dict[str, str] = {}
    providers: dict[str, Provider] = {}
    summaries: dict[str, Summary] = {}
    totals: dict[str, dict[str, int]] = {}
    holders: dict[str, dict[str, int]] = {}
    consumers: dict[str, Consumer] = {}
    compute: Compute = field(default_factory=Compute)
    warnings: list[str] = []

    def bound(self) -> dict[str, list[Request]]:
        """Return the bound requests by provider. The host in them is not checked by Cyborg and not used here."""
        found: dict[str, list[Request]] = {}
        for request in self.requests:
            if request.state == _BOUND and request.device_rp_uuid:
                found.setdefault(request.device_rp_uuid, []).append(request)
        return found
