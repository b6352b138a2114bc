"""One vCenter as a pool."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connectors.addresses import BY_DEFAULT, Outgoing
from connectors.contract import (
    Absent,
    CanGrantAccess,
    CanTelemeter,
    CanWatch,
    Check,
    Connector,
    Cursor,
    Delivery,
    Found,
    Identity,
    Order,
    Outcome,
    Page,
    Permanent,
    Plan,
    Reading,
    Target,
)
from connectors.telemetry import health
from connectors.telemetry.sources import Sources
from connectors.vsphere import apply, changes, counters, delivery, look, privileges
from connectors.vsphere.client import Client
from connectors.vsphere.manifest import MANIFEST


class VSphere(CanGrantAccess, CanTelemeter, CanWatch, Connector):
    """Hosts of a vCenter with their GPUs, and VMs that carry orders."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        credential: Mapping[str, Any],
        outgoing: Outgoing = BY_DEFAULT,
        installation: str = "",
    ) -> None:
        """Reach nothing yet. Raises Permanent ``invalid_settings`` when settings and credential do not fit."""
        self._client = Client(settings, credential, outgoing)
        self._installation = installation
        self._closed = threading.Event()
        self._exporters = Sources(settings, credential, outgoing)

    def identity(self) -> Identity:
        """Tell which vCenter answers, by the instance uuid that it got when it was installed."""
        about = self._client.content.about
        return Identity(key=about.instanceUuid, label=self._client.host, version=about.version)

    def check(self) -> Check:
        """Log in, and ask vCenter for each privilege on its root folder. Changes nothing."""
        identity = self.identity()
        watch, manage = privileges.watch(self._client), privileges.manage(self._client)
        return Check(
            identity=identity,
            watch=watch,
            manage=manage,
            warnings=(*self._client.warnings, *self._exporters.warnings),
            capabilities=MANIFEST.capabilities,
        )

    def observe(self, cursor: Cursor | None) -> Iterator[Page]:
        """Yield all hosts; always a full look, which the cursor makes cheaper. Faults that exporters tell are in it."""
        return health.observed(self._look, self._exporters, cursor)

    def watch(self, cursor: Cursor) -> Iterator[Page]:
        """Tell changes of hosts and VMs as they come; new faults of exporters come by looks."""
        return health.watched(self._changes, cursor)

    def plan(self, target: Target, orders: Sequence[Order]) -> Plan:
        """List the calls that ``apply`` would make now. Raises as it does before it sends."""
        return apply.plan(self._client, self._ours(), _checked(target), orders)

    def apply(self, target: Target, orders: Sequence[Order]) -> Outcome:
        """Make a VM with these GPUs and switch it on; none: switch it off and destroy it, unless it is a tenant's."""
        return apply.apply(self._client, self._ours(), _checked(target), orders)

    def probe(self, target: Target) -> Found | Absent:
        """Read the VM."""
        return apply.probe(self._client, self._installation, _checked(target))

    def access(self, target: Target, orders: Sequence[Order]) -> Delivery:
        """Say which VM it is and where its guest answers. No secret."""
        return delivery.access(self._client, self._installation, _checked(target), orders)

    def telemetry(self) -> Iterator[Reading]:
        """Yield what the exporters of the settings measure; without any, what vCenter's counters say."""
        return self._exporters.telemetry() if self._exporters else counters.telemetry(self._client)

    def close(self) -> None:
        """Log out and let go of the connections. May be called twice."""
        self._closed.set()
        self._client.close()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _ours(self) -> str:
        """Return what makes a VM ours. vCenter stores no empty marker: nobody would know our VMs again."""
        if not self._installation:
            raise Permanent(
                "VMs are marked with the id of the installation that makes them, and there is none. Give one "
                "(--installation).",
                code="invalid",
            )
        return self._installation

    def _look(self, cursor: Cursor | None) -> Iterator[Page]:
        return look.observe(self._client, self._installation, cursor)

    def _changes(self, cursor: Cursor) -> Iterator[Page]:
        return changes.watch(self._client, self._installation, cursor, self._closed)


def _checked(target: Target) -> Target:
    if target.kind != "vm":
        raise Permanent(f"vSphere pools have no targets of the kind {target.kind}. Order a vm.", code="not_supported")
    return target
