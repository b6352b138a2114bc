"""Which rights of the account are there: each of the shipped roles (``roles/*.yaml``) asked of the API server."""

from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

import yaml
from msgspec import Struct

from connectors.contract import Denied, Tier
from connectors.kubernetes.client import Client

ROLES = Path(__file__).with_name("roles")
_DRA = "resource.k8s.io"
KUEUE = "kueue.x-k8s.io"
_ASKING = "create selfsubjectaccessreviews.authorization.k8s.io"


class Right(Struct, frozen=True):
    """A verb on a resource (with ``/subresource``) of an API group; on one object only where ``name`` is given."""

    verb: str
    group: str
    resource: str
    name: str = ""

    def __str__(self) -> str:
        told = f"{self.verb} {self.resource}" + (f".{self.group}" if self.group else "")
        return f"{told}/{self.name}" if self.name else told

    def attributes(self) -> dict[str, str]:
        """As the API calls it."""
        resource, _, subresource = self.resource.partition("/")
        asked = {"verb": self.verb, "group": self.group, "resource": resource, "subresource": subresource}
        return {**asked, "name": self.name} if self.name else asked


@cache
def rights(role: str) -> tuple[Right, ...]:
    """The rights of the shipped ClusterRole ``watch`` or ``manage``, in the order of its text."""
    documents = yaml.safe_load_all((ROLES / f"{role}.yaml").read_text(encoding="utf-8"))
    rules = next(document["rules"] for document in documents if document["kind"] == "ClusterRole")
    return tuple(right for rule in rules for right in _of_rule(rule))


def _of_rule(rule: dict[str, list[str]]) -> Iterator[Right]:
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                for name in rule.get("resourceNames", [""]):
                    yield Right(verb, group, resource, name)


def watch(client: Client) -> Tier:
    """What ``observe`` needs; rights on DRA only where the cluster has it."""
    has_dra = client.dra_kinds() is not None
    return _tier(client, tuple(right for right in rights("watch") if has_dra or right.group != _DRA))


def manage(client: Client, groups: Collection[str]) -> Tier:
    """What giving out needs; rights on Kueue only where it is among the API groups of the cluster."""
    return _tier(client, tuple(right for right in rights("manage") if right.group != KUEUE or right.group in groups))


def may_read_reports(client: Client) -> bool:
    """Whether the health reports of Ascend agents can be read."""
    return client.may({"verb": "get", "group": "", "resource": "configmaps", "namespace": "kube-system"})


def _tier(client: Client, wanted: tuple[Right, ...]) -> Tier:
    try:
        missing = tuple(str(right) for right in wanted if not client.may(right.attributes()))
    except Denied as error:
        if error.code != "forbidden":
            raise
        missing = (_ASKING,)
    return Tier(ok=not missing, missing=missing)
