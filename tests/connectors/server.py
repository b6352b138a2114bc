"""A real HTTP server in a thread that answers as a test tells it to, faults included. For the doubles of all kinds."""

import ipaddress
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import Struct

from connectors import addresses, session
from connectors.addresses import Outgoing

LOOPBACK = Outgoing(allowed=addresses.places(["127.0.0.0/8"]))
"""The doubles of platforms live on this machine, where no connector may connect to unless told."""
INSTALLATION = "0198c0de-0000-7000-8000-00000000c0de"
"""Who we are to the doubles: it stands in every marker."""
connect_here = partial(session.connect, outgoing=LOOPBACK, installation=INSTALLATION)


class Seen(Struct):
    """A request as it arrived. ``headers`` have lower-case names, ``query`` has the last value of each name."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


class Answer(Struct, kw_only=True):
    """What to answer. ``body`` of bytes goes with Content-Length, an iterable of bytes goes chunked, piece by piece.

    ``cut_after`` closes the connection after so many bytes of the body. ``raw`` is sent instead of any HTTP; empty, it
    closes the connection without an answer. ``delay_seconds`` passes before the first byte.
    """

    status: int = 200
    body: bytes | Iterable[bytes] = b""
    headers: Mapping[str, str] = {}
    delay_seconds: float = 0.0
    cut_after: int | None = None
    raw: bytes | None = None


def json_answer(value: Any, *, status: int = 200, **more: Any) -> Answer:
    """Return an answer with the value as JSON."""
    headers = {"Content-Type": "application/json", **more.pop("headers", {})}
    return Answer(status=status, body=msgspec.json.encode(value), headers=headers, **more)


Handler = Callable[[Seen], Answer]

HTML = Answer(body=b"<!doctype html><title>Welcome to nginx!</title>", headers={"Content-Type": "text/html"})


class FaultServer:
    """Answers by ``handler``; ``play`` puts answers before it, ``alter`` changes what it says."""

    def __init__(self, handler: Handler, *, identity: "Identity | None" = None) -> None:
        self.handler = handler
        self.alter: Callable[[Seen, Answer], Answer] = lambda seen, answer: answer
        self.requests: list[Seen] = []
        self._played: list[tuple[str, Answer]] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._request_handler())
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"{'https' if identity else 'http'}://127.0.0.1:{self.port}"
        if identity:
            self._server.socket = identity.server_context().wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def play(self, *answers: Answer, path: str = "/", times: int = 1) -> None:
        """Give these answers, in order, to the next requests whose path begins with ``path``."""
        with self._lock:
            self._played += [(path, answer) for answer in answers] * times

    def answer(self, seen: Seen) -> Answer:
        with self._lock:
            self.requests.append(seen)
            for index, (path, answer) in enumerate(self._played):
                if seen.path.startswith(path):
                    del self._played[index]
                    return answer
        return self.alter(seen, self.handler(seen))

    def paths(self) -> list[str]:
        """Return method and path of every request so far."""
        return [f"{seen.method} {seen.path}" for seen in self.requests]

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _request_handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class RequestHandler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 65536  # one packet for head and body, or every answer waits for a delayed ACK

            def do_GET(self) -> None:
                _send(self, server.answer(_seen(self)))

            do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET

            def log_message(self, *args: Any) -> None:
                pass

            def handle(self) -> None:
                with suppress(OSError):  # the client went away, which is what some tests want
                    super().handle()

            def finish(self) -> None:
                with suppress(OSError):
                    super().finish()

        return RequestHandler


def _seen(request: BaseHTTPRequestHandler) -> Seen:
    url = urlsplit(request.path)
    query = {name: values[-1] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
    headers = {name.lower(): value for name, value in request.headers.items()}
    body = request.rfile.read(int(headers.get("content-length", 0)))
    return Seen(request.command, url.path, query, headers, body)


def _send(request: BaseHTTPRequestHandler, answer: Answer) -> None:
    time.sleep(answer.delay_seconds)
    if answer.raw is not None:
        request.wfile.write(answer.raw)
        request.close_connection = True
        return
    request.send_response_only(answer.status)
    if "Date" not in answer.headers:
        request.send_header("Date", request.date_time_string())
    for name, value in answer.headers.items():
        request.send_header(name, value)
    is_whole = isinstance(answer.body, bytes)
    if isinstance(answer.body, bytes):
        request.send_header("Content-Length", str(len(answer.body)))
    else:
        request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    pieces: Iterable[bytes] = (answer.body,) if isinstance(answer.body, bytes) else answer.body
    sent = 0
    for piece in pieces:
        if answer.cut_after is not None:
            piece = piece[: answer.cut_after - sent]
        if piece:
            request.wfile.write(piece if is_whole else b"%x\r\n%s\r\n" % (len(piece), piece))
            request.wfile.flush()
        sent += len(piece)
        if answer.cut_after is not None and sent >= answer.cut_after:
            request.close_connection = True
            return
    if not is_whole:
        request.wfile.write(b"0\r\n\r\n")


class Identity(Struct):
    """A certificate with its key, in PEM."""

    certificate_pem: str
    key_pem: str
    client_ca_pem: str = ""

    def fingerprint(self) -> str:
        return x509.load_pem_x509_certificate(self.certificate_pem.encode()).fingerprint(hashes.SHA256()).hex()

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "identity.pem")
            path.write_text(self.certificate_pem + self.key_pem)
            context.load_cert_chain(path)
        if self.client_ca_pem:
            context.load_verify_locations(cadata=self.client_ca_pem)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


class Authority:
    """A certificate authority that lives as long as a test."""

    def __init__(self, name: str = "Test CA") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._certificate = (
            self._builder(self._name, self._key.public_key(), days=30)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = _pem(self._certificate)

    def identity(self, address: str = "127.0.0.1", *, days: int = 30, client_ca_pem: str = "") -> Identity:
        """Issue a certificate for an IP address or a name; with negative days it has expired already."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
        try:
            alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(address))
        except ValueError:
            alternative = x509.DNSName(address)
        certificate = (
            self._builder(name, key.public_key(), days=days)
            .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        key_pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Identity(_pem(certificate), key_pem.decode(), client_ca_pem)

    def _builder(self, subject: x509.Name, public_key: Any, *, days: int) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=60))
            .not_valid_after(now + timedelta(days=days))
        )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


@contextmanager
def serving(handler: Handler, *, identity: Identity | None = None) -> Iterator[FaultServer]:
    """Run a server for the time of a block."""
    server = FaultServer(handler, identity=identity)
    server.start()
    try:
        yield server
    finally:
        server.stop()
