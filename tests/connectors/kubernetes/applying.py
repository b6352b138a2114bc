"""What the double does with changes: server-side apply with owners of fields, preconditions, deletion, tokens.

Statuses, reasons and messages are the recorded ones; only the names in them are put in.
"""

import copy
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from tests.connectors.server import Answer, Seen, json_answer

Object = dict[str, Any]
Leaf = tuple[str, ...]
VERBS = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}
IDENTITY_FIELDS = {("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace")}
SPEC_FIELDS = {"ResourceQuota": {"hard", "scopes", "scopeSelector"}, "Namespace": {"finalizers"}}
APPLY_PATCH = "application/apply-patch+yaml"


class Place(Struct, frozen=True):
    """A path taken apart: collection, name and subresource, and which right a change there needs."""

    collection: str
    group: str
    namespace: str
    resource: str
    name: str = ""
    subresource: str = ""

    def attributes(self, verb: str) -> Object:
        """The right, as a SelfSubjectAccessReview names it."""
        return {"verb": verb, "group": self.group, "resource": self.resource, "subresource": self.subresource}


def place(path: str) -> Place:
    """Take a path apart."""
    parts = path.strip("/").split("/")
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    base = "/" + "/".join(parts[: len(parts) - len(rest)])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
        base += f"/namespaces/{namespace}"
    resource, name, subresource = (*rest, "", "")[:3]
    return Place(f"{base}/{resource}", group, namespace, resource, name, subresource)


def leaves(item: Any, at: Leaf = ()) -> Iterator[tuple[Leaf, Any]]:
    """Yield each field that can have an owner, with its value. A list is owned whole."""
    if isinstance(item, dict):
        for name, part in item.items():
            yield from leaves(part, (*at, name))
    elif at not in IDENTITY_FIELDS:
        yield at, item


def put_leaf(item: Object, at: Leaf, value: Any) -> None:
    for name in at[:-1]:
        item = item.setdefault(name, {})
    item[at[-1]] = value


def drop_leaf(item: Object, at: Leaf) -> None:
    for name in at[:-1]:
        item = item.get(name, {})
    item.pop(at[-1], None)


def dotted(at: Leaf) -> str:
    return "." + ".".join(at)


