"""How a connector makes sure that it talks to the right server."""

import hashlib
import hmac
import ssl
import tempfile
from typing import Any

import httpx
from msgspec import Struct

from connectors.contract import Permanent


class Tls(Struct, frozen=True, kw_only=True):
    """The trust of one far end: the system's CAs, unless ``ca_pem`` or ``fingerprint`` says otherwise.

    ``fingerprint`` is the SHA-256 of the server's certificate in hex, with or without colons; CA, name and dates are
    then not asked. ``is_off`` trusts anyone, and is reported wherever the pool is shown.
    """

    ca_pem: str = ""
    fingerprint: str = ""
    is_off: bool = False
    client_certificate_pem: str = ""
    client_key_pem: str = ""


class _Pinned:
    """Refuses any certificate but one at the end of the handshake, before a request (and its token) is sent."""

    context: Any

    def do_handshake(self, *args: Any) -> None:
        super().do_handshake(*args)  # type: ignore[misc]  # a mixin for both classes below
        shown = hashlib.sha256(self.getpeercert(True) or b"").hexdigest()  # type: ignore[attr-defined]  # same reason
        if not hmac.compare_digest(shown, self.context.fingerprint):
            raise ssl.SSLCertVerificationError(1, f"the server shows a certificate with the fingerprint {shown}")


class _PinnedSocket(_Pinned, ssl.SSLSocket):
    pass


class _PinnedObject(_Pinned, ssl.SSLObject):
    pass


class _PinnedContext(ssl.SSLContext):
    sslsocket_class = _PinnedSocket
    sslobject_class = _PinnedObject
    fingerprint: str


def context(tls: Tls) -> ssl.SSLContext:
    """Return the context for a far end. Raises Permanent ``invalid_settings`` on a bad PEM text or fingerprint."""
    made = _unverified(tls) if tls.is_off or tls.fingerprint else ssl.create_default_context()
    try:
        if tls.ca_pem and made.verify_mode is not ssl.CERT_NONE:
            made = ssl.create_default_context(cadata=tls.ca_pem)
        if tls.client_certificate_pem:
            _load_client_certificate(made, tls)
    except (ssl.SSLError, ValueError) as error:
        raise Permanent(
            "A certificate or key in the settings is no valid PEM text; paste it whole, with its BEGIN and END lines.",
            code="invalid_settings",
        ) from error
    return made


def dangers(base_url: str, tls: Tls) -> tuple[str, ...]:
    """Return what a person must know who lets us talk like this. Raises Permanent ``invalid_settings``: no such URL."""
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise Permanent(f"{base_url} is no address: {error}.", code="invalid_settings") from None
    host = url.netloc.decode()
    if url.scheme not in ("http", "https") or not url.host:
        raise Permanent(f"{base_url} is no http:// or https:// address.", code="invalid_settings")
    if url.scheme == "http" and url.host not in ("localhost", "127.0.0.1", "::1"):
        return (f"{host} is spoken to without TLS: anyone on the way can read the credential and change the answers.",)
    if url.scheme == "https" and tls.is_off:
        return (f"The certificate of {host} is not checked: anyone on the way can read the credential and lie.",)
    return ()


def _unverified(tls: Tls) -> ssl.SSLContext:
    made: ssl.SSLContext
    if tls.fingerprint:
        made = _PinnedContext(ssl.PROTOCOL_TLS_CLIENT)
        made.fingerprint = _normal(tls.fingerprint)
    else:
        made = ssl.create_default_context()
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def _normal(fingerprint: str) -> str:
    text = fingerprint.strip().lower().removeprefix("sha256:").replace(":", "").replace(" ", "")
    if len(text) != 64 or set(text) - set("0123456789abcdef"):
        raise Permanent(
            "The TLS fingerprint must be the SHA-256 of the server's certificate: 64 hex digits.",
            code="invalid_settings",
        )
    return text


def _load_client_certificate(made: ssl.SSLContext, tls: Tls) -> None:
    # OpenSSL reads a client's key from a file only. This one is readable by us alone and gone after the call.
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(f"{tls.client_certificate_pem}\n{tls.client_key_pem}\n")
        file.flush()
        made.load_cert_chain(file.name)
