"""Tells what changes in a cluster: one watch for each kind of object, gathered into nodes whose facts are others now.

The watches begin where the observation's lists ended. Nodes are worked out from a copy of what matters of all objects,
so that a kubelet's heartbeat, which rewrites its whole node every few minutes, tells nothing.
"""

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec.structs import replace

from connectors.contract import ConnectorError, Cursor, Last, NodeFact, Page, Transient
from connectors.kubernetes import dra, mapping, reading, usage
from connectors.kubernetes.client import NODES, PODS, Client, Kind
from connectors.kubernetes.payloads import Node, Pod, ResourceClaim, ResourceSlice
from connectors.kubernetes.watching import Event, Gone

GATHER_SECONDS = 1.5
LOOK_SECONDS = 0.5
QUIET_SECONDS = 120.0
RETURN_SECONDS = 1.0
MARKERS_SECONDS = 10.0
"""How old what we know of our own namespaces may be: they are few, and watching them is no right of the roles."""
_RETRIES = 3

Told = tuple[str, Event | ConnectorError]
"""The kind's name in the cursor, and what its watch tells."""


def follow(client: Client, installation: str, cursor: Cursor, closed: threading.Event) -> Iterator[Page]:
    """Yield what changed since the cursor of an observation or of an earlier page, until ``closed``.

    Ends by itself when the changes since then are not known any more, another cluster answers, or its state is older
    than the cursor. Raises what the client raises.
    """
    since: dict[str, str] = dict(cursor.get("versions") or {})
    if "nodes" not in since or "pods" not in since or client.cluster_id() != cursor.get("identity"):
        return
    version, api_time = client.version()
    copy = Copy(client, installation, api_time)
    if any(is_older(copy.versions[kind], since.get(kind, "")) for kind in copy.versions):
        return
    since = {kind: since.get(kind, listed) for kind, listed in copy.versions.items()}
    told: queue.SimpleQueue[Told] = queue.SimpleQueue()
    for kind, (path, item) in copy.kinds.items():
        reader = _Reader(client, kind, path, item, since[kind], told, closed)
        threading.Thread(target=reader.run, name=f"watch-{kind}", daemon=True).start()
    yielded_at = time.monotonic()
    while (events := _gathered(told, closed)) is not None:
        for kind, event in events:
            if isinstance(event, Gone):
                return
            if isinstance(event, ConnectorError):
                raise event
            copy.take(kind, event)
            since[kind] = event.resource_version
        nodes, gone = copy.changed()
        if nodes or gone or time.monotonic() - yielded_at > QUIET_SECONDS:
            known = {**cursor, "version": version, "versions": dict(since)}
            yield Page(nodes=nodes, gone=gone, is_full=False, last=Last(complete=True, cursor=known))
            yielded_at = time.monotonic()


def is_older(version: str, than: str) -> bool:
    """Resource versions of one cluster only grow; a smaller one means that its database was put back."""
    return version.isdecimal() and than.isdecimal() and int(version) < int(than)


def _gathered(told: "queue.SimpleQueue[Told]", closed: threading.Event) -> list[Told] | None:
    """Wait for a change and what follows it within a moment; none when it is quiet, None when closed."""
    found: list[Told] = []
    ends_at = time.monotonic() + LOOK_SECONDS
    while not closed.is_set():
        left_seconds = ends_at - time.monotonic()
        if left_seconds <= 0:
            return found
        try:
            told_now = told.get(timeout=min(LOOK_SECONDS, left_seconds))
        except queue.Empty:
            continue
        if not found:
            ends_at = time.monotonic() + GATHER_SECONDS
        found.append(told_now)
    return None


class _Reader:
    """One kind's watch, begun anew as often as it ends. Runs in a thread; the queue gets its events or its failure."""

    def __init__(
        self,
        client: Client,
        kind: str,
        path: Kind,
        item: type[Any],
        since: str,
        told: "queue.SimpleQueue[Told]",
        closed: threading.Event,
    ) -> None:
        self._client = client
        self._kind = kind
        self._path = path
        self._item = item
        self._since = since
        self._told = told
        self._closed = closed

    def run(self) -> None:
        failures = 0
        while not self._closed.is_set():
            try:
                self._read()
                failures = 0
            except Gone as gone:
                return self._told.put((self._kind, gone))
            except Transient as error:  # cut streams are everyday life: go on from the last event
                failures += 1
                if failures > _RETRIES:
                    return self._told.put((self._kind, error))
            except ConnectorError as error:
                return self._told.put((self._kind, error))
            except Exception:  # the client was closed under a read
                return self._told.put((self._kind, Transient(f"The watch of {self._kind} broke off.", code="failed")))
            self._closed.wait(RETURN_SECONDS)

    def _read(self) -> None:
        for event in self._client.watch(self._path, self._item, self._since):
            self._since = event.resource_version
            self._told.put((self._kind, event))
            if self._closed.is_set():
                return
        # A version of the future is met with silence: the cluster was put back, or another answers by now.
        newest = next(self._client.pages(replace(self._path, page_size=1), self._item)).resource_version
        if is_older(newest, self._since):
            raise Gone("The cluster's state is older than what it told before.")


