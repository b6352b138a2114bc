"""A double of the Kubernetes API server: lists, watches, applies and refuses the way the recorded one did.

Objects come from ``recorded/``; faults are switched on by its fields, or played by the server it runs in.
"""

import base64
import copy
import json
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from tests.connectors.kubernetes.applying import VERBS, Applying
from tests.connectors.kubernetes.tenants import Tenants
from tests.connectors.server import Answer, Seen, json_answer

RECORDED = Path(__file__).with_name("recorded")
TOKEN = "recorded-" + "k" * 24
Object = dict[str, Any]

NODES, PODS = "/api/v1/nodes", "/api/v1/pods"
SLICES = "/apis/resource.k8s.io/v1/resourceslices"
CLAIMS = "/apis/resource.k8s.io/v1/resourceclaims"
FLAVORS = "/apis/kueue.x-k8s.io/v1beta2/resourceflavors"
NAMESPACES, CONFIG_MAPS = "/api/v1/namespaces", "/api/v1/namespaces/kube-system/configmaps"
LIST_KINDS = {
    NODES: "NodeList",
    PODS: "PodList",
    SLICES: "ResourceSliceList",
    CLAIMS: "ResourceClaimList",
    NAMESPACES: "NamespaceList",
    CONFIG_MAPS: "ConfigMapList",
    FLAVORS: "ResourceFlavorList",
}
SELECTABLE = ("metadata.name", "metadata.namespace", "spec.nodeName", "status.phase", "spec.unschedulable")


@cache
def _file(name: str) -> bytes:
    return (RECORDED / f"{name}.json").read_bytes()


def recorded(name: str) -> Any:
    """The recorded body of a file, as a copy that a test may change."""
    return json.loads(_file(name))["body"]


def recorded_answer(name: str, status: int | None = None) -> Answer:
    """The recorded answer as it went over the wire."""
    told = json.loads(_file(name))
    headers = {key: text for key, text in told["headers"].items() if key in ("Content-Type", "Retry-After")}
    body = told["body"].encode() if isinstance(told["body"], str) else msgspec.json.encode(told["body"])
    return Answer(status=status or told["status"] or 200, body=body, headers=headers)


