"""The ways to a pool's exporters: read them one by one, or ask the Prometheus that already does."""

import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import structlog
from msgspec import Struct
from msgspec.structs import replace

from connectors import failures
from connectors.addresses import Outgoing
from connectors.contract import ConnectorError, Permanent, Reading, Transient
from connectors.http import Http
from connectors.telemetry import samples
from connectors.telemetry.exporters import NAMES, readings
from connectors.telemetry.samples import Sample
from connectors.tls import Tls, context, dangers

log = structlog.get_logger(__name__)

AT_ONCE = 16
READ_SECONDS = 10.0
DEADLINE_SECONDS = 20.0
BUDGET_SECONDS = 60.0
"""How long all sources together are waited for. Many that are dead would else hold a pool's look up for minutes."""
TOLD_AT_ONCE = 5


class Seen(Struct, frozen=True):
    """What one source said: readings, or why it could not be read. ``source`` is its address."""

    source: str
    readings: Sequence[Reading] = ()
    failure: ConnectorError | None = None


class Sources:
    """All sources of one pool. Holds no connection between two reads."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        credential: Mapping[str, Any],
        outgoing: Outgoing,
        names: Mapping[str, str] | None = None,
    ) -> None:
        """Reach nothing yet. ``names`` are the names of nodes by addresses of theirs, for exporters that tell none.

        Raises Permanent ``invalid_settings`` on a line that is no address.
        """
        self._tls = Tls(ca_pem=settings.get("telemetry_ca_pem") or "")
        self._outgoing = outgoing
        self._names = names or {}
        self._token = credential.get("prometheus_token") or ""
        self._prometheus_url = settings.get("prometheus_url") or ""
        lines = (line.strip() for line in (settings.get("exporter_urls") or "").splitlines())
        self._exporters = {line: _origin(line) for line in dict.fromkeys(filter(None, lines))}
        self.warnings = dangers(self._prometheus_url, self._tls) if self._prometheus_url and self._token else ()

    def __bool__(self) -> bool:
        return bool(self._prometheus_url or self._exporters)

    def read(self) -> tuple[Seen, ...]:
        """Ask every source, some at once. A source that cannot be read, or not in time, is told so, not raised."""
        if not self:
            return ()
        trust = context(self._tls)  # shared: making it costs 20 ms
        ends_at = time.monotonic() + BUDGET_SECONDS
        threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="telemetry")
        try:
            asked = {url: threads.submit(self._exporter, url, at, trust) for url, at in self._exporters.items()}
            if self._prometheus_url:
                asked[self._prometheus_url] = threads.submit(self._prometheus, trust, ends_at)
            in_time, _ = wait(asked.values(), timeout=BUDGET_SECONDS)
            # What still reads ends by its own deadline; nobody takes its answer any more.
            found = [each.result() if each in in_time else _late(url) for url, each in asked.items()]
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
        return tuple(self._named(each) for each in found)

    def telemetry(self) -> Iterator[Reading]:
        """Yield what all sources measure; the log names those that cannot be read.

        Raises the first failure when none of them can be read.
        """
        seen = self.read()
        failed = {each.source: each.failure for each in seen if each.failure}
        if failed:
            first = sorted(failed)[:TOLD_AT_ONCE]
            log.warning(
                "telemetry.unread", count=len(failed), of=len(seen), sources=first, reason=str(failed[first[0]])
            )
        if failed and len(failed) == len(seen):
            raise next(iter(failed.values()))
        for each in seen:
            yield from each.readings

    def _exporter(self, url: str, origin: str, trust: ssl.SSLContext) -> Seen:
        parts = urlsplit(url)
        path = f"{parts.path or '/metrics'}{'?' + parts.query if parts.query else ''}"
        with closing(self._client(origin, trust)) as http:
            try:
                text = http.fetch(path, headers={"Accept": "text/plain;version=0.0.4"}).body.decode(errors="replace")
                found = tuple(readings(samples.from_text(text), parts.hostname or ""))
            except ValueError as error:
                return Seen(url, failure=failures.not_this_kind(http.host, "its text holds no metrics", str(error)))
            except ConnectorError as error:
                return Seen(url, failure=error)
        if not found:
            return Seen(url, failure=failures.not_this_kind(http.host, "it tells nothing about accelerators"))
        return Seen(url, found)

    def _prometheus(self, trust: ssl.SSLContext, ends_at: float) -> Seen:
        url = self._prometheus_url
        found: list[Sample] = []
        with closing(self._client(url, trust, self._token)) as http:
            try:
                # One metric a question: of all metrics of a large cluster at once the answer would be too large.
                for name in NAMES:
                    if time.monotonic() > ends_at:
                        return _late(url)
                    found += samples.from_vector(http.get("/api/v1/query", samples.Vector, params={"query": name}))
            except ValueError as error:
                why = "a value in its answer is no number"
                return Seen(url, failure=failures.not_this_kind(http.host, why, str(error)))
            except ConnectorError as error:
                return Seen(url, failure=error)
        return Seen(url, tuple(readings(found)))

    def _client(self, url: str, trust: ssl.SSLContext, token: str = "") -> Http:
        return Http(
            url,
            headers={"Authorization": f"Bearer {token}"} if token else None,
            tls=self._tls,
            trust=trust,
            outgoing=self._outgoing,
            secrets=(token,),
            is_public=not token,
            read_seconds=READ_SECONDS,
            deadline_seconds=DEADLINE_SECONDS,
        )

    def _named(self, seen: Seen) -> Seen:
        found = (replace(each, node=self._names.get(each.node, each.node)) for each in seen.readings)
        return replace(seen, readings=tuple(found)) if self._names else seen


def _late(url: str) -> Seen:
    why = (
        f"{urlsplit(url).hostname} did not answer in the {BUDGET_SECONDS:.0f} s that all sources have together. It is "
        "asked again at the next look; take out addresses that are dead."
    )
    return Seen(url, failure=Transient(why, code="timeout"))


def _origin(url: str) -> str:
    """Return the part of an exporter's address up to its path. Raises Permanent ``invalid_settings``."""
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_usable = False
    if not is_usable or parts.username or parts.password:
        raise Permanent(
            "A line of the exporter addresses is no address such as http://host:9400/metrics without a user name.",
            code="invalid_settings",
        )
    return f"{parts.scheme}://{parts.netloc}"
