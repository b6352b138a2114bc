"""What went wrong on the way to a far end, in the contract's errors: a stable code, and words that say what to do."""

import socket
import ssl
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import msgspec

from connectors.contract import ConnectorError, Denied, Permanent, Transient

_WORDS = ("message", "detail", "title", "faultstring", "error_description", "error", "errors", "reason")


def from_network(error: Exception, host: str) -> ConnectorError:
    """Return the contract's error for an exception of httpx, the TLS library or the socket under it."""
    chain = _chain(error)
    if any(isinstance(cause, socket.gaierror) for cause in chain):
        return Transient(
            f"The name {host} cannot be resolved. Check the address in the pool's settings and the resolver of the "
            "machine on which the worker runs.",
            code="dns_failed",
        )
    for cause in chain:
        if isinstance(cause, ssl.SSLError):
            return _from_tls(cause, host)
    if isinstance(error, httpx.TimeoutException):
        return Transient(
            f"{host} did not answer in time. Check that it is up and that no firewall drops the connection.",
            code="timeout",
        )
    if isinstance(error, httpx.ProxyError):
        return _from_proxy(error, host)
    if isinstance(error, httpx.RemoteProtocolError):
        return _from_protocol(error, host)
    if isinstance(error, httpx.DecodingError):
        return truncated(host, "its compressed body is damaged")
    return Transient(
        f"{host} cannot be reached. Check the address and port, that the server runs, and the way between.",
        code="unreachable",
        platform_words=str(error),
    )


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _from_tls(error: ssl.SSLError, host: str) -> ConnectorError:
    words = getattr(error, "verify_message", "") or str(error.args[-1] if error.args else error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return Permanent(
            f"The certificate of {host} is not trusted: {words}. If it is the right server, give its CA certificate or "
            "its fingerprint in the pool's settings.",
            code="tls_untrusted",
            platform_words=words,
        )
    reason = error.reason or ""
    if "WRONG_VERSION" in reason or "HTTP_REQUEST" in reason or "RECORD_LAYER" in reason:
        return Permanent(
            f"{host} does not speak TLS at this port. Check the port, and whether the address begins with http://.",
            code="not_this_kind",
            platform_words=words,
        )
    if "CERTIFICATE" in reason and "ALERT" in reason:
        return Denied(
            f"{host} refuses our client certificate. Put a valid one, with its key, into the pool's credential.",
            code="unauthorized",
            platform_words=words,
        )
    if isinstance(error, ssl.SSLEOFError):
        return Transient(f"{host} broke off the TLS handshake. Try again later.", platform_words=words)
    return Permanent(
        f"No TLS connection to {host} can be agreed on. Update the server's TLS settings; TLS 1.2 or newer is needed.",
        code="tls_failed",
        platform_words=words,
    )


def _from_proxy(error: httpx.ProxyError, host: str) -> ConnectorError:
    if "407" in str(error):
        return Denied("The proxy asks for another user name or password.", code="proxy_denied")
    return Transient(
        f"The proxy does not let us through to {host}. Check the proxy in the pool's settings.",
        platform_words=str(error),
    )


def _from_protocol(error: httpx.RemoteProtocolError, host: str) -> ConnectorError:
    text = str(error)
    if "complete message body" in text or "incomplete chunked" in text:
        return truncated(host, "the connection broke in its middle")
    if "disconnected" in text:
        return truncated(host, "the connection was closed before the answer")
    return not_this_kind(host, "what answers there does not speak HTTP", text)


def truncated(host: str, why: str) -> Transient:
    """An answer that began and did not end, or was empty where something must stand."""
    return Transient(
        f"The answer of {host} is incomplete: {why}. Nothing was taken from it; it is asked again. If it stays "
        "so, look at the proxies between and at the server's log.",
        code="truncated",
    )


def not_this_kind(host: str, why: str, words: str = "") -> Permanent:
    """Something answers, and it is not what the pool's kind expects."""
    return Permanent(
        f"The server at {host} is not what this kind of pool expects: {why}. Check the address, port and path in the "
        "pool's settings.",
        code="not_this_kind",
        platform_words=words,
    )


def too_large(host: str, most_bytes: int) -> Permanent:
    """A body beyond what we are willing to hold in memory."""
    return Permanent(
        f"An answer of {host} is larger than {most_bytes // 2**20} MiB and was not read to its end. "
        "Ask for smaller pages.",
        code="too_large",
    )


def past_deadline(host: str, seconds: float) -> Transient:
    """The far end answers, and too slowly for the whole call to end in time."""
    return Transient(
        f"{host} needed more than {seconds:g} s for one answer. See whether it is overloaded; "
        "ocenter tries again later.",
        code="timeout",
    )


def redirected(host: str, target: str) -> Permanent:
    """A redirect that would carry our credential to another server, or that never ends."""
    return Permanent(
        f"{host} redirects to {target}, which is refused: a credential must not travel to another server. If that is "
        "the right address, put it into the pool's settings.",
        code="redirected",
    )


def from_status(status: int, headers: httpx.Headers, body: bytes, host: str) -> ConnectorError:
    """Return the contract's error for an HTTP status that was not hoped for."""
    words = platform_words(body)
    if status == 401:
        return Denied(
            f"{host} does not accept the credential. Put a valid one into the pool's credential; the present one may "
            "have expired.",
            code="unauthorized",
            platform_words=words,
        )
    if status == 403:
        return Denied(
            f"{host} knows us and forbids this. Give the account the permissions that the pool's check lists.",
            code="forbidden",
            platform_words=words,
        )
    if status == 407:
        return Denied("The proxy asks for another user name or password.", code="proxy_denied", platform_words=words)
    if status in (425, 429):
        return Transient(
            f"{host} asks us to slow down. ocenter does; raise the platform's request limit if it goes on.",
            code="throttled",
            platform_words=words,
            after_seconds=_after_seconds(headers),
        )
    if status == 408:
        return Transient(f"{host} gave up waiting for our request.", code="timeout", platform_words=words)
    if status >= 500 and status not in (501, 505):
        return Transient(
            f"{host} has a trouble of its own (HTTP {status}). See its log; ocenter tries again.",
            code="server_error",
            platform_words=words,
            after_seconds=_after_seconds(headers),
        )
    return _from_client_status(status, host, words)


def _from_client_status(status: int, host: str, words: str) -> Permanent:
    if status == 404:
        return Permanent(
            f"{host} does not have what was asked for. Check the address, and that the service is installed there.",
            code="not_found",
            platform_words=words,
        )
    if status == 410:
        return Permanent(
            f"{host} no longer has the state from which we went on; it must be read again from the beginning.",
            code="gone",
            platform_words=words,
        )
    if status in (409, 412):
        return Permanent(
            f"Somebody else changed the object at {host} at the same time; read it again first.",
            code="conflict",
            platform_words=words,
        )
    if status < 400:
        return not_this_kind(host, f"it answers with HTTP {status}", words)
    return Permanent(
        f"{host} refuses the request (HTTP {status}). Its own words say why.", code="rejected", platform_words=words
    )


def _after_seconds(headers: httpx.Headers) -> float | None:
    """Read Retry-After, in seconds or as a date; the date counts from the server's own clock, not from ours."""
    text = headers.get("retry-after", "")
    if text.isdigit():
        return float(text)
    try:
        then, now = parsedate_to_datetime(text), parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, (then - now).total_seconds())
    except (TypeError, ValueError):
        return None


def platform_words(body: bytes) -> str:
    """Return what an error body says to people: its message where it is JSON, else its text, in one line."""
    try:
        text = _said(msgspec.json.decode(body)) or body.decode(errors="replace")
    except msgspec.DecodeError:
        text = body.decode(errors="replace")
    return " ".join(text.split())[:2000]


def _said(answer: Any) -> str:
    """Look for the words as Kubernetes, Keystone, Placement, Nova and Cyborg put them."""
    if isinstance(answer, str):
        return answer
    if isinstance(answer, list):
        return next((said for item in answer if (said := _said(item))), "")
    if isinstance(answer, dict):
        inner = next((answer[word] for word in _WORDS if answer.get(word)), None)
        if inner is None and len(answer) == 1:
            inner = next(iter(answer.values()))
        return _said(inner)
    return ""
