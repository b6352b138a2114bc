"""Which rights of the account are there, asked of the API server one by one."""

from connectors.contract import Denied, Tier
from connectors.kubernetes.client import Client

Right = tuple[str, str, str]
"""Verb, resource (with ``/subresource``), API group."""

_WATCH: tuple[Right, ...] = (("list", "nodes", ""), ("list", "pods", ""))
_WATCH_DRA: tuple[Right, ...] = (
    ("list", "resourceslices", "resource.k8s.io"),
    ("list", "resourceclaims", "resource.k8s.io"),
)
_WRITE = ("get", "list", "create", "patch", "delete")
_MANAGE: tuple[Right, ...] = (
    *((verb, resource, "") for resource in ("namespaces", "resourcequotas", "serviceaccounts") for verb in _WRITE),
    ("create", "serviceaccounts/token", ""),
    *((verb, "rolebindings", "rbac.authorization.k8s.io") for verb in _WRITE),
)
_ASKING = "create selfsubjectaccessreviews.authorization.k8s.io"


def watch(client: Client) -> Tier:
    """What ``observe`` needs; rights on DRA only where the cluster has it."""
    return _tier(client, _WATCH if client.dra_kinds() is None else _WATCH + _WATCH_DRA)


def manage(client: Client) -> Tier:
    """What giving out by namespace and quota needs."""
    asked = _tier(client, _MANAGE)
    if asked.missing == (_ASKING,):
        return asked
    may_bind = client.may(
        {"verb": "bind", "group": "rbac.authorization.k8s.io", "resource": "clusterroles", "name": "edit"}
    )
    missing = asked.missing if may_bind else (*asked.missing, "bind clusterroles.rbac.authorization.k8s.io/edit")
    return Tier(ok=not missing, missing=missing)


def may_read_reports(client: Client) -> bool:
    """Whether the health reports of Ascend agents can be read."""
    return client.may({"verb": "get", "group": "", "resource": "configmaps", "namespace": "kube-system"})


def _tier(client: Client, rights: tuple[Right, ...]) -> Tier:
    missing = []
    for verb, name, group in rights:
        resource, _, subresource = name.partition("/")
        try:
            has = client.may({"verb": verb, "group": group, "resource": resource, "subresource": subresource})
        except Denied as error:
            if error.code != "forbidden":
                raise
            return Tier(ok=False, missing=(_ASKING,))
        if not has:
            missing.append(f"{verb} {name}.{group}" if group else f"{verb} {name}")
    return Tier(ok=not missing, missing=tuple(missing))
