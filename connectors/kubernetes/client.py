"""Asks the API server. Lists come page by page, whole or not at all."""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from msgspec import Struct

from connectors.addresses import BY_DEFAULT, Outgoing
from connectors.contract import Denied, Permanent, Transient
from connectors.failures import not_this_kind
from connectors.http import Http
from connectors.kubernetes import watching
from connectors.kubernetes.access import Access
from connectors.kubernetes.payloads import (
    AccessReview,
    ApiGroup,
    ApiGroupList,
    ConfigMap,
    Namespace,
    Node,
    ObjectList,
    Pod,
    ResourceClaim,
    ResourceSlice,
    Version,
)

ACTIVE_PODS = "status.phase!=Succeeded,status.phase!=Failed,spec.nodeName!="
_DRA_VERSIONS = ("v1", "v1beta2", "v1beta1")
_WATCH_SECONDS = 300
_KUBE_SYSTEM_FORBIDDEN = (
    "The account may not get the namespace kube-system, by whose uid ocenter tells clusters apart. "
    "Bind it to the watch role of the documentation."
)

Item = TypeVar("Item", Node, Pod, ResourceSlice, ResourceClaim, Namespace, ConfigMap)


class Kind(Struct, frozen=True):
    """What to list: the path of a collection, the ``kind`` its answers have, and selectors of objects.

    ``page_size`` is for objects that may be large; 0 takes the pool's.
    """

    path: str
    list_kind: str
    field_selector: str = ""
    label_selector: str = ""
    page_size: int = 0

    def query(self) -> dict[str, str | int]:
        """The parameters that every call of this kind has."""
        told = {"fieldSelector": self.field_selector, "labelSelector": self.label_selector}
        return {name: text for name, text in told.items() if text}


NODES = Kind("/api/v1/nodes", "NodeList")
PODS = Kind("/api/v1/pods", "PodList", field_selector=ACTIVE_PODS)
CONFIG_MAPS = Kind("/api/v1/namespaces/kube-system/configmaps", "ConfigMapList", page_size=50)  # up to 1 MiB each


def our_namespaces(installation: str) -> Kind:
    """The namespaces that this installation gives out; another one's are a tenant's like any."""
    return Kind("/api/v1/namespaces", "NamespaceList", label_selector=f"ocenter.io/installation={installation}")


class Expired(Transient):
    """The snapshot that a list was reading is gone (HTTP 410), also after a new start."""

    code = "expired"


class _Objects(Struct):
    items: list[dict[str, Any]]


class Listed(Struct):
    """One page of a list. ``is_restart`` says that the pages before it are void: the list began anew."""

    items: list[Any]
    resource_version: str
    is_restart: bool = False


