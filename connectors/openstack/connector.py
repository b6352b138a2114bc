"""One OpenStack cloud (one region of it) as a pool. Watches only; delivery comes later."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connectors.addresses import BY_DEFAULT, Outgoing
from connectors.contract import (
    Absent,
    Check,
    Connector,
    Cursor,
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

NODES_PER_PAGE = 200


class OpenStack(Connector):
    """Accelerators of one region as Cyborg, Placement and Nova tell them. Needs a token that Placement lets read."""

    def __init__(
        self, settings: Mapping[str, Any], credential: Mapping[str, Any], outgoing: Outgoing = BY_DEFAULT
    ) -> None:
        """Reach nothing yet. Raises Permanent ``invalid_settings`` when settings and credential do not fit."""
        self._login = login.read(settings, credential)
        self._cloud = Cloud(self._login, outgoing)

    def identity(self) -> Identity:
        """Log in anew and tell which Keystone and which region answer. One call.

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
        return Identity(key=f"{keystone}/{endpoint.region}", label=f"{self._cloud.host} {endpoint.region}")

    def check(self) -> Check:
        """Log in, and try every kind of read that ``observe`` makes."""
        identity = self.identity()
        watch, warnings = permissions.watch(self._cloud)
        return Check(
            identity=identity,
            watch=watch,
            manage=permissions.manage(self._cloud),
            warnings=(*self._cloud.warnings, *warnings),
            capabilities=("observe",),
        )

    def observe(self, cursor: Cursor | None) -> Iterator[Page]:
        """Yield all hosts with their cards. Always a full look: no service tells what changed since.

        Raises Denied before the first page when Placement or Cyborg do not let us read: nothing is removed then.
        """
        before = self._cloud.byte_count
        facts = mapping.facts(reading.look(self._cloud))
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
        """Not built yet. Raises Permanent ``not_supported``."""
        raise _not_supported()

    def apply(self, target: Target, orders: Sequence[Order]) -> Outcome:
        """Not built yet. Raises Permanent ``not_supported``."""
        raise _not_supported()

    def probe(self, target: Target) -> Found | Absent:
        """Not built yet. Raises Permanent ``not_supported``."""
        raise _not_supported()

    def close(self) -> None:
        """Let go of all connections. May be called twice."""
        self._cloud.close()


def _not_supported() -> Permanent:
    return Permanent(
        "ocenter only watches OpenStack pools so far; it cannot deliver to them. Give the allocation out by hand, or "
        "take another pool.",
        code="not_supported",
    )
