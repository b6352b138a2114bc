"""What a target shall look like: the objects that carry its orders, as server-side apply is told them. Pure.

Source: Kubernetes API reference v1.36 (Namespace, ResourceQuota, ServiceAccount, RoleBinding); Server-Side Apply.
"""

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct

from connectors.contract import Order, Permanent, Target
from connectors.kubernetes.products import unit_milli
from connectors.kubernetes.resources import DEVICE_CLASS, classify

MANAGER = "ocenter"
MANAGED_BY = "app.kubernetes.io/managed-by"
ALLOCATION = "ocenter.io/allocation"
INSTALLATION = "ocenter.io/installation"
GENERATION = "ocenter.io/generation"
ORDERS = "ocenter.io/orders"
PROJECT = "ocenter.io/project"
SPEC_HASH = "ocenter.io/spec-hash"
NAMESPACES = "/api/v1/namespaces"
ROLE = "edit"
_RBAC = "rbac.authorization.k8s.io"

Body = dict[str, Any]

_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_OF_THE_CLUSTER = ("kube-", "openshift")


class Wanted(Struct, frozen=True, kw_only=True):
    """An object as it shall be. ``intent`` is all that we have to say of it.

    ``seed`` is what it is made from: only what never changes, so that nothing has to change its owner later. It is None
    where the object is the tenant's.
    """

    path: str
    seed: Body | None
    intent: Body

    @property
    def collection(self) -> str:
        """Where objects of this kind are made."""
        return self.path.rpartition("/")[0]


def namespace_path(target: Target) -> str:
    """Where the namespace of a target is. Raises Permanent ``invalid`` for a name that nobody may be given.

    Who may edit a namespace of the cluster itself reads the secrets there, and with them has the cluster.
    """
    if not _DNS_LABEL.fullmatch(target.ref):
        raise Permanent(
            f"{target.ref[:80]!r} is no name of a namespace. Use small letters, digits and dashes, at most 63.",
            code="invalid",
        )
    if target.ref == "default" or target.ref.startswith(_OF_THE_CLUSTER):
        raise Permanent(
            f"The namespace {target.ref} belongs to the cluster itself and is given to nobody. Name one of a tenant.",
            code="invalid",
        )
    return f"{NAMESPACES}/{target.ref}"


def quota_path(target: Target) -> str:
    """Where the quota of a target is."""
    return f"{namespace_path(target)}/resourcequotas/{MANAGER}"


def account_path(target: Target) -> str:
    """Where the account is that the tenant works with."""
    return f"{namespace_path(target)}/serviceaccounts/{MANAGER}"


def binding_path(target: Target) -> str:
    """Where the account is given its role."""
    return f"/apis/{_RBAC}/v1/namespaces/{target.ref}/rolebindings/{MANAGER}"


def objects(target: Target, orders: Sequence[Order], marks: "Marks") -> list[Wanted]:
    """Return what carries the orders, in the order in which it is made.

    The namespace comes first and its generation is the target's; nobody can work in it before the limit is there.
    Raises Permanent ``invalid`` for orders that no quota can say.
    """
    inside = {"namespace": target.ref}
    binding = {
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": ROLE},
        "subjects": [{"kind": "ServiceAccount", "name": MANAGER, **inside}],
    }
    return [
        marks.on(namespace_path(target), "v1", "Namespace", {"name": target.ref}, has_orders=True),
        marks.on(
            quota_path(target),
            "v1",
            "ResourceQuota",
            {"name": MANAGER, **inside},
            changing={"spec": {"hard": hard(orders)}},
            has_orders=True,
        ),
        marks.on(account_path(target), "v1", "ServiceAccount", {"name": MANAGER, **inside}),
        marks.on(binding_path(target), f"{_RBAC}/v1", "RoleBinding", {"name": MANAGER, **inside}, fixed=binding),
    ]


def hard(orders: Sequence[Order]) -> dict[str, str]:
    """Return the limits of the one quota: the sum of the orders for each resource, and nothing but accelerators.

    Two quotas in one namespace would bind each by itself, and one on cpu or memory would refuse pods that name none.
    """
    total: dict[str, int] = {}
    for order in orders:
        key = order.resource if order.resource.endswith(DEVICE_CLASS) else f"requests.{order.resource}"
        total[key] = total.get(key, 0) + units(order)
    return {key: str(total[key]) for key in sorted(total)}


def units(order: Order) -> int:
    """Return how many units of its resource an order is. Raises Permanent ``invalid`` where it is no whole number."""
    if "/" not in order.resource:
        raise _invalid(order, "names no resource of the cluster, and a quota limits by such names")
    unit = _unit_milli(order)
    count, rest = divmod(order.milli, unit or order.milli + 1)
    if rest or not count:
        raise _invalid(order, f"is {order.milli} thousandths of a card, which no count of {order.resource} is")
    return count


def _unit_milli(order: Order) -> int:
    profile = order.profile or classify(order.resource).profile
    if not profile:
        return 1000
    share = profile.removeprefix("shared-")
    if share != profile and share.isdecimal():
        return 1000 // max(1, int(share))
    return unit_milli(classify(order.resource).vendor, profile, order.model)


def _invalid(order: Order, why: str) -> Permanent:
    return Permanent(
        f"The order {order.marker} {why}. Ask for whole units of what the pool counts, or choose another pool.",
        code="invalid",
    )


class Marks:
    """What stands on every object of a target: whose it is, for what, and of which generation."""

    def __init__(self, target: Target, orders: Sequence[Order], installation: str) -> None:
        self._target = target
        marker = orders[0].marker if len(orders) == 1 else target.ref
        self._fixed = {MANAGED_BY: MANAGER, INSTALLATION: installation}
        self._labels = {**self._fixed, ALLOCATION: marker}
        told = {order.marker: _told(order) for order in sorted(orders, key=lambda order: order.marker)}
        self._orders = msgspec.json.encode(told, order="sorted").decode()

    def on(
        self,
        path: str,
        version: str,
        kind: str,
        names: Mapping[str, str],
        *,
        fixed: Mapping[str, Any] | None = None,
        changing: Mapping[str, Any] | None = None,
        has_orders: bool = False,
    ) -> Wanted:
        is_tenants = self._target.is_tenants and kind == "Namespace"
        head = {"apiVersion": version, "kind": kind}
        labels = {name: text for name, text in self._labels.items() if name != MANAGED_BY or not is_tenants}
        annotations = {GENERATION: str(self._target.generation)}
        if has_orders:
            annotations[ORDERS] = self._orders
        if kind == "Namespace" and self._target.project:
            annotations[PROJECT] = self._target.project
        spec = {**(fixed or {}), **(changing or {})}
        annotations[SPEC_HASH] = _hash({**head, **names, "labels": labels, "annotations": annotations, **spec})
        return Wanted(
            path=path,
            seed=None if is_tenants else {**head, "metadata": {**names, "labels": self._fixed}, **(fixed or {})},
            intent={**head, "metadata": {**names, "labels": labels, "annotations": annotations}, **spec},
        )


def _told(order: Order) -> Body:
    """What the annotation says of an order, for people and for whoever finds it without us."""
    told = {"allocation": order.allocation, "member": order.member, "resource": order.resource, "units": units(order)}
    return {**told, "lease_end_at": order.lease_end_at} if order.lease_end_at else told


def _hash(spec: Body) -> str:
    return blake2b(msgspec.json.encode(spec, order="deterministic"), digest_size=16).hexdigest()