class Applying:
    """The changing half of a cluster. ``owners`` tells for each uid which manager owns which fields.

    ``looks_until_gone`` is for how many looks a deleted namespace is still shown as terminating. ``refuse`` may answer
    a change before it happens. ``most_token_seconds`` caps tokens as many installations do. ``accounts`` tells for each
    token whose it is: the path of a service account and its uid.
    """

    version: int
    objects: dict[str, dict[str, Object]]
    rights: Callable[[Object], bool]
    recorded_answer: Callable[..., Answer]
    recorded: Callable[[str], Any]

    def __init__(self) -> None:
        self.owners: dict[str, dict[str, set[Leaf]]] = {}
        self.looks_until_gone = 0
        self.most_token_seconds = 400 * 86_400
        self.clock_ahead = timedelta()
        self.refuse: Callable[[Seen, Place], Answer | None] = lambda seen, at: None
        self.tokens: list[str] = []
        self.accounts: dict[str, tuple[str, str]] = {}

    # --- what others do -----------------------------------------------------------------------------------------------

    def at(self, path: str) -> Object | None:
        """The object of a path, to be read."""
        where = place(path)
        named = (item for item in self.objects.get(where.collection, {}).values())
        return next((item for item in named if item["metadata"]["name"] == where.name), None)

    def edit(self, path: str, manager: str, change: Callable[[Object], Any]) -> None:
        """Change an object as another manager: what it sets is its own then, what it takes away nobody's."""
        item = self.at(path)
        assert item is not None
        before = dict(leaves(item))
        change(item)
        after = dict(leaves(item))
        owners = self.owners.setdefault(item["metadata"]["uid"], {})
        touched = {at for at in before.keys() | after.keys() if before.get(at) != after.get(at)}
        for fields in owners.values():
            fields -= touched
        owners.setdefault(f"{manager} Update", set()).update(touched & after.keys())
        self._stamp(item)

    def lose(self, path: str) -> None:
        """Delete an object as somebody else would, with all that is in it."""
        item = self.at(path)
        assert item is not None
        self._remove(place(path), item)

    # --- changes ------------------------------------------------------------------------------------------------------

    def change(self, seen: Seen) -> Answer:
        where = place(seen.path)
        if not self.rights(where.attributes(VERBS[seen.method])):
            return self.recorded_answer("error_403_forbidden")
        if (refusal := self.refuse(seen, where)) is not None:
            return refusal
        if where.namespace and (closed := self._closed(where)) is not None and seen.method != "DELETE":
            return closed
        body = msgspec.json.decode(seen.body) if seen.body else {}
        if where.subresource == "token":
            return self._token(where, body)
        if seen.method == "POST":
            return self._create(where, seen, body)
        return self._apply(where, seen, body) if seen.method == "PATCH" else self._delete(where, seen, body)

    def _closed(self, where: Place) -> Answer | None:
        namespace = self.at(f"/api/v1/namespaces/{where.namespace}")
        if namespace is None:
            return self.recorded_answer("error_404_not_found")
        if namespace["metadata"].get("deletionTimestamp"):
            return self.recorded_answer("error_403_namespace_terminating")
        return None

    def _create(self, where: Place, seen: Seen, body: Object) -> Answer:
        if self.at(f"{where.collection}/{body['metadata']['name']}") is not None:
            return self.recorded_answer("error_409_already_exists")
        item = self._born(where, body)
        self.owners[item["metadata"]["uid"]] = {f"{seen.query['fieldManager']} Update": {at for at, _ in leaves(body)}}
        return json_answer(item, status=201)

    def _born(self, where: Place, body: Object) -> Object:
        item = copy.deepcopy(body)
        meta = item["metadata"]
        meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": self._time(timedelta())}
        if where.resource == "namespaces":
            meta.setdefault("labels", {})["kubernetes.io/metadata.name"] = meta["name"]
            item |= {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
        self.objects.setdefault(where.collection, {})[meta["uid"]] = item
        self._stamp(item)
        return item

    def _apply(self, where: Place, seen: Seen, body: Object) -> Answer:
        if seen.headers["content-type"] != APPLY_PATCH:
            return self.recorded_answer("error_415_media_type")
        known = SPEC_FIELDS.get(body["kind"])
        if known and not body.get("spec", {}).keys() <= known:
            return self.recorded_answer("error_apply_unknown_field")
        uid, version = (body["metadata"].pop(name, None) for name in ("uid", "resourceVersion"))
        item = self.at(seen.path)
        if item is None:
            if uid:
                return self.recorded_answer("error_409_conflict_stale_update")
            if not self.rights(where.attributes("create")):
                return self.recorded_answer("error_403_forbidden")
            item = self._born(where, {**body, "metadata": {**body["metadata"]}})
            self.owners[item["metadata"]["uid"]] = {
                f"{seen.query['fieldManager']} Apply": {at for at, _ in leaves(body)}
            }
            return json_answer(item, status=201)
        if (uid or item["metadata"]["uid"], version or item["metadata"]["resourceVersion"]) != (
            item["metadata"]["uid"],
            item["metadata"]["resourceVersion"],
        ):
            return self.recorded_answer("error_409_conflict_stale_update")
        return self._merged(item, seen, dict(leaves(body)))

    def _merged(self, item: Object, seen: Seen, wanted: dict[Leaf, Any]) -> Answer:
        owners = self.owners.setdefault(item["metadata"]["uid"], {})
        me = f"{seen.query['fieldManager']} Apply"
        there = dict(leaves(item))
        contested = {
            at: who
            for who, fields in owners.items()
            for at in fields & wanted.keys()
            if who != me and there.get(at) != wanted[at]
        }
        if contested and seen.query.get("force") != "true":
            return json_answer(self._conflict(contested), status=409)
        for at, who in contested.items():
            owners[who].discard(at)
        before = copy.deepcopy(item)
        for at in owners.get(me, set()) - wanted.keys():
            if not any(at in fields for who, fields in owners.items() if who != me):
                drop_leaf(item, at)
        for at, value in wanted.items():
            put_leaf(item, at, value)
        owners[me] = set(wanted)
        if item != before:
            self._stamp(item)
        return json_answer(item)

    def _conflict(self, contested: dict[Leaf, str]) -> Object:
        told: Object = self.recorded("error_409_apply_conflict")
        (at, who), *_ = sorted(contested.items())
        count = f"{len(contested)} conflict{'s' if len(contested) > 1 else ''}"
        told["message"] = f'Apply failed with {count}: conflict with "{who.split()[0]}" using v1: {dotted(at)}'
        return told

    def _delete(self, where: Place, seen: Seen, body: Object) -> Answer:
        item = self.at(seen.path)
        if item is None:
            return self.recorded_answer("error_404_not_found")
        if any(item["metadata"][name] != text for name, text in body.get("preconditions", {}).items()):
            return self.recorded_answer("error_409_conflict_stale_update")
        if where.resource == "namespaces" and self.looks_until_gone:
            item["metadata"]["deletionTimestamp"] = self._time(timedelta())
            item["status"]["phase"] = "Terminating"
            self._stamp(item)
        else:
            self._remove(where, item)
        return json_answer(item)

    def _remove(self, where: Place, item: Object) -> None:
        self.version += 1
        self.objects[where.collection].pop(item["metadata"]["uid"])
        if where.resource == "namespaces":
            inside = f"/namespaces/{item['metadata']['name']}/"
            for path in [path for path in self.objects if inside in path]:
                del self.objects[path]

    def looked_at(self, item: Object) -> Object | None:
        """What a look shows; each brings a terminating namespace nearer to its end."""
        if item["metadata"].get("deletionTimestamp") and item.get("kind") == "Namespace":
            if self.looks_until_gone == 0:
                self._remove(place(f"/api/v1/namespaces/{item['metadata']['name']}"), item)
                return None
            self.looks_until_gone -= 1
        return item

    def _token(self, where: Place, body: Object) -> Answer:
        asked_seconds = body["spec"]["expirationSeconds"]
        if asked_seconds < 600:
            return self.recorded_answer("error_422_token_too_short")
        path = f"{where.collection}/{where.name}"
        if (account := self.at(path)) is None:
            return self.recorded_answer("error_404_not_found")
        given = timedelta(seconds=min(asked_seconds, self.most_token_seconds))
        token = f"eyJ-{uuid.uuid4()}"
        self.tokens.append(token)
        self.accounts[token] = (path, account["metadata"]["uid"])
        answer: Object = self.recorded("tokenrequest")
        answer["status"] = {"token": token, "expirationTimestamp": self._time(given)}
        return json_answer(answer, status=201)

    def _stamp(self, item: Object) -> None:
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)

    def _time(self, later: timedelta) -> str:
        return f"{datetime.now(UTC) + self.clock_ahead + later:%Y-%m-%dT%H:%M:%SZ}"
