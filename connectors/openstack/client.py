"""Talks to the services of one cloud: Keystone's token and catalog, then raw REST on the others."""

import re
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import requests
from keystoneauth1 import exceptions
from keystoneauth1.access import AccessInfoV3
from keystoneauth1.session import Session
from msgspec import Struct
from requests.structures import CaseInsensitiveDict

from connectors import failures
from connectors.addresses import BY_DEFAULT, Outgoing
from connectors.contract import ConnectorError, Permanent, Transient
from connectors.http import Answer, Http
from connectors.openstack.login import Login
from connectors.tls import context

T = TypeVar("T")
PAGES_AT_MOST = 1000
_NO_SUCH_VERSION = 406
_VERSIONED = re.compile(r"/v2(\.\d+)?/?$")


class Endpoint(Struct, frozen=True):
    """Where the catalog says that a service answers."""

    url: str
    service_id: str
    region: str


class Version(Struct):
    """One version of an API."""

    max_version: str = ""


class Versions(Struct):
    """GET / of a service."""

    versions: list[Version] = []


class Cloud:
    """The services of one region. ``byte_count`` and ``call_count`` tell what was read so far. ``close`` it.

    Every call raises the errors of ``connectors.failures``; an expired token is fetched anew once.
    """

    def __init__(self, login: Login, outgoing: Outgoing = BY_DEFAULT) -> None:
        self._login = login
        self._outgoing = outgoing
        self._services: dict[str, Http] = {}
        self._trust = context(login.tls)
        self._keystone = self._http(login.auth_url)
        self.call_count = 0

    @property
    def byte_count(self) -> int:
        """Bytes received from all services since the beginning."""
        return sum(http.byte_count for http in self._all())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with the trust in the services that were used so far."""
        return tuple(dict.fromkeys(warning for http in self._all() for warning in http.warnings))

    @property
    def host(self) -> str:
        """Keystone's host and port."""
        return self._keystone.host

    @property
    def roles(self) -> tuple[str, ...]:
        """Names of the roles that our token carries."""
        return tuple(sorted(self.access().role_names or ()))

    def access(self, *, is_fresh: bool = False) -> AccessInfoV3:
        """Return token, roles and catalog. A token that is there and lives on is used again unless ``is_fresh``."""
        if is_fresh:
            self._login.plugin.invalidate()
        try:
            access = self._login.plugin.get_access(_Door(self._token_answer))
        except (exceptions.ClientException, AttributeError, KeyError, TypeError, ValueError):
            raise self._no_keystone("its answer is no token") from None
        if not isinstance(access, AccessInfoV3):
            raise self._no_keystone("it does not speak version 3 of the identity API")
        return access

    def has(self, service: str) -> bool:
        """Whether the catalog has the service in our region and interface."""
        return self.endpoint(service) is not None

    def endpoint(self, service: str) -> Endpoint | None:
        """Return what the catalog says of the service. Raises Permanent ``invalid_settings`` when it says too much."""
        by_type = self.access().service_catalog.get_endpoints_data(
            service_type=service, interface=self._login.interface, region_name=self._login.region
        )
        found = [
            Endpoint(each.url or "", each.service_id or "", each.region_name or "") for each in chain(*by_type.values())
        ]
        regions = sorted({each.region for each in found})
        if len(regions) > 1:
            raise Permanent(
                f"The catalog of {self.host} has several regions; put one of them into the pool's settings: "
                f"{', '.join(regions[:20])}.",
                code="invalid_settings",
            )
        return found[0] if found else None

    def missing(self, service: str) -> Permanent:
        """Return the error for a service that is needed and not in the catalog."""
        return Permanent(
            f"The catalog of {self.host} has no {self._login.interface} endpoint of the service {service} in region "
            f"{self._login.region or '(any)'}. Check region and interface in the pool's settings, and that the "
            "service is installed.",
            code="invalid_settings",
        )

    def get(self, service: str, path: str, into: type[T], *, versions: tuple[str, ...]) -> T:
        """GET and decode, with the first microversion that the service takes; the newest comes first."""
        http = self._service(service)
        for version in versions:
            self.call_count += 1
            headers = {"OpenStack-API-Version": f"{service} {version}"}
            try:
                return http.get(path, into, headers=headers)
            except Permanent as error:
                # Cyborg puts its words as JSON into a string in JSON.
                error.platform_words = failures.platform_words(error.platform_words.encode())
                if error.code != "rejected" or version == versions[-1]:
                    raise
        raise AssertionError("versions is never empty")

    def version(self, service: str) -> str:
        """Return the newest microversion of a service, which grows with each release; empty when it tells none."""
        try:
            found = self.get(service, "/", Versions, versions=("1.0",)).versions
        except Permanent as error:
            if error.code not in ("not_found", "rejected"):
                raise
            return ""
        return found[0].max_version if found else ""

    def send(
        self,
        service: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        versions: tuple[str, ...],
        accept: tuple[int, ...] = (),
    ) -> Answer:
        """Send a change, once, with the first microversion that the service takes. ``accept`` as in ``Http.send``."""
        http = self._service(service)
        for version in versions:
            self.call_count += 1
            headers = {"OpenStack-API-Version": f"{service} {version}"}
            try:
                answer = http.send(method, path, body=body, headers=headers, accept=(*accept, _NO_SUCH_VERSION))
            except ConnectorError as error:
                error.platform_words = failures.platform_words(error.platform_words.encode())
                raise
            if answer.status != _NO_SUCH_VERSION:
                return answer
        raise Permanent(
            f"The {service} service of {self.host} is older than microversion {versions[-1]}, which delivery needs. "
            "Upgrade it, or only watch this pool.",
            code="not_supported",
        )

    def words(self, answer: Answer) -> str:
        """Return what an answer that was accepted says to people."""
        inner = failures.platform_words(answer.body)
        return self._keystone.censor(failures.platform_words(inner.encode()))

    def pages(self, service: str, path: str, into: type[T], *, version: str, marker: Callable[[T], str]) -> list[T]:
        """GET all pages of a list; ``marker`` finds where the next one begins, or is empty at the end."""
        found: list[T] = []
        seen: set[str] = {""}
        start = ""
        while len(found) < PAGES_AT_MOST:
            where = f"{path}{'&' if '?' in path else '?'}marker={start}" if start else path
            found.append(self.get(service, where, into, versions=(version,)))
            if not (start := marker(found[-1])):
                return found
            if start in seen:
                break
            seen.add(start)
        raise Transient(
            f"The {service} service gives the same page again and again. Nothing was taken from it; it is asked again.",
            code="repeated_page",
        )

    def close(self) -> None:
        """Let go of all connections. May be called twice."""
        for http in self._all():
            http.close()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _all(self) -> tuple[Http, ...]:
        return (self._keystone, *self._services.values())

    def _http(self, url: str, **more: Any) -> Http:
        login = self._login
        return Http(
            url,
            tls=login.tls,
            trust=self._trust,
            outgoing=self._outgoing,
            secrets=login.secrets,
            read_seconds=login.seconds,
            deadline_seconds=max(180.0, 2 * login.seconds),
            **more,
        )

    def _service(self, service: str) -> Http:
        if service not in self._services:
            if (url := self._endpoint(service)) is None:
                raise self.missing(service)
            is_cyborg = service == "accelerator"
            self._services[service] = self._http(url, authorize=self._service_header if is_cyborg else self._header)
        return self._services[service]

    def _header(self, is_refused: bool) -> Mapping[str, str]:
        token = self.access(is_fresh=is_refused).auth_token or ""
        for http in self._all():
            http.censor.add(token)
        return {"X-Auth-Token": token}

    def _service_header(self, is_refused: bool) -> Mapping[str, str]:
        """Cyborg binds for services only. A token without the role is not shown: some clouds refuse it as such."""
        header = self._header(is_refused)
        return {**header, "X-Service-Token": header["X-Auth-Token"]} if "service" in self.roles else header

    def _endpoint(self, service: str) -> str | None:
        found = self.endpoint(service)
        if found is None:
            return None
        # Cyborg's catalog entry is written both with and without the version.
        return found.url.rstrip("/") + ("/v2" if service == "accelerator" and not _VERSIONED.search(found.url) else "")

    def _token_answer(self, url: str, body: Any) -> requests.Response:
        self.call_count += 1
        try:
            answer = self._keystone.send("POST", url, body=body, headers={"Accept": "application/json"})
        except Permanent as error:
            if error.code in ("not_found", "rejected"):
                raise self._no_keystone("nobody gives tokens there", error.platform_words) from None
            raise
        self._keystone.decode(answer, dict)
        response = requests.Response()
        response.status_code = answer.status
        response.headers = CaseInsensitiveDict(answer.headers)
        response._content = answer.body
        return response

    def _no_keystone(self, why: str, words: str = "") -> Permanent:
        return failures.not_this_kind(self.host, f"it is no Keystone, {why}", words)


class _Door(Session):
    """Lets keystoneauth log in through our one HTTP client, with its trust, limits and errors."""

    def __init__(self, send: Callable[[str, Any], requests.Response]) -> None:
        super().__init__()
        self._send = send

    def request(self, url: str, method: str, *args: Any, **kwargs: Any) -> requests.Response:
        """Send what a log-in sends: one POST with a JSON body."""
        return self._send(url, kwargs["json"])


def marker_of(links: list[dict[str, str]]) -> str:
    """Return the marker of the next page from Nova's links; the host in them is not trusted."""
    href = next((link.get("href", "") for link in links if link.get("rel") == "next"), "")
    return parse_qs(urlsplit(href).query).get("marker", [""])[0]
