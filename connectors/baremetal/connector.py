"""The connector of pools of hosts without an orchestrator: SSH to the hosts, Redfish to their controllers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec.structs import replace

from connectors.addresses import BY_DEFAULT, Outgoing
from connectors.baremetal import apply, observe
from connectors.baremetal.fleet import Fleet
from connectors.baremetal.redfish import hosts as redfish
from connectors.contract import (
    Absent,
    CanGrantAccess,
    CanPower,
    CanResize,
    CanTelemeter,
    Check,
    Connector,
    ConnectorError,
    Cursor,
    Delivery,
    Found,
    Identity,
    Order,
    Outcome,
    Page,
    Plan,
    Reading,
    Target,
    Tier,
)
from connectors.telemetry import health
from connectors.telemetry.sources import Sources


class Baremetal(CanResize, CanGrantAccess, CanPower, CanTelemeter, Connector):
    """Hosts as their own tools tell them, carrying orders by their helper."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        credential: Mapping[str, Any],
        outgoing: Outgoing = BY_DEFAULT,
        installation: str = "",
    ) -> None:
        self._fleet = Fleet(settings, credential, outgoing)
        names = {host.address: host.name for host in self._fleet.hosts.values()}
        self._exporters = Sources(settings, credential, outgoing, names)
        self._installation = installation

    def identity(self) -> Identity:
        return observe.identity(self._fleet)

    def check(self) -> Check:
        found = observe.check(self._fleet)
        missing = (*found.manage.missing, *(apply.lacking(self._fleet) if found.manage.ok else ()))
        warnings = (*found.warnings, *self._exporters.warnings)
        return replace(found, manage=Tier(ok=not missing, missing=missing), warnings=warnings)

    def observe(self, cursor: Cursor | None) -> Iterator[Page]:
        return health.observed(self._look, self._exporters, cursor)

    def plan(self, target: Target, orders: Sequence[Order]) -> Plan:
        return apply.plan(self._fleet, self._installation, target, orders)

    def apply(self, target: Target, orders: Sequence[Order]) -> Outcome:
        return apply.apply(self._fleet, self._installation, target, orders)

    def probe(self, target: Target) -> Found | Absent:
        return apply.probe(self._fleet, self._installation, target)

    def access(self, target: Target, orders: Sequence[Order]) -> Delivery:
        return apply.access(self._fleet, self._installation, target, orders)

    def power(self, node_ref: str, wanted: Literal["on", "off"]) -> Literal["on", "off", "changing"]:
        return redfish.power(self._fleet, node_ref, wanted)

    def telemetry(self) -> Iterator[Reading]:
        """Yield what controllers and exporters measure. Raises why no exporter can be read when nobody else tells."""
        of_controllers = list(redfish.telemetry(self._fleet))
        yield from of_controllers
        try:
            yield from self._exporters.telemetry()
        except ConnectorError:
            if not of_controllers:
                raise

    def _look(self, cursor: Cursor | None) -> Iterator[Page]:
        return redfish.told(self._fleet, observe.pages(self._fleet, self._installation, cursor))
