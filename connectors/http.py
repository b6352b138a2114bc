"""The one HTTP client of all connectors: trust, timeouts, limits, retries, secret-free logs, the contract's errors."""

import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx
import msgspec
import structlog
from msgspec import Struct

from connectors import failures
from connectors.addresses import BY_DEFAULT, Outgoing
from connectors.censor import Censor
from connectors.contract import ConnectorError
from connectors.door import transport
from connectors.retries import repeated
from connectors.tls import Tls, context, dangers

USER_AGENT = "ocenter/0.1.0"
CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0
MAX_REDIRECTS = 3
CLOCK_SECONDS = 60
MAX_ERROR_BYTES = 64 * 1024

T = TypeVar("T")
Authorize = Callable[[bool], Mapping[str, str]]
"""Gives the headers that prove who we are. Called with True after a 401: fetch fresh ones, or return the same."""
Query = Mapping[str, str | int] | None

_LOG_NAME = "connectors.http"


class Answer(Struct, frozen=True):
    """A whole answer. ``headers`` have lower-case names; ``body`` is decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Http:
    """Talks to one base URL. Not shared between pools; ``close`` it.

    ``secrets`` never show up in a message, in ``platform_words`` or in a log. ``deadline_seconds`` bounds one call
    including its retries. Only GET is repeated, and only after a Transient that may be over soon. ``trust`` is the
    context of ``tls`` where several clients share one: making it costs 20 ms. ``outgoing`` limits its addresses.
    ``is_public``: nothing secret goes there or comes back, so nobody needs a warning that there is no TLS.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        authorize: Authorize | None = None,
        tls: Tls | None = None,
        trust: ssl.SSLContext | None = None,
        proxy: str | None = None,
        outgoing: Outgoing = BY_DEFAULT,
        secrets: Iterable[str] = (),
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
        deadline_seconds: float = 180.0,
        max_body_bytes: int = 64 * 2**20,
        is_public: bool = False,
    ) -> None:
        tls = tls or Tls()
        self.censor = Censor(secrets)
        self.byte_count = 0
        told = dangers(base_url, tls)
        self._trust_warnings = () if is_public else told
        self.host = httpx.URL(base_url).netloc.decode()
        self.clock_ahead_seconds = 0.0
        self._authorize = authorize
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._deadline_seconds = deadline_seconds
        self._max_body_bytes = max_body_bytes
        self._client = httpx.Client(
            base_url=base_url,
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip", **(headers or {})},
            transport=transport(trust or context(tls), proxy, outgoing),
            trust_env=False,  # no ~/.netrc and no proxy that the pool's settings do not name
            follow_redirects=False,
        )
        for warning in self._trust_warnings:
            structlog.get_logger(_LOG_NAME).warning("connector.trust", host=self.host, warning=warning)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know about this far end, for ``Check.warnings``."""
        if abs(self.clock_ahead_seconds) < CLOCK_SECONDS:
            return self._trust_warnings
        way = "ahead of" if self.clock_ahead_seconds > 0 else "behind"
        return (
            *self._trust_warnings,
            f"The clock of {self.host} is {abs(self.clock_ahead_seconds):.0f} s {way} ours: leases and certificates "
            "may end at another time than shown. Set both clocks by NTP.",
        )

    def get(self, path: str, into: type[T], *, params: Query = None, headers: Mapping[str, str] | None = None) -> T:
        """GET and decode a JSON answer into a msgspec type. Raises a ConnectorError of ``failures``."""

        def ask(deadline_at: float) -> T:
            return self.decode(self._asked("GET", path, params, headers, None, (), deadline_at), into)

        return repeated(ask, deadline_seconds=self._deadline_seconds)

    def fetch(
        self,
        path: str,
        *,
        params: Query = None,
        headers: Mapping[str, str] | None = None,
        accept: tuple[int, ...] = (),
    ) -> Answer:
        """GET without decoding. ``accept`` are statuses beside 2xx that shall be returned, not raised."""

        def ask(deadline_at: float) -> Answer:
            return self._asked("GET", path, params, headers, None, accept, deadline_at)

        return repeated(ask, deadline_seconds=self._deadline_seconds)

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Query = None,
        headers: Mapping[str, str] | None = None,
        accept: tuple[int, ...] = (),
    ) -> Answer:
        """Send a change, once. ``body`` is encoded as JSON unless it is bytes. After a Transient, ask what is there."""
        deadline_at = time.monotonic() + self._deadline_seconds
        return self._asked(method, path, params, headers, body, accept, deadline_at)

    def decode(self, answer: Answer, into: type[T]) -> T:
        """Decode a JSON answer. Raises Transient ``truncated`` or Permanent ``not_this_kind``."""
        start = answer.body[:64].lstrip()
        if not start:
            raise failures.truncated(self.host, "it is empty")
        if start.startswith(b"<"):
            raise failures.not_this_kind(self.host, "it answers with a web page", self._words(answer.body))
        try:
            decoded: T = msgspec.json.decode(answer.body, type=into)
        except msgspec.ValidationError as error:
            raise failures.not_this_kind(self.host, "its answer has another shape", self.censor(str(error))) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if "truncated" in str(error):
                raise failures.truncated(self.host, "its JSON ends in the middle") from None
            raise failures.not_this_kind(self.host, "its answer is no JSON", self._words(answer.body)) from None
        return decoded

    def lines(
        self, path: str, *, params: Query = None, headers: Mapping[str, str] | None = None, silence_seconds: float
    ) -> Iterator[bytes]:
        """GET a stream line by line (a watch). Ends when the server ends it; Transient ``timeout`` after silence."""
        rest = b""
        with self._stream("GET", path, params, headers, None, silence_seconds) as response:
            self._refuse(response, ())
            with self._failures_told():
                for chunk in response.iter_bytes():
                    self.byte_count += len(chunk)
                    *whole, rest = (rest + chunk).split(b"\n")
                    yield from (line for line in whole if line)
                    if len(rest) > self._max_body_bytes:
                        raise failures.too_large(self.host, self._max_body_bytes)
        if rest:
            raise failures.truncated(self.host, "its last line has no end")

    def close(self) -> None:
        """Let go of all connections. May be called twice."""
        self._client.close()

    # --- one exchange -------------------------------------------------------------------------------------------------

    def _asked(
        self,
        method: str,
        path: str,
        params: Query,
        headers: Mapping[str, str] | None,
        body: Any,
        accept: tuple[int, ...],
        deadline_at: float,
    ) -> Answer:
        for _ in range(MAX_REDIRECTS + 1):
            left_seconds = max(0.001, min(self._read_seconds, deadline_at - time.monotonic()))
            with self._stream(method, path, params, headers, body, left_seconds) as response:
                if response.has_redirect_location and response.status_code not in accept:
                    path, params = self._redirect(method, response), None
                    continue
                self._refuse(response, accept)
                return Answer(response.status_code, dict(response.headers), self._read(response, deadline_at))
        raise failures.redirected(self.host, "one address after another")

    @contextmanager
    def _stream(
        self,
        method: str,
        path: str,
        params: Query,
        headers: Mapping[str, str] | None,
        body: Any,
        read_seconds: float,
    ) -> Iterator[httpx.Response]:
        """Send, and again with a fresh proof of who we are after a 401 (nothing was done by then)."""
        known = self._authorize(False) if self._authorize else {}
        with self._sent(method, path, params, {**known, **(headers or {})}, body, read_seconds) as response:
            if response.status_code != 401 or self._authorize is None or (fresh := self._authorize(True)) == known:
                yield response
                return
        with self._sent(method, path, params, {**fresh, **(headers or {})}, body, read_seconds) as response:
            yield response

    @contextmanager
    def _sent(
        self, method: str, path: str, params: Query, headers: Mapping[str, str], body: Any, read_seconds: float
    ) -> Iterator[httpx.Response]:
        request = self._client.build_request(
            method,
            self._url(path),
            params=params,
            headers={**({} if body is None else {"Content-Type": "application/json"}), **headers},
            content=body if body is None or isinstance(body, bytes) else msgspec.json.encode(body),
            timeout=httpx.Timeout(read_seconds, connect=min(self._connect_seconds, read_seconds)),
        )
        began = time.monotonic()
        log = structlog.get_logger(_LOG_NAME).bind(method=method, host=self.host, path=request.url.path)
        try:
            with self._failures_told():
                response = self._client.send(request, stream=True)
        except ConnectorError as error:
            log.debug("connector.http", code=error.code, ms=round((time.monotonic() - began) * 1000))
            raise
        self.clock_ahead_seconds = _clock_ahead_seconds(response)
        try:
            yield response
        finally:
            response.close()
            self.byte_count += response.num_bytes_downloaded
            took_ms = round((time.monotonic() - began) * 1000)
            log.debug("connector.http", status=response.status_code, bytes=response.num_bytes_downloaded, ms=took_ms)

    def _url(self, path: str) -> httpx.URL | str:
        url = httpx.URL(path)
        if url.is_absolute_url and _origin(url) != _origin(self._client.base_url):
            raise failures.redirected(self.host, f"{url.scheme}://{url.netloc.decode()}")
        return url

    def _redirect(self, method: str, response: httpx.Response) -> str:
        target = response.url.join(response.headers.get("location", ""))
        if method not in ("GET", "HEAD") or _origin(target) != _origin(response.url):
            raise failures.redirected(self.host, f"{target.scheme}://{target.netloc.decode()}")
        return str(target)

    def _refuse(self, response: httpx.Response, accept: tuple[int, ...]) -> None:
        if response.is_success or response.status_code in accept:
            return
        body = b""
        try:
            for chunk in response.iter_bytes(MAX_ERROR_BYTES):
                body += chunk
                if len(body) >= MAX_ERROR_BYTES:
                    break
        except httpx.HTTPError:
            body += b" ..."  # the status says enough, the rest of the words is lost
        error = failures.from_status(response.status_code, response.headers, body, self.host)
        error.platform_words = self.censor(error.platform_words)
        raise error

    def _read(self, response: httpx.Response, deadline_at: float) -> bytes:
        chunks: list[bytes] = []
        length = 0
        with self._failures_told():
            for chunk in response.iter_bytes():
                chunks.append(chunk)
                length += len(chunk)
                if length > self._max_body_bytes:
                    raise failures.too_large(self.host, self._max_body_bytes)
                if time.monotonic() > deadline_at:
                    raise failures.past_deadline(self.host, self._deadline_seconds)
        return b"".join(chunks)

    @contextmanager
    def _failures_told(self) -> Iterator[None]:
        try:
            yield
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError) as error:
            told = failures.from_network(error, self.host)
            told.platform_words = self.censor(told.platform_words)
            raise told from None  # the chain may quote the request with its headers

    def _words(self, body: bytes) -> str:
        return self.censor(failures.platform_words(body[:MAX_ERROR_BYTES]))


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _clock_ahead_seconds(response: httpx.Response) -> float:
    try:
        return parsedate_to_datetime(response.headers.get("date", "")).timestamp() - time.time()
    except (TypeError, ValueError):
        return 0.0
