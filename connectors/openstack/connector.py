"""One OpenStack cloud (one region of it) as a pool."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connectors.addresses import BY_DEFAULT, Outgoing
from connectors.contract import (
    Absent,
    CanGrantAccess,
    CanHold,
    Check,
    Connector,
    Cursor,
    Delivery,
    Found,
    Identity,
    Last,
    Order,
    Outcome,
    Page,
    Permanent,
    Plan,
    Target,
)
from connectors.openstack import login, mapping, permissions, reading
from connectors.openstack.client import Cloud
from connectors.openstack.consumers import Consumers
from connectors.openstack.manifest import MANIFEST
from connectors.openstack.servers import Boot, ServerTargets

NODES_PER_PAGE = 200


class OpenStack(Connector, CanHold, CanGrantAccess):
    """Accelerators of one region as Cyborg, Placement and Nova tell them. Needs a token that Placement lets read."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        credential: Mapping[str, Any],
        outgoing: Outgoing = BY_DEFAULT,
        installation: str = "",
    ) -> None:
        """Reach nothing yet. Raises Permanent ``invalid_settings`` when settings and credential do not fit."""
        self._login = login.read(settings, credential)
        self._cloud = Cloud(self._login, outgoing)
        self._installation = installation
        self._boot = Boot(
            image=str(settings.get("server_image") or ""),
            network=str(settings.get("server_network") or "none"),
            disk_gib=int(settings.get("server_disk_gib") or 10),
        )
        self._project_id = str(settings.get("delivery_project_id") or "")

    def identity(self) -> Identity:
        """Log in anew and tell which Keystone and which region answer. Two calls.

        The key is the id of the identity service in the catalog, which Keystone makes once for its database and keeps
        when addresses, endpoints and certificates change, and the region's id. Another cloud behind the same
        address has another id.
        """
        access = self._cloud.access(is_fresh=True)
        endpoint = self._cloud.endpoint("placement")
        services = {service.get("type"): service.get("id") for service in access.service_catalog.catalog}
        keystone = services.get("identity") or (endpoint.service_id if endpoint else None)
        if endpoint is None or not keystone:
            raise self._cloud.missing("placement")
        return Identity(
            key=f"{keystone}/{endpoint.region}",
            label=f"{self._cloud.host} {endpoint.region}",
            version=self._cloud.version("placement"),
        )

    def check(self) -> Check:
        """Log in, and try every kind of read that ``observe`` makes."""
        identity = self.identity()
        watch, warnings = permissions.watch(self._cloud)
        return Check(
            identity=identity,
            watch=watch,
            manage=permissions.manage(self._cloud, with_servers=bool(self._boot.image)),
            warnings=(*self._cloud.warnings, *warnings),
            capabilities=MANIFEST.capabilities,
        )

    def observe(self, cursor: Cursor | None) -> Iterator[Page]:
        """Yield all hosts with their cards. Always a full look: no service tells what changed since.

        Raises Denied before the first page when Placement or Cyborg do not let us read: nothing is removed then.
        """
        before = self._cloud.byte_count
        facts = mapping.facts(reading.look(self._cloud, self._installation))
        byte_count = self._cloud.byte_count - before
        nodes, why = facts.nodes, facts.incomplete_because
        for start in range(0, max(1, len(nodes)), NODES_PER_PAGE):
            is_first, is_last = start == 0, start + NODES_PER_PAGE >= len(nodes)
            yield Page(
                nodes=nodes[start : start + NODES_PER_PAGE],
                warnings=(*facts.warnings, *self._cloud.warnings) if is_first else (),
                byte_count=byte_count if is_first else 0,
                last=Last(complete=not why, incomplete_because=why) if is_last else None,
            )

    def plan(self, target: Target, orders: Sequence[Order]) -> Plan:
        """What ``apply`` would call now. Raises what it raises before its first change."""
        return self._carrier(target).plan(target, orders)

    def apply(self, target: Target, orders: Sequence[Order]) -> Outcome:
        """Claim in Placement, then bind in Cyborg; or make a server. See docs/platforms/openstack.md for each call."""
        return self._carrier(target).apply(target, orders)

    def hold(self, target: Target, orders: Sequence[Order]) -> Outcome:
        """Claim in Placement alone: Cyborg and Nova give the card to nobody else, and nobody can use it."""
        carrier = self._carrier(target)
        if not isinstance(carrier, Consumers):
            raise Permanent("A server cannot be held. Hold a consumer on its host instead.", code="not_supported")
        return carrier.hold(target, orders)

    def probe(self, target: Target) -> Found | Absent:
        """Ask Placement and Cyborg what the target has."""
        return self._carrier(target).probe(target)

    def access(self, target: Target, orders: Sequence[Order]) -> Delivery:
        """Say on which host and at which PCI addresses the cards are, under which ids. No secret."""
        return self._carrier(target).access(target, orders)

    def close(self) -> None:
        """Let go of all connections. May be called twice."""
        self._cloud.close()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _carrier(self, target: Target) -> Consumers | ServerTargets:
        if target.is_tenants:
            raise Permanent(
                f"{target.ref} is a server of its tenant, and OpenStack attaches accelerators only while it builds a "
                "server. Nothing was asked or changed. Order a server of its own (mode nova), or a consumer.",
                code="not_supported",
            )
        own = self._cloud.access().project_id or ""
        if target.kind == "consumer":
            return Consumers(self._cloud, self._installation, self._project_id or own)
        if target.kind != "server":
            raise Permanent(
                f"OpenStack pools have no targets of the kind {target.kind}. Order a consumer or a server.",
                code="not_supported",
            )
        if self._project_id not in ("", own):
            raise Permanent(
                "Servers are made in the project of the credential, and the settings name another one. Use a "
                "credential of that project.",
                code="invalid_settings",
            )
        return ServerTargets(self._cloud, self._installation, self._boot)
