"""The tokens of a tenant at everything that belongs to another: 404, and no name or id of the other in any answer.

A word stands in all names of the other tenant. What is answered to one of its names or ids is compared with what is
answered to one that never was.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from django.db import transaction
from django.test import Client
from drf_spectacular.generators import SchemaGenerator

from pools.domain import ids, roles
from pools.models import AuditEvent, Project
from tests import factories
from tests.fuzz import world

pytestmark = pytest.mark.django_db
OTHER, NEVER = "xyzzy", "plugh"
OF_NOBODY = ("kind", "model", "flavor")
VOLATILE = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}|\d{4}-\d\d-\d\d[T ][0-9:.+Z]*|oc_\w+|/invitation/[\w-]+")
NAMES = {
    "parent": "project",
    "under": "project",
    "object": "project",
    "actor": "user",
    "service_account": "account",
    "request_id": "token",
}
"""Of what the parameters are whose own name does not say it."""
BODY = {"name": "n1", "role": "viewer", "email": "bo@example.com", "kind": "simulated", "username": "bo"}


class Operation(NamedTuple):
    """``names`` stand in its path, ``queries`` behind it; ``fields`` are those of its body, None without one."""

    method: str
    path: str
    names: list[str]
    queries: list[str]
    fields: list[str] | None


class Told(NamedTuple):
    """All that an answer says."""

    status: int
    text: str


def operations() -> Iterator[Operation]:
    """Yield every operation of the description."""
    described = SchemaGenerator().get_schema(request=None, public=True)
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            shape = described["components"]["schemas"].get(str((body or {}).get("$ref")).rpartition("/")[2], {})
            queries = [each["name"] for each in operation["parameters"] if each.get("in") == "query"]
            fields = None if body is None else list(shape.get("properties", []))
            yield Operation(method.upper(), path, re.findall(r"{(\w+)}", path), queries, fields)


def body(operation: Operation) -> dict[str, str]:
    return {name: BODY[name] for name in operation.fields or () if name in BODY}


class Tenants:
    """Both tenants, a pool that both may use, and those who ask, who all belong to the first."""

    def __init__(self) -> None:
        made = world.made("acme", OTHER)
        self.own, self.other = made.tenants
        common = factories.granted(factories.pool("common"), *Project.objects.filter(parent=None))
        self.own.things["pool"].insert(0, str(common.pk))
        self.shared = made.shared
        self.secret = {each for found in self.other.things.values() for each in found if len(each) > 20} | {OTHER}

    def ask(self, role: str, method: str, path: str, given: Any = None, *, token: str = "") -> Told:
        """Ask for it, and undo what it did."""
        mark = transaction.savepoint()
        told = self.done(token or self.own.tokens[role], method, path, given)
        transaction.savepoint_rollback(mark)
        return told

    def done(self, token: str, method: str, path: str, given: Any = None, **more: str) -> Told:
        """Ask for it."""
        answer: Any = Client(raise_request_exception=False).generic(
            method,
            path,
            b"" if given is None else json.dumps(given).encode(),
            content_type="application/json",
            headers={"Authorization": f"Bearer {token}"} | more,
        )
        text = b"".join(answer.streaming_content) if answer.streaming else answer.content
        headers = {name: value for name, value in answer.items() if name not in ("X-Request-ID", "ETag")}
        return Told(answer.status_code, f"{headers} {text.decode()}")

    def tells(self, told: Told, *given: str) -> set[str]:
        """Return what an answer tells of the other tenant, beyond what it was given."""
        text = told.text
        for each in sorted(given, key=len, reverse=True):
            text = text.replace(each, "").replace(quote(each, safe=""), "")
        return {secret for secret in self.secret if secret in text}

    def address(self, operation: Operation, **names: str) -> str:
        """Return where it is for things of the first tenant, but for those that are named."""
        here = {name: found[0] for name, found in (self.own.things | self.shared).items()}
        return operation.path.format(**here | {name: quote(value, safe="/") for name, value in names.items()})


def never(reference: str) -> str:
    """Return a reference of the same kind to what never was."""
    if reference.isdigit():
        return "999999999"
    return reference.replace(OTHER, NEVER) if OTHER in reference else str(ids.new_id())


def alike(one: Told, reference: str, other: Told, made_up: str) -> bool:
    """Tell whether both answers say the same, but for what they were asked and what is new in every answer."""
    return one.status == other.status and _bare(one.text, reference) == _bare(other.text, made_up)


def _bare(text: str, asked: str) -> str:
    if not asked.isdigit():  # the number of a session stands in any text
        text = text.replace(asked, "_").replace(quote(asked, safe=""), "_")
    return VOLATILE.sub("_", text)


@pytest.fixture
def tenants():
    return Tenants()


@pytest.mark.parametrize("role", roles.PROJECT_ROLES)
class TestAMemberOfAnotherTenant:
    def test_gets_404_at_every_address_as_if_there_had_never_been_anything(self, tenants, role):
        wrong, asked = [], 0
        before = AuditEvent.objects.count()

        for operation in operations():
            for name in operation.names:
                for reference in () if name in OF_NOBODY else tenants.other.things[name]:
                    made_up = never(reference)
                    for given in [{}, body(operation)] if operation.fields else [None]:
                        theirs = tenants.ask(
                            role, operation.method, tenants.address(operation, **{name: reference}), given
                        )
                        nobodys = tenants.ask(
                            role, operation.method, tenants.address(operation, **{name: made_up}), given
                        )
                        asked += 1
                        # Behind a project of one's own it may be forbidden to ask at all.
                        if theirs.status != 404 and operation.names.index(name) == 0:
                            wrong.append((operation.method, operation.path, reference, theirs))
                        if not alike(theirs, reference, nobodys, made_up) or tenants.tells(theirs, reference):
                            wrong.append((operation.method, operation.path, reference, theirs, nobodys))

        assert not wrong, f"{len(wrong)} of {asked}:\n" + "\n".join(map(str, wrong))
        assert asked > 150 and AuditEvent.objects.count() == before

    def test_finds_nothing_in_any_list_whatever_the_filter(self, tenants, role):
        wrong, asked = [], 0

        for operation in operations():
            if operation.method != "GET":
                continue
            here = tenants.address(operation)
            told = tenants.ask(role, "GET", here)
            if tenants.tells(told):
                wrong.append((here, told))
            for query in operation.queries:
                for reference in [*tenants.other.things.get(NAMES.get(query, query), []), OTHER]:
                    made_up = never(reference)
                    theirs = tenants.ask(role, "GET", f"{here}?{query}={quote(reference, safe='')}")
                    nobodys = tenants.ask(role, "GET", f"{here}?{query}={quote(made_up, safe='')}")
                    asked += 1
                    if not alike(theirs, reference, nobodys, made_up) or tenants.tells(theirs, reference):
                        wrong.append((here, query, reference, theirs, nobodys))

        assert not wrong, f"{len(wrong)} of {asked}:\n" + "\n".join(map(str, wrong))
        assert asked > 200

    def test_learns_nothing_by_a_cursor_of_theirs(self, tenants, role):
        followed = 0

        for operation in operations():
            if "cursor" not in operation.queries or operation.names:
                continue
            first = tenants.ask(role, "GET", f"{operation.path}?limit=1", token=tenants.other.tokens["owner"])
            found = re.search(r'"next":"[^"]*[?&]cursor=([^"&]+)', first.text)
            if found:
                told = tenants.ask(role, "GET", f"{operation.path}?cursor={found[1]}")
                assert told.status in (200, 403) and not tenants.tells(told, found[1]), operation.path
                followed += 1

        assert followed >= 2

    def test_learns_nothing_by_naming_things_in_a_body(self, tenants, role):
        wrong, asked = [], 0

        for operation in operations():
            if operation.fields is None:
                continue
            here = tenants.address(operation)
            for shape, name in named(operation):
                for reference in tenants.other.things[name]:
                    made_up = never(reference)
                    theirs = tenants.ask(role, operation.method, here, body_of(operation, shape, reference))
                    nobodys = tenants.ask(role, operation.method, here, body_of(operation, shape, made_up))
                    asked += 1
                    if not alike(theirs, reference, nobodys, made_up) or tenants.tells(theirs, reference):
                        wrong.append((operation.method, operation.path, shape, reference, theirs, nobodys))

        assert not wrong, f"{len(wrong)} of {asked}:\n" + "\n".join(map(str, wrong))
        assert asked >= 15

    def test_is_not_answered_what_they_were_by_their_key(self, tenants, role):
        key = {"Idempotency-Key": f"key-{OTHER}"}
        asked = "PATCH", "/api/v1/me", {"language": "en"}
        kept = tenants.done(tenants.other.tokens["owner"], *asked, **key)

        told = tenants.done(tenants.own.tokens[role], *asked, **key)

        assert tenants.tells(kept) and told.status == 200
        assert not tenants.tells(told) and "Replayed" not in told.text


def named(operation: Operation) -> Iterator[tuple[str, str]]:
    """Yield (where in the body, what) for all that a body may name."""
    if not operation.fields and operation.path.endswith(("/grants", "/platform-roles")):
        yield "", "project"
    for field in operation.fields or ():
        if field == "scope":
            yield from (("scope.projects", "project"), ("scope.pools", "pool"))
        elif field in ("user", "project", "parent", "service_account", "username"):
            yield field, {"username": "user"}.get(field, NAMES.get(field, field))
        elif field == "email":
            yield field, "invitation"


def body_of(operation: Operation, where: str, reference: str) -> Any:
    """Return a body that is right but for this reference."""
    if not where:
        return [reference]
    outer, _, inner = where.partition(".")
    return body(operation) | {outer: {inner: [reference]} if inner else reference}