class Copy:
    """What matters of all objects, as listed first and as the watches tell since."""

    def __init__(self, client: Client, installation: str, api_time: datetime | None) -> None:
        self._client = client
        self._installation = installation
        self._api_time, self._began = api_time, time.monotonic()
        self.versions: dict[str, str] = {}
        self.kinds: dict[str, tuple[Kind, type[Any]]] = {"nodes": (NODES, Node), "pods": (PODS, Pod)}
        if (found := client.dra_kinds()) is not None:
            self.kinds |= {"resourceslices": (found[0], ResourceSlice), "resourceclaims": (found[1], ResourceClaim)}
        self._markers = reading.our_markers(client, installation)
        self._markers_at = time.monotonic()
        self._items: dict[str, dict[str, Any]] = {}
        for kind in list(self.kinds):
            self._list(kind)
        self._pods: dict[str, dict[str, Pod]] = {}
        for pod in self._items.pop("pods").values():
            self._pods.setdefault(pod.spec.node_name, {})[pod.metadata.uid] = pod
        self._namespaces = {pod.metadata.namespace for pods in self._pods.values() for pod in pods.values()}
        self._uids = {node.metadata.name: uid for uid, node in self._items["nodes"].items()}
        self._work_out_dra()
        self._digests: dict[str, bytes] = {}
        self._dirty, self._forced, self._gone = set(self._items["nodes"]), set[str](), set[str]()
        self._is_dra_dirty = False
        self.changed()  # what the observation told, unless an event of before the list says otherwise

    def _list(self, kind: str) -> None:
        path, item = self.kinds[kind]
        found: dict[str, Any] = {}

        def read() -> None:
            for page in self._client.pages(path, item):
                if page.is_restart:
                    found.clear()
                found.update((each.metadata.uid, each) for each in page.items)
                self.versions[kind] = page.resource_version

        if kind in ("nodes", "pods"):
            read()
        elif not reading.unless_forbidden(read):
            del self.kinds[kind]  # the observation told of this gap
        self._items[kind] = found

    def take(self, kind: str, event: Event) -> None:
        """Take one change in. One that the list had already makes its node be told all the same."""
        if event.type == "bookmark":
            return
        item, is_listed = event.item, not is_older(self.versions[kind], event.resource_version)
        marked = self._forced if is_listed else self._dirty
        if kind == "pods":
            self._take_pod(item, is_gone=event.type == "deleted", is_listed=is_listed, marked=marked)
            return
        uid = item.metadata.uid
        if not is_listed:
            if event.type == "deleted":
                self._items[kind].pop(uid, None)
            else:
                self._items[kind][uid] = item
        if kind != "nodes":
            self._is_dra_dirty = True
            marked.update(self._of_names(self._published))
        elif event.type == "deleted":
            self._gone.add(uid)
            self._digests.pop(uid, None)
        else:
            self._uids[item.metadata.name] = uid
            marked.add(uid)

    def _take_pod(self, pod: Pod, *, is_gone: bool, is_listed: bool, marked: set[str]) -> None:
        name = pod.spec.node_name
        if not is_listed and is_gone:
            self._pods.get(name, {}).pop(pod.metadata.uid, None)
        elif not is_listed:
            self._pods.setdefault(name, {})[pod.metadata.uid] = pod
            if pod.metadata.namespace not in self._namespaces:
                self._namespaces.add(pod.metadata.namespace)
                self._read_markers()
        marked.update(self._of_names([name]))

    def _read_markers(self) -> None:
        """Ask which namespaces are ours. One may be given back, relabelled or made anew, and no pod tells of it.

        When the question fails, what is known stays until the next one.
        """
        self._markers_at = time.monotonic()
        try:
            found = reading.our_markers(self._client, self._installation)
        except Transient:
            return
        changed = {name for name, _ in found.items() ^ self._markers.items()}
        self._markers = found
        for name, pods in self._pods.items():
            if any(pod.metadata.namespace in changed for pod in pods.values()):
                self._dirty.update(self._of_names([name]))
        self._is_dra_dirty |= bool(changed)

    def changed(self) -> tuple[tuple[NodeFact, ...], tuple[str, ...]]:
        """Return the nodes whose facts are others than at the last call, and the refs of those that were deleted."""
        if time.monotonic() - self._markers_at > MARKERS_SECONDS:
            self._read_markers()
        if self._is_dra_dirty:
            before = set(self._published)
            self._work_out_dra()
            self._dirty |= self._of_names(before | set(self._published))
            self._is_dra_dirty = False
        warnings: list[str] = []
        is_first = not self._digests
        reports = reading.Reports(self._client, warnings, is_one_by_one=not is_first)
        nodes = []
        for uid in sorted((self._dirty | self._forced) & self._items["nodes"].keys()):
            node = self._items["nodes"][uid]
            fact = mapping.node_fact(node, self._around(node.metadata.name), reports.of(node), warnings)
            digest = blake2b(msgspec.msgpack.encode(fact, order="deterministic"), digest_size=8).digest()
            if uid in self._forced or self._digests.get(uid) != digest:
                nodes.append(fact)
            self._digests[uid] = digest
        gone = tuple(sorted(self._gone - self._items["nodes"].keys()))
        self._dirty, self._forced, self._gone = set(), set(), set()
        return tuple(nodes), gone

    def _around(self, name: str) -> mapping.Around:
        uses: dict[str, usage.NodeUse] = {}
        for pod in self._pods.get(name, {}).values():
            usage.add(uses, pod, self._markers)
        now = self._api_time and self._api_time + timedelta(seconds=time.monotonic() - self._began)
        return mapping.Around(use=uses, pools=self._published, held=self._held, api_time=now)

    def _work_out_dra(self) -> None:
        pools, held = dra.Pools(), dict[dra.Key, list[dra.Holding]]()
        for piece in self._items.get("resourceslices", {}).values():
            pools.add(piece)
        for claim in self._items.get("resourceclaims", {}).values():
            for key, holding in dra.holdings(claim, self._markers):
                held.setdefault(key, []).append(holding)
        self._published, self._held = pools.by_node([]), held

    def _of_names(self, names: Iterable[str]) -> set[str]:
        return {self._uids[name] for name in names if name in self._uids}
