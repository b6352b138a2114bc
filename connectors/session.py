"""Connect to one pool. The only place that loads a connector's code; adds to every call what no connector may forget.

That is: one log line with time and bytes, facts that are checked, errors of the contract only, and no secret in any of
them.
"""

import importlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar, cast

import structlog

from connectors import catalog, contract, structs
from connectors.addresses import BY_DEFAULT, Outgoing
from connectors.censor import Censor
from connectors.contract import ConnectorError, Cursor, Manifest, Order, Page, Permanent, Reading, Target
from connectors.facts import Checked, storable

T = TypeVar("T")


@contextmanager
def connect(
    kind: str,
    settings: Mapping[str, Any],
    credential: Mapping[str, Any],
    *,
    outgoing: Outgoing = BY_DEFAULT,
    installation: str = "",
    identity_key: str | None = None,
    log: Any = None,
) -> Iterator[contract.Connector]:
    """Yield the connector of a pool; it is closed at the end.

    ``outgoing`` limits its addresses, ``installation`` goes into every marker. With ``identity_key`` the far end is
    asked first who it is. ``log`` is a structlog logger to which pool and run are bound. Raises InvalidSettings,
    Permanent ``unknown_kind`` or ``identity_changed``, and what the connector raises.
    """
    valid = catalog.validate(kind, settings, credential)
    censor = Censor(text for text in valid.credential.values() if isinstance(text, str))
    calls = _Calls(catalog.manifest(kind), censor, (log or structlog.get_logger("connectors")).bind(kind=kind))
    session = _session(calls.call("open", lambda: _load(kind, valid, outgoing, installation)), calls)
    try:
        if identity_key is not None and (found := session.identity()).key != identity_key:
            raise Permanent(
                f"Another far end answers at this address: {found.label or found.key} instead of {identity_key}. "
                "Nothing was changed. Correct the address, or register the other one as a pool of its own.",
                code="identity_changed",
            )
        yield session
    finally:
        session.close()


def _load(kind: str, valid: catalog.Valid, outgoing: Outgoing, installation: str) -> contract.Connector:
    module, _, name = catalog.manifest(kind).connector.partition(":")
    kind_of_connector = getattr(importlib.import_module(module), name)
    structs.learn()
    connector: contract.Connector = kind_of_connector(valid.settings, valid.credential, outgoing, installation)
    return connector


class _Calls:
    """Runs the calls of one session."""

    def __init__(self, manifest: Manifest, censor: Censor, log: Any) -> None:
        self._manifest = manifest
        self._censor = censor
        self._log = log

    def change(self, name: str, ask: Callable[[], T]) -> T:
        """Like ``call``, for what only a connector that can apply knows how to do."""
        if "apply" not in self._manifest.capabilities:
            why = self._manifest.missing.get("apply", f"Pools of the kind {self._manifest.label} can only be watched.")
            raise Permanent(why, code="not_supported")
        return self.call(name, ask)

    def call(self, name: str, ask: Callable[[], T]) -> T:
        with self._told(name):
            return ask()

    def pages(self, ask: Callable[[], Iterator[Page]]) -> Iterator[Page]:
        """Check the pages as they come. The time that the caller spends on each of them does not count."""
        checked, counts = Checked(), {"pages": 0, "nodes": 0, "bytes": 0}
        spent_seconds = 0.0
        last: contract.Last | None = None
        with self._told("observe", counts) as told:
            pages = ask()
            while True:
                began = time.monotonic()
                page = next(pages, None)
                if page is None:
                    break
                if last is not None:
                    raise _broken("a page came after the last one")
                page = checked.page(page)
                spent_seconds += time.monotonic() - began
                last = page.last
                counts["pages"] += 1
                counts["nodes"] += len(page.nodes)
                counts["bytes"] += page.byte_count
                told["own_ms"] = round(spent_seconds * 1000)
                yield page
            if last is None:
                raise _broken("the last page did not say that it is the last")

    def changes(self, ask: Callable[[], Iterator[Page]]) -> Iterator[Page]:
        """Check the pages of a watch, each of which is a short observation of its own."""
        with self._told("watch"):
            for page in ask():
                if page.is_full or page.last is None:
                    raise _broken("a page of a watch must be of changes, with its own last")
                yield Checked().page(page)

    @contextmanager
    def _told(self, name: str, counts: Mapping[str, int] | None = None) -> Iterator[dict[str, Any]]:
        began = time.monotonic()
        more: dict[str, Any] = {}
        error: ConnectorError | None = None
        try:
            yield more
        except ConnectorError as raised:
            error = raised
            error.args = (storable(self._censor(str(error))),)
            error.platform_words = storable(self._censor(error.platform_words))
            raise error from None  # what it was raised from may quote a request
        except Exception as raised:
            error = _bug(name, raised)
            self._log.error("connector.bug", call=name, where=_where(raised), exception=type(raised).__qualname__)
            raise error from None  # the text and the frames of the exception may hold secrets
        finally:
            outcome = {"code": error.code} if error else {}
            took_ms = round((time.monotonic() - began) * 1000)
            self._log.info("connector.call", call=name, ms=took_ms, **(counts or {}), **more, **outcome)


