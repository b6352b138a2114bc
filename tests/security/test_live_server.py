"""A real installation under fire: what no test client sends, by raw sockets and straight into the broker."""

import base64
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from ocenter import addresses
from tests.up.running import CHECKOUT, Installation

pytestmark = pytest.mark.crash
MIB = 2**20
MOST_SECONDS = 10.0
MOST_GROWTH_MIB = 150


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    made = Installation(tmp_path_factory.mktemp("live"))
    try:
        made.start()
        yield made
        made.stop(signal.SIGTERM)
    finally:
        made.clean()


@pytest.fixture(scope="module")
def token(installation):
    command = [sys.executable, "manage.py", "token"]
    made = subprocess.run(
        command, cwd=CHECKOUT, env=installation.environment, capture_output=True, text=True, check=True
    )
    return made.stdout.strip()


@pytest.fixture
def said(installation):
    """Return a function that sends raw bytes and returns the answer and how long it took."""

    def say(*pieces):
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", installation.port), timeout=5) as connection:
            answer = b""
            try:
                for piece in pieces:
                    connection.sendall(piece)
            except OSError:
                pass  # it has heard enough
            try:
                while more := connection.recv(65536):
                    answer += more
            except OSError:
                pass
        return answer, time.monotonic() - began

    return say


def request(token, body=b"", *, method="POST", path="/api/v1/pools", **headers):
    given = {"Host": "localhost", "Authorization": f"Bearer {token}", "Connection": "close"}
    given |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items() if value is not None)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def status(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else None


def memory_mib(installation):
    """Resident memory of the web server and its processes."""
    pids = [installation.children()["web"]["pid"]]
    for pid in pids:
        pids += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def nested(opening, closing, depth):
    return b'{"labels": ' + opening * depth + b"1" + closing * depth + b"}"


class TestABody:
    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (b'{"name": "' + b"a" * (2 * MIB) + b'"}', {413}),
            (b'{"name": "' + b"a" * (64 * MIB) + b'"}', {413, None}),
            (nested(b"[", b"]", 400_000), {400}),
            (nested(b'{"a":', b"}", 150_000), {400}),
            (b"[" * 1_000_000, {400}),
            (b'{"labels": {' + b",".join(b'"k%d": "v"' % n for n in range(60_000)) + b"}}", {413, 422}),
            (b'{"sync_interval_seconds": ' + b"9" * 900_000 + b"}", {400, 422}),
            (b'{"name": "' + b"\\u0000" * 150_000 + b'"}', {422}),
        ],
        ids=["2 MiB", "64 MiB", "arrays", "objects", "no end", "many names", "a long number", "many NULs"],
    )
    def test_that_is_too_much_costs_neither_time_nor_memory(self, installation, token, said, body, expected):
        before = memory_mib(installation)

        answer, seconds = said(request(token, body))

        assert status(answer) in expected, answer[:300]
        assert seconds < MOST_SECONDS and memory_mib(installation) - before < MOST_GROWTH_MIB
        assert status(said(request(token, method="GET"))[0]) == 200

    @pytest.mark.parametrize("length", ["99999999999999999999", "-1", "1e9", "0x10", "5, 5"])
    def test_whose_length_is_a_lie_is_refused(self, token, said, length):
        answer, seconds = said(request(token, b"{}", Content_Length=length))

        assert status(answer) in (400, 411, 413, None) and seconds < MOST_SECONDS

    def test_in_pieces_without_a_length_is_refused(self, token, said):
        pieces = request(token, Content_Length=None, Transfer_Encoding="chunked"), b"1000000\r\n", b"a" * (4 * MIB)

        answer, seconds = said(*pieces)

        assert status(answer) in (400, 411, 413, None) and seconds < MOST_SECONDS

    def test_with_two_lengths_is_not_two_requests(self, token, said):
        smuggled = b"0\r\n\r\n" + request(token, method="GET", path="/api/v1/nodes")
        head = request(token, Content_Length=str(len(smuggled)), Transfer_Encoding="chunked")

        answer, _ = said(head + smuggled)

        assert answer.count(b"HTTP/1.1") <= 1 or status(answer) in (400, 411)

    def test_of_a_stranger_is_not_read_at_all(self, installation, said):
        before = memory_mib(installation)

        answer, seconds = said(request("oc_wrong", b"[" * (8 * MIB)))

        assert status(answer) in (401, 413, None) and seconds < MOST_SECONDS
        assert memory_mib(installation) - before < MOST_GROWTH_MIB


class TestAHead:
    @pytest.mark.parametrize("value", ["a\r\nX-Injected: 1", "a\nX-Injected: 1", "a\x00b", "a\rX-Injected: 1"])
    @pytest.mark.parametrize("name", ["X-Request-ID", "Idempotency-Key", "If-Match", "Accept-Language", "Host"])
    def test_with_line_ends_in_a_value_makes_no_header_of_the_answer(self, token, said, name, value):
        answer, _ = said(request(token, method="GET", **{name: value}))

        assert b"x-injected" not in answer.split(b"\r\n\r\n")[0].lower()
        assert status(answer) in (200, 304, 400, 412, 422, None)

    @pytest.mark.parametrize(
        "path", ["/pools/%0d%0aX-Injected:%201/", "/login/?next=%0d%0aX-Injected:1", "/a%00b", "/%ff%fe"]
    )
    def test_whose_address_holds_line_ends_neither(self, token, said, path):
        answer, _ = said(request(token, method="GET", path=path))

        assert b"\nx-injected" not in answer.split(b"\r\n\r\n")[0].lower() and status(answer) in (
            200,
            302,
            400,
            401,
            404,
        )

    def test_of_a_megabyte_is_refused(self, installation, token, said):
        before = memory_mib(installation)

        answer, seconds = said(request(token, method="GET", X_Long="a" * MIB))

        assert status(answer) in (400, 431, None) and seconds < MOST_SECONDS
        assert memory_mib(installation) - before < MOST_GROWTH_MIB

    def test_for_another_host_is_refused(self, token, said):
        answer, _ = said(request(token, method="GET", Host="elsewhere.example"))

        assert status(answer) == 400 and b"elsewhere" not in answer


class Opens:
    """Makes a file when somebody reads it as a pickle."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


class TestAMessageThatRunsCode:
    def test_is_refused_by_a_worker_which_goes_on(self, installation, tmp_path):
        proof = tmp_path / "was-read"
        broker = redis.Redis(unix_socket_path=str(addresses.valkey_sockets(installation.home) / "valkey.sock"))
        body = base64.b64encode(pickle.dumps(((), {"pool_id": Opens(proof)}, {}))).decode()

        installation.until(lambda: installation.ready()["ready"])

        broker.lpush("default", json.dumps(_message(body, "application/x-python-serialize")))
        log = installation.home / "logs" / "worker.log"
        installation.until(lambda: "ContentDisallowed" in log.read_text() or "isallowed" in log.read_text())

        (worker,) = (child for child in installation.ready()["processes"] if child["name"] == "worker")
        assert not proof.exists() and (worker["state"], worker["restarts"]) == ("running", 0)
        pickle.loads(base64.b64decode(body))
        assert proof.exists(), "the message would have done nothing anyway"


def _message(body, content_type):
    return {
        "body": body,
        "content-encoding": "binary",
        "content-type": content_type,
        "headers": {"task": "ocenter.check_pool", "id": "planted", "lang": "py"},
        "properties": {
            "body_encoding": "base64",
            "correlation_id": "planted",
            "delivery_info": {"exchange": "", "routing_key": "default"},
            "delivery_mode": 2,
            "delivery_tag": "planted",
            "priority": 0,
        },
    }