class Cluster(Applying, Tenants):
    """State of a cluster. ``put`` and ``remove`` move its resource version on and are told to watches."""

    recorded = staticmethod(recorded)
    recorded_answer = staticmethod(recorded_answer)

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.RLock()
        self.uid = "b5f3f3a0-0000-4000-8000-000000000001"
        self.version = 52933
        self.objects: dict[str, dict[str, Object]] = {path: {} for path in LIST_KINDS}
        self.forbidden: set[str] = set()
        self.rights: Callable[[Object], bool] = lambda attributes: True
        self.has_dra = True
        self.oldest_watchable = 0
        self.compacted: set[int] = set()
        self.events: list[tuple[int, str, str, Object, Object | None]] = []
        self.after_page: Callable[[Seen], None] = lambda seen: None
        self._snapshots: dict[tuple[str, int], list[Object]] = {}

    # --- state --------------------------------------------------------------------------------------------------------

    def put(self, path: str, item: Object) -> Object:
        """Create or replace by uid."""
        self.version += 1
        item = copy.deepcopy(item)
        item["metadata"]["resourceVersion"] = str(self.version)
        before = self.objects[path].get(item["metadata"]["uid"])
        self.objects[path][item["metadata"]["uid"]] = item
        self.events.append((self.version, path, "MODIFIED" if before else "ADDED", item, before))
        return copy.deepcopy(item)

    def remove(self, path: str, uid: str) -> None:
        self.version += 1
        item = self.objects[path].pop(uid)
        self.events.append((self.version, path, "DELETED", item, item))

    def restart(self) -> None:
        """A restarted API server knows no change from before its start, and no old snapshot."""
        self.oldest_watchable = self.version
        self.compact()

    def compact(self) -> None:
        """Old snapshots are forgotten; compaction itself moves the version on."""
        self.version += 1
        self.compacted.update(version for _, version in self._snapshots)
        self._snapshots.clear()

    # --- answers ------------------------------------------------------------------------------------------------------

    def __call__(self, seen: Seen) -> Answer:
        with self.lock:
            return self._answer(seen)

    def _answer(self, seen: Seen) -> Answer:
        if seen.headers.get("authorization") != f"Bearer {TOKEN}":
            return self.as_account(seen)
        if any(seen.path == path or seen.path.startswith(f"{path}/") for path in self.forbidden):
            return recorded_answer("error_403_forbidden")
        if seen.path == "/version":
            return recorded_answer("version")
        if seen.path == "/apis":
            return recorded_answer("apigrouplist")
        if seen.path.startswith("/apis/resource.k8s.io"):
            if not self.has_dra:
                return Answer(status=404, body=b"404 page not found\n", headers={"Content-Type": "text/plain"})
            if seen.path == "/apis/resource.k8s.io":
                return json_answer(_group("resource.k8s.io"))
        if seen.path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews":
            return self._review(seen)
        if seen.method in VERBS:
            return self.change(seen)
        if seen.path in LIST_KINDS:
            return self._watch(seen) if seen.query.get("watch") else self._list(seen)
        return self._get(seen)

    def _get(self, seen: Seen) -> Answer:
        if seen.path == "/api/v1/namespaces/kube-system":
            return json_answer({"kind": "Namespace", "metadata": {"name": "kube-system", "uid": self.uid}})
        item = self.at(seen.path)
        if item is None or (shown := self.looked_at(item)) is None:
            return recorded_answer("error_404_not_found")
        return json_answer(shown)

    def _review(self, seen: Seen) -> Answer:
        body = msgspec.json.decode(seen.body)
        answer = recorded("selfsubjectaccessreview")
        answer["spec"] = body["spec"]
        answer["status"] = {"allowed": self.rights(body["spec"]["resourceAttributes"])}
        return json_answer(answer, status=201)

    def _list(self, seen: Seen) -> Answer:
        asked = seen.query.get("resourceVersion", "")
        if asked.isdecimal() and int(asked) > self.version:
            return recorded_answer("error_504_rv_too_large")
        limit, version, start = int(seen.query.get("limit", "0")), self.version, 0
        if asked == "0":
            limit = 0  # as recorded: the watch cache answers whole
        if token := seen.query.get("continue"):
            told = json.loads(base64.b64decode(token))
            version, start = told["rv"], told["start"]
            if version in self.compacted:
                return recorded_answer("error_410_continue_expired")
        if (items := self._selected(seen, version)) is None:
            return recorded_answer("error_400_bad_field_selector")
        page = items[start : start + limit] if limit else items
        metadata: Object = {"resourceVersion": str(version)}
        if start + len(page) < len(items):
            position = {"v": "meta.k8s.io/v1", "rv": version, "start": start + len(page)}
            metadata["continue"] = base64.b64encode(json.dumps(position).encode()).decode()
        body = {"kind": LIST_KINDS[seen.path], "apiVersion": "v1", "metadata": metadata, "items": page}
        answer = json_answer(body)
        self.after_page(seen)
        return answer

    def _selected(self, seen: Seen, version: int) -> list[Object] | None:
        if (kept := self._snapshots.get((seen.path, version))) is None:
            kept = sorted(self.objects[seen.path].values(), key=_place)
            self._snapshots[seen.path, version] = kept
        try:
            return [item for item in kept if matches(item, seen.query)]
        except KeyError:
            return None

    def _watch(self, seen: Seen) -> Answer:
        since = int(seen.query["resourceVersion"])
        headers = {"Content-Type": "application/json"}
        if since < self.oldest_watchable:
            return Answer(body=(_line(recorded("watch_error_410")),), headers=headers)
        # A version of the future is met with silence: no event is newer than it.
        return Answer(body=tuple(self._changes(seen, since)), headers=headers)

    def _changes(self, seen: Seen, since: int) -> Iterator[bytes]:
        last = since
        for version, path, kind, item, before in self.events:
            if path != seen.path or version <= since:
                continue
            had, has = before is not None and matches(before, seen.query), matches(item, seen.query)
            last = version
            if kind == "DELETED" or (had and not has):
                if had:
                    gone = copy.deepcopy(before)  # the last state that matched, under the new version
                    assert gone is not None
                    gone["metadata"]["resourceVersion"] = str(version)
                    yield _line({"type": "DELETED", "object": gone})
            elif has:
                yield _line({"type": "MODIFIED" if had else "ADDED", "object": item})
        if last > since:
            yield _line({"type": "BOOKMARK", "object": {"kind": "Node", "metadata": {"resourceVersion": str(last)}}})


def matches(item: Object, query: dict[str, str]) -> bool:
    """Whether an object fits fieldSelector and labelSelector. Raises KeyError for a field nobody can select by."""
    for clause in filter(None, query.get("fieldSelector", "").split(",")):
        field, _, wanted = clause.partition("!=" if "!=" in clause else "=")
        if field not in SELECTABLE:
            raise KeyError(field)
        found: Any = item
        for part in field.split("."):
            found = found.get(part, "") if isinstance(found, dict) else ""
        if (str(found) == wanted) is ("!=" in clause):
            return False
    label, is_valued, text = query.get("labelSelector", "").partition("=")
    labels = item["metadata"].get("labels", {})
    return not label or (labels.get(label) == text if is_valued else label in labels)


def _group(name: str) -> Object:
    found: Object = next(group for group in recorded("apigrouplist")["groups"] if group["name"] == name)
    return {"kind": "APIGroup", "apiVersion": "v1", **found}


def _place(item: Object) -> tuple[str, str]:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


def _line(told: Object) -> bytes:
    return msgspec.json.encode(told) + b"\n"
