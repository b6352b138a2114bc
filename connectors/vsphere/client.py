"""One session at a vCenter: reads in pages, whole or not at all, and is logged out in the end."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct
from pyVmomi import vim, vmodl

from connectors import failures
from connectors.addresses import BY_DEFAULT, Outgoing
from connectors.contract import ConnectorError, Permanent, Transient
from connectors.http import Http
from connectors.tls import Tls
from connectors.vsphere import lean
from connectors.vsphere.faults import Expired, translated
from connectors.vsphere.stub import Stub, version_of

LONGEST_POLL_SECONDS = 30
"""The most that WaitForUpdatesEx may be told to wait: well below the time in which each answer must come."""

Query = vmodl.query.PropertyCollector


class Seen(Struct, frozen=True):
    """One object. A path without a value is in neither; ``unknown`` are those that the server would not tell."""

    ref: Any
    values: dict[str, Any]
    unknown: frozenset[str] = frozenset()


class Client:
    """Reaches nothing before the first use of ``content``; ``close`` it. May be used by several threads.

    Its methods raise the contract's errors. Calls on objects below ``content`` raise the faults of vCenter as they are,
    for ``faults.translated``, and the contract's errors for all that is no answer. A read finds a session that has
    ended and logs in again; a write never does, since nobody knows what became of it.
    """

    def __init__(
        self, settings: Mapping[str, Any], credential: Mapping[str, Any], outgoing: Outgoing = BY_DEFAULT
    ) -> None:
        """Raises Permanent ``invalid_settings`` when settings and credential do not fit."""
        self.settings = settings
        self._user = str(settings.get("username") or "")
        self._password = str(credential.get("password") or "")
        url = urlsplit(str(settings["url"]))
        self._path = url.path.rstrip("/") or "/sdk"
        self._http = Http(
            f"{url.scheme}://{url.netloc}",
            tls=_trust(settings),
            outgoing=outgoing,
            secrets=[self._password] if self._password else [],
        )
        self._content: Any = None
        self._stub: Stub | None = None
        self._collectors: list[Any] = []
        self._lock = threading.Lock()
        self._is_closed = False

    @property
    def host(self) -> str:
        """Host and port, for messages."""
        return self._http.host

    @property
    def byte_count(self) -> int:
        """Bytes received since the beginning."""
        return self._http.byte_count

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know about the way to this vCenter."""
        return self._http.warnings

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called, perhaps by another thread."""
        return self._is_closed

    @property
    def content(self) -> Any:
        """The service content. Logs in at the first use."""
        if self._is_closed:
            raise Transient(f"The session at {self.host} was closed. Connect again.")
        with self._lock:
            if self._content is None:
                self._stub = Stub(self._http, self._path, version_of(self._http, self._path))
                content = self._about(self._stub)
                self._log_in(content, self._stub)
                self._stub.log_in = lambda before: self._log_in_again(content, before)
                self._content = content
        return self._content

    def sweep(self, kind: type, paths: Sequence[str], *, page_size: int) -> Iterator[list[Seen]]:
        """Yield all objects of a managed type, each once.

        Their values are those of ``lean``. A session that ends in the middle is begun anew, once, and what was told is
        not told again. Raises Expired when that happens again, Transient ``repeated_page`` when an object comes twice,
        and what else goes wrong between pages: after a lost answer nobody knows at which page the server is.
        """
        told: set[str] = set()
        for is_last_try in (False, True):
            try:
                for page in self._swept(kind, paths, page_size):
                    fresh = [seen for seen in page if seen.ref._GetMoId() not in told]
                    told.update(seen.ref._GetMoId() for seen in fresh)
                    yield fresh
            except Expired:
                if is_last_try:
                    raise
            else:
                return

    def read(self, refs: Sequence[Any], paths: Sequence[str], *, is_lean: bool = False) -> list[Seen]:
        """Read objects of one type. Those that are gone are left out. ``is_lean`` is for looks: see ``lean``."""
        left = list(refs)
        while left:
            spec = Query.FilterSpec(
                objectSet=[Query.ObjectSpec(obj=ref) for ref in left],
                propSet=[Query.PropertySpec(type=type(left[0]), pathSet=list(paths))],
                reportMissingObjectsInResults=True,
            )
            try:
                return [seen for page in self._pages(spec, len(left), is_lean=is_lean) for seen in page]
            except vmodl.fault.ManagedObjectNotFound as fault:
                there = [ref for ref in left if ref != fault.obj]
                left = there if len(there) < len(left) else []
        return []

    @contextmanager
    def collector(self) -> Iterator[Any]:
        """Give a PropertyCollector of one's own, for WaitForUpdatesEx with waits up to ``LONGEST_POLL_SECONDS``.

        ``close`` ends its waiting: the call then raises a fault or a ConnectorError, and ``is_closed`` tells why.
        """
        with translated(self.host):
            made = self.content.propertyCollector.CreatePropertyCollector()
        self._collectors.append(made)
        try:
            yield made
        finally:
            self._collectors.remove(made)
            with suppress(vmodl.MethodFault, ConnectorError):
                made.DestroyPropertyCollector()

    def close(self) -> None:
        """End the waiting of collectors, log out and let go of the connections. May be called twice."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._content is not None and self._stub is not None and self._stub.is_answering:
            with suppress(vmodl.MethodFault, ConnectorError):
                for waiting in tuple(self._collectors):
                    waiting.CancelWaitForUpdates()
            with suppress(vmodl.MethodFault, ConnectorError):
                self._content.sessionManager.Logout()
        self._http.close()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _about(self, stub: Stub) -> Any:
        with translated(self.host):
            content = vim.ServiceInstance("ServiceInstance", stub).RetrieveContent()
        if content is None or not content.about.instanceUuid or content.sessionManager is None:
            raise failures.not_this_kind(self.host, "it is no vCenter")
        return content

    def _log_in(self, content: Any, stub: Stub) -> None:
        with translated(self.host):
            content.sessionManager.Login(self._user, self._password)
        stub.session_count += 1

    def _log_in_again(self, content: Any, before: int) -> None:
        with self._lock:
            if self._stub is None or self._stub.session_count != before:
                return  # another thread was first
            if self._about(self._stub).about.instanceUuid != content.about.instanceUuid:
                raise Permanent(
                    f"Another vCenter answers at {self.host} than before. Correct the address, or register the other "
                    "vCenter as a pool of its own.",
                    code="identity_changed",
                )
            self._log_in(content, self._stub)

    def _swept(self, kind: type, paths: Sequence[str], page_size: int) -> Iterator[list[Seen]]:
        with translated(self.host):
            content = self.content
            view = content.viewManager.CreateContainerView(content.rootFolder, [kind], True)
        through = Query.TraversalSpec(name="view", type=vim.view.ContainerView, path="view", skip=False)
        spec = Query.FilterSpec(
            objectSet=[Query.ObjectSpec(obj=view, skip=True, selectSet=[through])],
            propSet=[Query.PropertySpec(type=kind, pathSet=list(paths))],
        )
        try:
            yield from self._pages(spec, page_size, is_lean=True)
        except vmodl.fault.ManagedObjectNotFound as fault:  # the view: it ended with its session
            raise self._expired() from fault
        finally:
            with suppress(vmodl.MethodFault, ConnectorError):
                view.DestroyView()

    def _pages(self, spec: Any, page_size: int, *, is_lean: bool) -> Iterator[list[Seen]]:
        with translated(self.host):
            collector = self.content.propertyCollector
        if is_lean:
            collector = lean.collector(collector)
        told: set[str] = set()
        page = self._asked(lambda: collector.RetrievePropertiesEx([spec], Query.RetrieveOptions(maxObjects=page_size)))
        while page is not None:
            refs = [found.obj._GetMoId() for found in page.objects]
            if len(set(refs)) < len(refs) or not told.isdisjoint(refs):
                raise _repeated(self.host)
            told.update(refs)
            yield [seen for seen in map(_seen, page.objects) if seen is not None]
            token = page.token
            page = self._continued(collector, token) if token else None

    def _asked(self, ask: Any) -> Any:
        try:
            return ask()
        except vmodl.fault.ManagedObjectNotFound:
            raise  # for the caller, who knows what it means
        except vmodl.MethodFault:
            with translated(self.host):
                raise

    def _continued(self, collector: Any, token: str) -> Any:
        try:
            return self._asked(lambda: collector.ContinueRetrievePropertiesEx(token))
        except Permanent as error:
            if error.code != "rejected":
                raise
            raise self._expired() from error  # the token: another thread logged in again meanwhile

    def _expired(self) -> Expired:
        return Expired(f"The session at {self.host} ended while it was read. It is read again from the beginning.")


def _trust(settings: Mapping[str, Any]) -> Tls:
    way = settings.get("tls_verify") or "verify"
    fingerprint = str(settings.get("tls_fingerprint") or "")
    if way == "fingerprint" and not fingerprint:
        raise Permanent(
            "Give the fingerprint of the server's certificate, or choose another way to check it.",
            code="invalid_settings",
        )
    return Tls(
        ca_pem=str(settings.get("ca_pem") or "") if way == "verify" else "",
        fingerprint=fingerprint if way == "fingerprint" else "",
        is_off=way == "off",
    )


def _seen(found: Any) -> Seen | None:
    """Return what was told of an object; None when it is gone."""
    if any(isinstance(missing.fault, vmodl.fault.ManagedObjectNotFound) for missing in found.missingSet):
        return None
    return Seen(
        found.obj,
        {prop.name: prop.val for prop in found.propSet},
        frozenset(missing.path for missing in found.missingSet),
    )


def _repeated(host: str) -> Transient:
    return Transient(
        f"{host} tells the same objects again and again. Nothing is concluded from it; look for a proxy that caches "
        "answers.",
        code="repeated_page",
    )