def _bug(name: str, raised: Exception) -> Permanent:
    return Permanent(
        f"The connector failed in {name} with {type(raised).__qualname__}. This is a bug in ocenter: please report it "
        "with the log lines of this call.",
        code="connector_bug",
    )


def _broken(what: str) -> Permanent:
    return Permanent(
        f"The connector broke its contract: {what}. This is a bug in ocenter: please report it.", code="connector_bug"
    )


def _where(raised: Exception) -> str:
    """Return file and line where it happened; the text of an unknown exception is no fit for a log."""
    frame = raised.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else ""


# --- the session shows the same faces as its connector ---------------------------------------------------------------


class _Session(contract.Connector):
    def __init__(self, inner: contract.Connector, calls: _Calls) -> None:
        self._inner = inner
        self._calls = calls

    def identity(self) -> contract.Identity:
        return storable(self._calls.call("identity", self._inner.identity))

    def check(self) -> contract.Check:
        return storable(self._calls.call("check", self._inner.check))

    def observe(self, cursor: Cursor | None) -> Iterator[Page]:
        return self._calls.pages(lambda: iter(self._inner.observe(cursor)))

    def plan(self, target: Target, orders: Sequence[Order]) -> contract.Plan:
        return self._calls.change("plan", lambda: self._inner.plan(target, orders))

    def apply(self, target: Target, orders: Sequence[Order]) -> contract.Outcome:
        return self._calls.change("apply", lambda: self._inner.apply(target, orders))

    def probe(self, target: Target) -> contract.Found | contract.Absent:
        return self._calls.change("probe", lambda: self._inner.probe(target))

    def close(self) -> None:
        self._inner.close()


class _Hold(_Session, contract.CanHold):
    def hold(self, target: Target, orders: Sequence[Order]) -> contract.Outcome:
        return self._calls.change("hold", lambda: cast(contract.CanHold, self._inner).hold(target, orders))


class _Power(_Session, contract.CanPower):
    def power(self, node_ref: str, wanted: Literal["on", "off"]) -> Literal["on", "off", "changing"]:
        return self._calls.call("power", lambda: cast(contract.CanPower, self._inner).power(node_ref, wanted))


class _Telemeter(_Session, contract.CanTelemeter):
    def telemetry(self) -> Iterator[Reading]:
        inner = cast(contract.CanTelemeter, self._inner)
        return iter(self._calls.call("telemetry", lambda: [storable(reading) for reading in inner.telemetry()]))


class _Watch(_Session, contract.CanWatch):
    def watch(self, cursor: Cursor) -> Iterator[Page]:
        return self._calls.changes(lambda: iter(cast(contract.CanWatch, self._inner).watch(cursor)))


class _Resize(_Session, contract.CanResize):
    pass


class _GrantAccess(_Session, contract.CanGrantAccess):
    def access(self, target: Target, orders: Sequence[Order]) -> contract.Delivery:
        inner = cast(contract.CanGrantAccess, self._inner)
        return storable(self._calls.change("access", lambda: inner.access(target, orders)))


_FACES: Mapping[type, type[_Session]] = {
    contract.CanHold: _Hold,
    contract.CanPower: _Power,
    contract.CanTelemeter: _Telemeter,
    contract.CanWatch: _Watch,
    contract.CanResize: _Resize,
    contract.CanGrantAccess: _GrantAccess,
}


def _session(inner: contract.Connector, calls: _Calls) -> _Session:
    """Return a session that isinstance() finds to be what the connector is."""
    faces = tuple(face for ability, face in _FACES.items() if isinstance(inner, ability))
    made: type[_Session] = type("Session", faces or (_Session,), {})
    return made(inner, calls)
