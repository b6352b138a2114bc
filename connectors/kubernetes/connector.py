"""One Kubernetes cluster as a pool."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.addresses import BY_DEFAULT, Outgoing
from connectors.contract import (
    Absent,
    CanGrantAccess,
    CanResize,
    CanTelemeter,
    CanWatch,
    Check,
    Connector,
    Cursor,
    Delivery,
    Denied,
    Found,
    Identity,
    Last,
    NodeFact,
    Order,
    Outcome,
    Page,
    Permanent,
    Plan,
    Reading,
    Target,
)
from connectors.kubernetes import access, changes, delivery, handover, mapping, permissions, reading
from connectors.kubernetes.ambiguity import Ambiguity
from connectors.kubernetes.client import NODES, Client
from connectors.kubernetes.manifest import MANIFEST
from connectors.kubernetes.payloads import Node
from connectors.telemetry import health
from connectors.telemetry.sources import Sources

_MOST_WARNINGS = 100
_MOST_CLOCK_SKEW = timedelta(minutes=5)
_EXTENSIONS = {"resource.k8s.io": "dra", "kueue.x-k8s.io": "kueue", "scheduling.volcano.sh": "volcano"}


class Kubernetes(Connector, CanResize, CanGrantAccess, CanTelemeter, CanWatch):
    """Nodes and accelerators of one cluster, as API server, device plugins, vendors' agents and DRA drivers tell."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        credential: Mapping[str, Any],
        outgoing: Outgoing = BY_DEFAULT,
        installation: str = "",
    ) -> None:
        """Reach nothing yet. Raises Permanent ``invalid_settings`` when settings and credential do not fit."""
        self._access = access.read(settings, credential)
        self._installation = installation
        self._client = Client(self._access, outgoing)
        self._closed = threading.Event()
        self._exporters = Sources(settings, credential, outgoing)
        self._delivery = delivery.Delivery(self._client, installation, settings.get("on_conflict") == "repair")

    def identity(self) -> Identity:
        """Tell which cluster answers, by the uid of its namespace kube-system, and its version. Two cheap calls."""
        key = self._client.cluster_id()
        return Identity(key=key, label=self._client.http.host, version=self._client.version()[0])

    def check(self) -> Check:
        """Ask for each right that watching and managing need. Changes nothing."""
        client = self._client
        identity = self.identity()
        now, (_, api_time) = datetime.now(UTC), client.version()
        watch = permissions.watch(client)
        warnings = [*client.http.warnings, *self._exporters.warnings]
        if api_time and abs(api_time - now) > _MOST_CLOCK_SKEW:
            minutes = round((api_time - now).total_seconds() / 60)
            warnings.append(
                f"The API server's clock and ours differ by {abs(minutes)} minutes. Check the clocks of both: tokens "
                "end by the one and leases by the other."
            )
        groups: list[str] = []
        try:
            groups = client.groups()
            extensions = [word for group, word in _EXTENSIONS.items() if group in groups]
            if not permissions.may_read_reports(client):
                warnings.append("The account may not get configmaps in kube-system; only Ascend nodes need that.")
        except Denied as error:
            extensions = []
            warnings.append(f"What the cluster has installed cannot be read: {error}")
        return Check(
            identity=identity,
            watch=watch,
            manage=permissions.manage(client, groups),
            warnings=tuple(warnings),
            capabilities=(*MANIFEST.capabilities, *extensions),
        )

    def observe(self, cursor: Cursor | None) -> Iterator[Page]:
        """Yield all nodes, read in consistent lists; always a full look, whatever the cursor.

        Use is read before the nodes, so that each page of nodes is done with at once. A kind that may not be listed
        makes the observation incomplete. Raises Denied when nodes may not be listed, Permanent ``identity_changed``
        when another cluster answers than before. Faults that exporters tell are put into it.
        """
        return health.observed(self._look, self._exporters, cursor)

    def watch(self, cursor: Cursor) -> Iterator[Page]:
        """Tell changes of nodes, pods, slices and claims as they come; new faults of exporters come by looks."""
        return health.watched(self._changes, cursor)

    def _changes(self, cursor: Cursor) -> Iterator[Page]:
        return changes.follow(self._client, self._installation, cursor, self._closed)

    def _look(self, cursor: Cursor | None) -> Iterator[Page]:
        cursor, told = cursor or {}, _Told(self._client.http.byte_count)
        cluster_id = self._client.cluster_id()
        if cursor.get("identity", cluster_id) != cluster_id:
            raise _identity_changed()
        version, api_time = self._client.version()
        seen = reading.look(self._client, api_time, self._installation)
        told.add(*self._client.http.warnings, *seen.warnings)
        names = Ambiguity()
        for nodes in self._nodes(seen, told):
            names.add(nodes)
            yield self._page(nodes, told)
        told.add(*names.warnings())
        if self._client.cluster_id() != cluster_id:
            raise _identity_changed()
        if _is_older(seen.versions.get("nodes", ""), cursor.get("versions", {}).get("nodes", "")):
            told.add("The cluster's state is older than at the last look: it was restored from a backup.")
        last = Last(
            complete=not seen.gaps,
            cursor={"identity": cluster_id, "version": version, "versions": seen.versions},
            incomplete_because=" ".join(seen.gaps),
        )
        yield self._page([], told, last)

    def _nodes(self, seen: reading.Look, told: "_Told") -> Iterator[list[NodeFact]]:
        warnings: list[str] = []
        reports = reading.Reports(self._client, warnings)
        done: set[str] = set()
        for page in self._client.pages(NODES, Node):
            # After a new start of the list only what was not told before is left to tell.
            nodes = [node for node in page.items if node.metadata.uid not in done]
            done.update(node.metadata.uid for node in nodes)
            seen.versions["nodes"] = page.resource_version
            facts = [mapping.node_fact(node, seen.around, reports.of(node), warnings) for node in nodes]
            page.items.clear()  # a page of raw nodes is 10 MB and more; it must not outlive its facts
            del nodes
            told.add(*warnings)
            warnings.clear()
            yield facts

    def _page(self, nodes: list[NodeFact], told: "_Told", last: Last | None = None) -> Page:
        return Page(
            nodes=nodes, warnings=told.fresh(), byte_count=told.more_bytes(self._client.http.byte_count), last=last
        )

    def plan(self, target: Target, orders: Sequence[Order]) -> Plan:
        """List the calls, without the object versions that they hold for. Raises as ``apply`` does before it sends."""
        return self._delivery.plan(target, orders)

    def apply(self, target: Target, orders: Sequence[Order]) -> Outcome:
        """Make a namespace with quota, account and role carry the orders; none deletes it, in the background.

        In a tenant's own namespace only quota, account, role and our labels come and go.
        """
        return self._delivery.apply(target, orders)

    def probe(self, target: Target) -> Found | Absent:
        """Read namespace, quota, account and role. ``detail`` has the limits and what is used of them."""
        return self._delivery.probe(target)

    def access(self, target: Target, orders: Sequence[Order]) -> Delivery:
        """Hand over a kubeconfig for the namespace; its token ends with the lease, after a day at most."""
        found = self._delivery.probe(target)
        if not (isinstance(found, Found) and found.markers):
            raise Permanent(f"{target.ref} delivers nothing yet; apply its orders first.", code="not_found")
        return handover.kubeconfig(self._client.http, self._access, target, orders)

    def telemetry(self) -> Iterator[Reading]:
        """Yield what the exporters of the settings measure; without any, nothing."""
        return self._exporters.telemetry()

    def close(self) -> None:
        """Let go of the connections. May be called twice."""
        self._closed.set()  # a watch in another thread looks for it
        self._client.close()


class _Told:
    """What earlier pages of this observation told already."""

    def __init__(self, byte_count: int) -> None:
        self._warnings: dict[str, bool] = {}
        self._bytes = byte_count

    def add(self, *warnings: str) -> None:
        for warning in warnings:
            if len(self._warnings) < _MOST_WARNINGS:
                self._warnings.setdefault(warning, False)

    def fresh(self) -> tuple[str, ...]:
        found = tuple(warning for warning, is_told in self._warnings.items() if not is_told)
        self._warnings.update(dict.fromkeys(found, True))
        return found

    def more_bytes(self, total: int) -> int:
        more, self._bytes = total - self._bytes, total
        return more


def _is_older(version: str, than: str) -> bool:
    """Resource versions of one cluster only grow; a smaller one means that its database was put back."""
    return version.isdecimal() and than.isdecimal() and int(version) < int(than)


def _identity_changed() -> Permanent:
    return Permanent(
        "Another cluster answers at this address than before. Correct the address, or register the other cluster as a "
        "pool of its own.",
        code="identity_changed",
    )
