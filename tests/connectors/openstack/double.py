"""A double of a cloud: plays answers recorded from the real services (see record.py), and lets a test change them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from connectors.openstack.connector import OpenStack
from tests.connectors.server import INSTALLATION, LOOPBACK, Answer, FaultServer, Identity, Seen, json_answer, serving

RECORDED = Path(__file__).parent / "recorded"
PASSWORD = "correct horse battery"
NEWEST = {"accelerator": (2, 3), "placement": (1, 39), "compute": (2, 100)}
UNAUTHORIZED = {"error": {"code": 401, "message": "The request you have made requires authentication."}}

Query = frozenset[tuple[str, str]]


class Double:
    """One cloud. ``newest`` are the microversions that its services take; ``tokens`` the live tokens."""

    def __init__(self, recorded: str) -> None:
        self.newest = dict(NEWEST)
        self.password = PASSWORD
        self.tokens: set[str] = set()
        self.logins = 0
        self.token: dict[str, Any] = {}
        self._answers: dict[tuple[str, Query, str], tuple[int, Any]] = {}
        for line in (RECORDED / f"{recorded}.jsonl").read_text().splitlines():
            exchange = json.loads(line)
            url = urlsplit(exchange["url"].removeprefix("{base}"))
            if exchange["method"] == "POST":
                self.token = exchange["body"]
            else:
                key = (url.path, frozenset(parse_qsl(url.query)), exchange["version"])
                self._answers[key] = (exchange["status"], exchange["body"])

    def body(self, path: str) -> Any:
        """Return what the path (with query) answers in every microversion, to be changed in place."""
        url = urlsplit(path)
        wanted = (url.path, frozenset(parse_qsl(url.query)))
        found = [body for (where, query, _), (status, body) in self._answers.items() if (where, query) == wanted]
        return found[0]

    def put(self, path: str, body: Any, *, status: int = 200) -> None:
        """Answer the path (with query) so, in every microversion."""
        url = urlsplit(path)
        query = frozenset(parse_qsl(url.query))
        for key in [key for key in self._answers if key[:2] == (url.path, query)]:
            del self._answers[key]
        self._answers[(url.path, query, "")] = (status, body)

    def without(self, service: str) -> None:
        """Take a service out of the catalog."""
        catalog = self.token["token"]["catalog"]
        catalog[:] = [entry for entry in catalog if entry["type"] != service]

    def add_host(self, name: str) -> None:
        """Add a host without cards."""
        root = {"uuid": name, "name": name, "root_provider_uuid": name, "parent_provider_uuid": None}
        self.body("/placement/resource_providers")["resource_providers"].append(root)
        memory = {"resources": {"MEMORY_MB": {"capacity": 1024, "used": 0}}, "traits": []}
        self.body("/placement/allocation_candidates?resources=MEMORY_MB:1")["provider_summaries"][name] = memory

    def handler(self, base: str, seen: Seen) -> Answer:
        """Answer one request as the recorded services did."""
        if seen.path.endswith("/auth/tokens"):
            return _at(base, self._log_in(seen))
        if seen.headers.get("x-auth-token") not in self.tokens:
            return json_answer(UNAUTHORIZED, status=401)
        _, service, *_ = seen.path.split("/")
        version = seen.headers.get("openstack-api-version", "")
        if version and tuple(map(int, version.split()[1].split("."))) > self.newest[service]:
            return json_answer({"errors": [{"status": 406, "title": "Not Acceptable"}]}, status=406)
        return _at(base, self._find(seen, version))

    def _log_in(self, seen: Seen) -> Answer:
        identity = json.loads(seen.body)["auth"]["identity"]
        secret = (
            identity["password"]["user"]["password"]
            if "password" in identity
            else identity["application_credential"]["secret"]
        )
        if secret != self.password:
            return json_answer(UNAUTHORIZED, status=401)
        self.logins += 1
        token = f"token-{self.logins}"
        self.tokens.add(token)
        # The recorded token has expired long ago; the real one lives for an hour.
        body = {"token": {**self.token["token"], "expires_at": "2999-01-01T00:00:00.000000Z"}}
        return json_answer(body, status=201, headers={"X-Subject-Token": token})

    def _find(self, seen: Seen, version: str) -> Answer:
        query = frozenset(seen.query.items())
        for known in (version, "", *sorted({key[2] for key in self._answers}, reverse=True)):
            if (seen.path, query, known) in self._answers:
                status, body = self._answers[(seen.path, query, known)]
                return json_answer(body, status=status)
        return json_answer({"error": {"code": 404, "message": f"nothing at {seen.path}"}}, status=404)


def _at(base: str, answer: Answer) -> Answer:
    assert isinstance(answer.body, bytes)
    answer.body = answer.body.replace(b"{base}", base.encode())
    return answer


class Served:
    """A double behind its server, with the settings that lead to it."""

    def __init__(self, double: Double, server: FaultServer) -> None:
        self.double = double
        self.server = server

    @property
    def settings(self) -> dict[str, Any]:
        return {"auth_url": f"{self.server.url}/identity/v3", "username": "watcher", "project_name": "admin"}

    @property
    def credential(self) -> dict[str, Any]:
        return {"password": PASSWORD}

    def connector(self, **settings: Any) -> OpenStack:
        return OpenStack({**self.settings, **settings}, self.credential, LOOPBACK, INSTALLATION)


@contextmanager
def served(recorded: str, *, identity: Identity | None = None) -> Iterator[Served]:
    """Run a double for the time of a block."""
    double = Double(recorded)
    address: list[str] = []
    with serving(lambda seen: double.handler(address[0], seen), identity=identity) as server:
        address.append(server.url)
        yield Served(double, server)
