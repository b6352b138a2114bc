"""One Kubernetes cluster as a pool. Watches only; delivery comes later."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.addresses import BY_DEFAULT, Outgoing
from connectors.contract import (
    Absent,
    Check,
    Connector,
    Cursor,
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
    Target,
)
from connectors.kubernetes import access, mapping, permissions, reading
from connectors.kubernetes.client import NODES, Client
from connectors.kubernetes.manifest import MANIFEST
from connectors.kubernetes.payloads import Node

_MOST_WARNINGS = 100
_MOST_CLOCK_SKEW = timedelta(minutes=5)
_EXTENSIONS = {"resource.k8s.io": "dra", "kueue.x-k8s.io": "kueue", "scheduling.volcano.sh": "volcano"}


class Kubernetes(Connector):
    """Nodes and accelerators of one cluster, as API server, device plugins, vendors' agents and DRA drivers tell."""

    def __init__(
        self, settings: Mapping[str, Any], credential: Mapping[str, Any], outgoing: Outgoing = BY_DEFAULT
    ) -> None:
        """Reach nothing yet. Raises Permanent ``invalid_settings`` when settings and credential do not fit."""
        self._client = Client(access.read(settings, credential), outgoing)

    def identity(self) -> Identity:
        """Tell which cluster answers, by the uid of its namespace kube-system, and its version. Two cheap calls."""
        key = self._client.cluster_id()
        return Identity(key=key, label=self._client.http.host, version=self._client.version()[0])

    def check(self) -> Check:
        """Ask for each right that watching and managing need. Changes nothing."""
        client = self._client
        identity = self.identity()
        now, (_, api_time) = datetime.now(UTC), client.version()
        watch, manage = permissions.watch(client), permissions.manage(client)
        warnings = list(client.http.warnings)
        if api_time and abs(api_time - now) > _MOST_CLOCK_SKEW:
            minutes = round((api_time - now).total_seconds() / 60)
            warnings.append(
                f"The API server's clock and ours differ by {abs(minutes)} minutes. Check the clocks of both: tokens "
                "end by the one and leases by the other."
            )
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
            manage=manage,
            warnings=tuple(warnings),
            capabilities=("observe", *extensions),
        )

    def observe(self, cursor: Cursor | None) -> Iterator[Page]:
        """Yield all nodes, read in consistent lists; always a full look, whatever the cursor.

        Use is read before the nodes, so that each page of nodes is done with at once. A kind that may not be listed
        makes the observation incomplete. Raises Denied when nodes may not be listed, Permanent ``identity_changed``
        when another cluster answers than before.
        """
        cursor, told = cursor or {}, _Told(self._client.http.byte_count)
        cluster_id = self._client.cluster_id()
        if cursor.get("identity", cluster_id) != cluster_id:
            raise _identity_changed()
        version, api_time = self._client.version()
        seen = reading.look(self._client, api_time)
        told.add(*self._client.http.warnings, *seen.warnings)
        for nodes in self._nodes(seen, told):
            yield self._page(nodes, told)
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
        """Not built yet. Raises Permanent ``not_supported``."""
        raise _not_supported()

    def apply(self, target: Target, orders: Sequence[Order]) -> Outcome:
        """Not built yet. Raises Permanent ``not_supported``."""
        raise _not_supported()

    def probe(self, target: Target) -> Found | Absent:
        """Not built yet. Raises Permanent ``not_supported``."""
        raise _not_supported()

    def close(self) -> None:
        """Let go of the connection. May be called twice."""
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


def _not_supported() -> Permanent:
    return Permanent(MANIFEST.missing["apply"], code="not_supported")