class Client:
    """One cluster. ``close`` it. All calls raise the contract's errors."""

    def __init__(self, access: Access, outgoing: Outgoing = BY_DEFAULT) -> None:
        self.http = Http(
            access.url,
            authorize=access.headers,
            tls=access.tls,
            proxy=access.proxy or None,
            outgoing=outgoing,
            secrets=access.secrets,
            headers={"Accept": "application/json", "Accept-Encoding": "gzip" if access.is_compressed else "identity"},
        )
        self._page_size = access.page_size

    def close(self) -> None:
        """Let go of the connection."""
        self.http.close()

    # --- single objects -----------------------------------------------------------------------------------------------

    def cluster_id(self) -> str:
        """The uid of the namespace kube-system: it lives exactly as long as the cluster."""
        try:
            uid = self.http.get("/api/v1/namespaces/kube-system", Namespace).metadata.uid
        except Permanent as error:
            if error.code == "forbidden":
                raise Denied(_KUBE_SYSTEM_FORBIDDEN, code=error.code, platform_words=error.platform_words) from None
            if error.code == "not_found":
                raise not_this_kind(self.http.host, "it has no namespace kube-system", error.platform_words) from None
            raise
        if not uid:
            raise not_this_kind(self.http.host, "its namespace kube-system has no uid")
        return uid

    def version(self) -> tuple[str, datetime | None]:
        """The server's version (``v1.36.2``), and what its clock shows."""
        answer = self.http.fetch("/version")
        version = self.http.decode(answer, Version).git_version
        try:
            return version, parsedate_to_datetime(answer.headers.get("date", "")).replace(tzinfo=UTC)  # always GMT
        except ValueError:
            return version, None

    def groups(self) -> list[str]:
        """The names of the API groups that the cluster serves."""
        return [group.name for group in self.http.get("/apis", ApiGroupList).groups]

    def dra_kinds(self) -> tuple[Kind, Kind] | None:
        """How to list ResourceSlices and ResourceClaims; None where the cluster has no dynamic resource allocation."""
        answer = self.http.fetch("/apis/resource.k8s.io", accept=(403, 404))
        if answer.status == 404:  # its body is plain text
            return None
        if answer.status == 403:  # discovery is closed, and the lists themselves may be open
            served = set(_DRA_VERSIONS[:1])
        else:
            served = {version.version for version in self.http.decode(answer, ApiGroup).versions}
        version = next((version for version in _DRA_VERSIONS if version in served), None)
        if version is None:
            return None
        base = f"/apis/resource.k8s.io/{version}"
        return Kind(f"{base}/resourceslices", "ResourceSliceList"), Kind(f"{base}/resourceclaims", "ResourceClaimList")

    def config_map(self, namespace: str, name: str) -> ConfigMap | None:
        """One ConfigMap, or None when there is none of that name."""
        answer = self.http.fetch(f"/api/v1/namespaces/{namespace}/configmaps/{name}", accept=(404,))
        return None if answer.status == 404 else self.http.decode(answer, ConfigMap)

    def live(self, path: str) -> dict[str, Any] | None:
        """One object as it is now, whole, or None when there is none of that name."""
        answer = self.http.fetch(path, accept=(404,))
        return None if answer.status == 404 else self.http.decode(answer, dict[str, Any])

    def marked(self, path: str, label: str, text: str) -> list[dict[str, Any]]:
        """All objects of a small collection with a label, whole. None where the cluster has no such collection."""
        answer = self.http.fetch(path, params={"labelSelector": f"{label}={text}"}, accept=(404,))
        return [] if answer.status == 404 else self.http.decode(answer, _Objects).items

    def has_node(self, label: str, text: str) -> bool:
        """Whether any node has a label with this text."""
        query: dict[str, str | int] = {"labelSelector": f"{label}={text}", "limit": 1}
        return bool(self.http.decode(self.http.fetch(NODES.path, params=query), _Objects).items)

    def may(self, attributes: dict[str, str]) -> bool:
        """Whether we have a right, told by {verb, group, resource, namespace, ...} as the API calls them."""
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = self.http.send("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=body)
        return self.http.decode(answer, AccessReview).status.allowed

    # --- lists --------------------------------------------------------------------------------------------------------

    def pages(self, kind: Kind, item: type[Item]) -> Iterator[Listed]:
        """Yield the pages of a consistent list.

        A list whose snapshot the server no longer has begins anew, once; the fresh token that the server offers then
        would give a list that misses objects. Raises Expired when that happens again, Transient ``repeated_page`` when
        pages come twice, and what ``Http`` raises.
        """
        yield from self._begun(kind, item, is_restart=False)

    def _begun(self, kind: Kind, item: type[Item], is_restart: bool) -> Iterator[Listed]:
        seen: set[str] = set()
        token, page_type = "", ObjectList[item]  # type: ignore[valid-type]  # built at run time from the item's type
        while True:
            query = {**kind.query(), "limit": kind.page_size or self._page_size}
            if token:
                query["continue"] = token
            try:
                page: ObjectList[Item] = self.http.get(kind.path, page_type, params=query)
            except Permanent as error:
                if error.code != "gone":
                    raise
                if is_restart or not token:
                    raise _expired(kind, error) from None
                break
            self._refuse_other_kind(kind, page.kind)
            items = page.items or []
            uids: set[str] = {found.metadata.uid for found in items}
            is_first, token = not token, page.metadata.next_page
            if len(uids) < len(items) or not uids.isdisjoint(seen) or token in seen:
                raise _repeated(kind, self.http.host)
            seen |= {*uids, token} if token else uids
            yield Listed(items, page.metadata.resource_version, is_restart and is_first)
            if not token:
                return
        yield from self._begun(kind, item, is_restart=True)

    def _refuse_other_kind(self, kind: Kind, told: str) -> None:
        if told != kind.list_kind:
            why = f"it answers with {told[:60]!r} where {kind.list_kind} is asked for"
            raise not_this_kind(self.http.host, why)

    def watch(self, kind: Kind, item: type[Item], resource_version: str) -> Iterator[watching.Event]:
        """Yield what changes after a list. Ends after some minutes; go on from the last event's resource version.

        Raises ``watching.Gone`` when the changes since then are no longer known: list again.
        """
        query = {
            **kind.query(),
            "watch": 1,
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": _WATCH_SECONDS + secrets.randbelow(60),  # spread, so that not all pools come back at once
        }
        lines = self.http.lines(kind.path, params=query, silence_seconds=_WATCH_SECONDS + 90)
        yield from watching.events(lines, item)


def _expired(kind: Kind, error: Permanent) -> Expired:
    return Expired(
        f"The API server forgot {kind.path} twice while we read it. Give it a larger watch cache, or raise the pool's "
        "objects per page.",
        platform_words=error.platform_words,
    )


def _repeated(kind: Kind, host: str) -> Transient:
    return Transient(
        f"{host} sends the same pages of {kind.path} again and again. Nothing is concluded from it; look for a proxy "
        "that caches answers.",
        code="repeated_page",
    )
