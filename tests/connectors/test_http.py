"""The connectors' HTTP client against a real server that misbehaves in every way we know."""

import gzip
import itertools
import socket
import time
import tomllib
from functools import partial
from pathlib import Path

import pytest
import stamina
import structlog
from msgspec import Struct

from connectors import retries
from connectors.censor import Censor
from connectors.contract import ConnectorError, Denied, Permanent, Transient
from connectors.http import Http
from connectors.tls import Tls
from tests.connectors.server import HTML, LOOPBACK, Answer, Authority, Seen, json_answer, serving

SECRET = "s3cret-of-the-pool/+="

http = partial(Http, outgoing=LOOPBACK)


class Thing(Struct):
    name: str
    size: int


def thing(seen: Seen) -> Answer:
    return json_answer({"name": "a", "size": 1, "more": True})


@pytest.fixture
def server():
    with serving(thing) as server:
        yield server


@pytest.fixture
def client(server):
    client = http(server.url, headers={"Authorization": f"Bearer {SECRET}"}, secrets=[SECRET], read_seconds=2)
    yield client
    client.close()


@pytest.fixture
def logged():
    with structlog.testing.capture_logs() as entries:
        yield entries


def failure(ask) -> ConnectorError:
    with pytest.raises(ConnectorError) as raised:
        ask()
    assert SECRET not in str(raised.value) + raised.value.platform_words
    assert len(str(raised.value)) > 40, "a message says what is wrong and what to do"
    return raised.value


class TestAnswer:
    def test_is_decoded_into_the_wanted_type(self, client):
        found = client.get("/thing", Thing)

        assert found == Thing("a", 1)

    def test_is_counted_in_bytes_as_they_came_over_the_wire(self, server, client):
        body = gzip.compress(b'{"name": "a", "size": 1}' + b" " * 100_000)
        server.play(Answer(body=body, headers={"Content-Encoding": "gzip"}))

        found = client.get("/thing", Thing)

        assert found.name == "a" and client.byte_count == len(body)

    def test_of_an_accepted_status_is_returned(self, server, client):
        server.play(Answer(status=404, body=b"no"))

        answer = client.fetch("/thing", accept=(404,))

        assert (answer.status, answer.body) == (404, b"no")

    def test_comes_from_a_request_that_tells_who_asks(self, server, client):
        client.get("/thing", Thing, params={"limit": 5})

        (seen,) = server.requests
        version = tomllib.loads(Path("pyproject.toml").read_text())["project"]["version"]
        assert seen.headers["user-agent"] == f"ocenter/{version}" and seen.query == {"limit": "5"}


class TestChange:
    def test_sends_json_and_returns_the_answer(self, server, client):
        answer = client.send("PUT", "/thing", body={"name": "b"}, params={"dry": "true"})

        (seen,) = server.requests
        assert answer.status == 200 and seen.method == "PUT" and seen.body == b'{"name":"b"}'

    def test_is_never_sent_twice(self, server, client):
        server.play(Answer(status=503), times=5)

        error = failure(lambda: client.send("POST", "/thing", body={}))

        assert isinstance(error, Transient) and server.paths() == ["POST /thing"]


@pytest.fixture
def no_waiting():
    with stamina.set_testing(True, attempts=retries.ATTEMPTS):
        yield


@pytest.mark.usefixtures("no_waiting")
class TestFailure:
    @pytest.mark.parametrize(
        ("status", "kind", "code"),
        [
            (400, Permanent, "rejected"),
            (401, Denied, "unauthorized"),
            (403, Denied, "forbidden"),
            (404, Permanent, "not_found"),
            (409, Permanent, "conflict"),
            (410, Permanent, "gone"),
            (412, Permanent, "conflict"),
            (422, Permanent, "rejected"),
            (501, Permanent, "rejected"),
        ],
    )
    def test_of_a_status_that_stays_is_told_at_once(self, server, client, status, kind, code):
        server.play(json_answer({"kind": "Status", "message": f"because {SECRET}"}, status=status))

        error = failure(lambda: client.get("/thing", Thing))

        assert (type(error), error.code, error.platform_words) == (kind, code, "because ***")
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (
                b'{"error": {"code": 401, "message": "The request you have made requires authentication."}}',
                "The request",
            ),
            (b'{"errors": [{"status": 400, "title": "Bad", "detail": "No such trait"}]}', "No such trait"),
            (b'{"itemNotFound": {"code": 404, "message": "Instance x"}}', "Instance x"),
            (b"plain\n text", "plain text"),
            (b"\xff\xfe", "\ufffd"),
        ],
    )
    def test_quotes_the_platform_in_its_own_words(self, server, client, body, words):
        server.play(Answer(status=400, body=body))

        error = failure(lambda: client.get("/thing", Thing))

        assert error.platform_words.startswith(words)

    def test_of_a_name_that_does_not_exist(self):
        error = failure(lambda: http("https://pool.invalid").get("/", Thing))

        assert isinstance(error, Transient) and error.code == "dns_failed" and "pool.invalid" in str(error)

    def test_of_a_port_where_nobody_listens(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]

        error = failure(lambda: http(f"http://127.0.0.1:{port}").get("/", Thing))

        assert isinstance(error, Transient) and error.code == "unreachable"

    def test_of_a_server_that_never_answers(self, server):
        server.play(Answer(delay_seconds=1.0))

        error = failure(lambda: http(server.url, read_seconds=0.1).get("/thing", Thing))

        assert isinstance(error, Transient) and error.code == "timeout" and len(server.requests) == 1

    def test_of_a_server_that_answers_a_byte_at_a_time(self, server):
        def drops():
            for _ in range(100):
                time.sleep(0.02)
                yield b" "

        server.play(Answer(body=drops()))
        began = time.monotonic()

        error = failure(lambda: http(server.url, deadline_seconds=0.3).get("/thing", Thing))

        assert error.code == "timeout" and time.monotonic() - began < 1.5

    @pytest.mark.parametrize(
        "answer",
        [
            Answer(body=b'{"name": "a", "size": 1}', cut_after=10),
            Answer(body=[b'{"name": "a", ', b'"size": 1}'], cut_after=14),
            Answer(body=b'{"name": "a", "si'),
            Answer(body=b""),
            Answer(raw=b""),
            Answer(body=b"no gzip at all", headers={"Content-Encoding": "gzip"}),
        ],
        ids=["short of its length", "torn chunk", "JSON cut", "zero bytes", "no answer", "damaged gzip"],
    )
    def test_of_an_answer_without_end_is_transient_and_repeated(self, server, client, answer):
        server.play(answer, times=3)

        error = failure(lambda: client.get("/thing", Thing))

        assert isinstance(error, Transient) and error.code == "truncated" and len(server.requests) == 3

    @pytest.mark.parametrize(
        "answer",
        [
            HTML,
            json_answer({"status": "ok"}),
            json_answer(["a"]),
            Answer(body=b"OK"),
            Answer(raw=b"220 mail.example ESMTP ready\r\n\r\n"),
            Answer(status=304),
        ],
        ids=["web page", "other JSON", "a list", "a word", "mail", "not modified"],
    )
    def test_of_another_kind_of_server_is_permanent(self, server, client, answer):
        server.play(answer)

        error = failure(lambda: client.get("/thing", Thing))

        assert isinstance(error, Permanent) and error.code == "not_this_kind" and "settings" in str(error)

    def test_of_an_answer_that_never_ends_is_stopped_early(self, server):
        sent = []

        def endless():
            for number in itertools.count():
                sent.append(number)
                yield b"x" * 65536

        server.play(Answer(body=endless()))

        error = failure(lambda: http(server.url, max_body_bytes=2**20).get("/thing", Thing))

        assert isinstance(error, Permanent) and error.code == "too_large" and len(sent) < 1000

    def test_of_a_small_answer_that_unpacks_to_a_giant_is_stopped_too(self, server):
        server.play(Answer(body=gzip.compress(bytes(50 * 2**20)), headers={"Content-Encoding": "gzip"}))

        error = failure(lambda: http(server.url, max_body_bytes=2**20).get("/thing", Thing))

        assert error.code == "too_large"


class TestRetry:
    def test_ends_well_when_the_server_recovers(self, server, client):
        server.play(Answer(status=503), Answer(body=b'{"na'))

        assert client.get("/thing", Thing).name == "a" and len(server.requests) == 3

    def test_waits_as_long_as_the_server_asks(self, server, client):
        server.play(Answer(status=429, headers={"Retry-After": "1"}))
        began = time.monotonic()

        client.get("/thing", Thing)

        assert time.monotonic() - began >= 1.0

    def test_does_not_wait_longer_than_a_call_may_last(self, server, client):
        server.play(Answer(status=429, headers={"Retry-After": "3600"}), times=3)

        error = failure(lambda: client.get("/thing", Thing))

        assert isinstance(error, Transient) and error.code == "throttled" and error.after_seconds == 3600
        assert len(server.requests) == 1

    def test_reads_a_date_by_the_servers_own_clock(self, server, client):
        now, later = "Wed, 25 Nov 2020 10:00:00 GMT", "Wed, 25 Nov 2020 10:02:00 GMT"
        server.alter = lambda seen, answer: Answer(status=503, headers={"Retry-After": later, "Date": now})

        error = failure(lambda: client.get("/thing", Thing))

        assert error.code == "server_error" and isinstance(error, Transient) and error.after_seconds == 120


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture(scope="module")
def identity(authority):
    return authority.identity()


@pytest.fixture
def secure(identity):
    with serving(thing, identity=identity) as server:
        yield server


class TestTrust:
    def test_of_an_unknown_authority_is_refused_before_the_token_is_sent(self, secure):
        error = failure(lambda: http(secure.url).get("/thing", Thing))

        assert isinstance(error, Permanent) and error.code == "tls_untrusted" and "fingerprint" in str(error)
        assert secure.requests == []

    def test_of_the_given_authority_is_enough(self, secure, authority):
        client = http(secure.url, tls=Tls(ca_pem=authority.pem))

        assert client.get("/thing", Thing).name == "a" and client.warnings == ()

    def test_of_the_given_authority_still_checks_the_name(self, authority):
        with serving(thing, identity=authority.identity("other.example")) as server:
            error = failure(lambda: http(server.url, tls=Tls(ca_pem=authority.pem)).get("/thing", Thing))

        assert error.code == "tls_untrusted"

    def test_of_a_certificate_that_has_expired_is_refused(self, authority):
        with serving(thing, identity=authority.identity(days=-1)) as server:
            error = failure(lambda: http(server.url, tls=Tls(ca_pem=authority.pem)).get("/thing", Thing))

        assert error.code == "tls_untrusted" and "expired" in error.platform_words

    def test_of_a_pinned_fingerprint_is_enough(self, secure, identity):
        digits = identity.fingerprint()
        written = "SHA256:" + ":".join(digits[i : i + 2] for i in range(0, 64, 2)).upper()

        assert http(secure.url, tls=Tls(fingerprint=written)).get("/thing", Thing).name == "a"

    def test_of_another_fingerprint_is_refused_before_the_token_is_sent(self, secure):
        error = failure(lambda: http(secure.url, tls=Tls(fingerprint="ab" * 32)).get("/thing", Thing))

        assert error.code == "tls_untrusted" and secure.requests == []

    def test_switched_off_is_loud(self, secure, logged):
        client = http(secure.url, tls=Tls(is_off=True))

        assert client.get("/thing", Thing).name == "a"
        assert "not checked" in client.warnings[0]
        assert [entry["log_level"] for entry in logged if entry["event"] == "connector.trust"] == ["warning"]

    def test_without_tls_to_another_machine_is_loud(self):
        assert "without TLS" in http("http://pool.example").warnings[0]

    def test_by_a_client_certificate_is_shown_to_the_server(self, authority):
        mine = authority.identity("ocenter")
        with serving(thing, identity=authority.identity(client_ca_pem=authority.pem)) as server:
            known = Tls(ca_pem=authority.pem, client_certificate_pem=mine.certificate_pem, client_key_pem=mine.key_pem)

            assert http(server.url, tls=known).get("/thing", Thing).name == "a"
            error = failure(lambda: http(server.url, tls=Tls(ca_pem=authority.pem)).get("/thing", Thing))
            assert isinstance(error, Denied) and error.code == "unauthorized"

    def test_of_a_server_without_tls_says_so(self, server):
        error = failure(lambda: http(server.url.replace("http:", "https:")).get("/thing", Thing))

        assert isinstance(error, Permanent) and error.code == "not_this_kind" and "TLS" in str(error)

    @pytest.mark.parametrize(
        "wrong", [Tls(ca_pem="no pem"), Tls(fingerprint="12"), Tls(client_certificate_pem="x", client_key_pem="y")]
    )
    def test_of_nonsense_is_refused_at_once(self, wrong):
        error = failure(lambda: http("https://pool.example", tls=wrong))

        assert isinstance(error, Permanent) and error.code == "invalid_settings"


class TestProof:
    def test_is_renewed_once_after_a_401(self, server):
        tokens = iter(["old", "new"])
        held = {"X-Auth-Token": next(tokens)}

        def authorize(is_refused):
            if is_refused:
                held["X-Auth-Token"] = next(tokens)
            return dict(held)

        server.handler = lambda seen: (
            thing(seen) if seen.headers["x-auth-token"] == "new" else Answer(status=401, body=b"expired")
        )
        client = http(server.url, authorize=authorize)

        assert client.get("/thing", Thing).name == "a" and client.send("PUT", "/thing", body={}).status == 200
        assert [seen.headers["x-auth-token"] for seen in server.requests] == ["old", "new", "new"]

    def test_that_cannot_be_renewed_leaves_the_401(self, server):
        server.handler = lambda seen: Answer(status=401)

        error = failure(lambda: http(server.url, authorize=lambda is_refused: {"X": "same"}).get("/thing", Thing))

        assert isinstance(error, Denied) and len(server.requests) == 1


class TestRedirect:
    def test_within_the_server_is_followed(self, server, client):
        server.play(Answer(status=307, headers={"Location": "/v1/thing?page=2"}))

        assert client.get("/thing", Thing).name == "a"
        assert server.requests[-1].path == "/v1/thing" and server.requests[-1].query == {"page": "2"}

    def test_to_another_server_is_refused_and_sends_it_nothing(self, server, client):
        with serving(thing) as other:
            server.play(Answer(status=302, headers={"Location": f"{other.url}/thing?token={SECRET}"}))

            error = failure(lambda: client.get("/thing", Thing))

            assert isinstance(error, Permanent) and error.code == "redirected" and other.url in str(error)
            assert other.requests == []

    def test_without_end_is_refused(self, server, client):
        server.handler = lambda seen: Answer(status=302, headers={"Location": "/thing"})

        assert failure(lambda: client.get("/thing", Thing)).code == "redirected"

    def test_of_a_change_is_refused(self, server, client):
        server.play(Answer(status=307, headers={"Location": "/v1/thing"}))

        assert failure(lambda: client.send("PUT", "/thing", body={})).code == "redirected"

    def test_by_an_absolute_link_of_another_server_is_refused(self, client):
        assert failure(lambda: client.get("http://127.0.0.1:9/thing", Thing)).code == "redirected"


class TestLines:
    def test_come_as_they_are_sent(self, server, client):
        server.play(Answer(body=[b'{"a": 1}\n{"b"', b": 2}\n", b"\n"]))

        assert list(client.lines("/watch", silence_seconds=1)) == [b'{"a": 1}', b'{"b": 2}']

    def test_that_stop_in_the_middle_are_told(self, server, client):
        server.play(Answer(body=[b'{"a": 1}\n{"b"']))

        assert failure(lambda: list(client.lines("/watch", silence_seconds=1))).code == "truncated"

    def test_that_stay_away_end_in_a_timeout(self, server, client):
        def silence():
            yield b"{}\n"
            time.sleep(0.5)
            yield b"{}\n"

        server.play(Answer(body=silence()))

        assert failure(lambda: list(client.lines("/watch", silence_seconds=0.1))).code == "timeout"

    def test_of_a_refused_watch_are_no_lines(self, server, client):
        server.play(json_answer({"message": "too old resource version"}, status=410))

        error = failure(lambda: list(client.lines("/watch", silence_seconds=1)))

        assert error.code == "gone" and error.platform_words == "too old resource version"


class TestClock:
    def test_of_the_server_that_is_an_hour_ahead_is_told(self, server, client):
        ahead = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3600))
        server.alter = lambda seen, answer: Answer(body=answer.body, headers={"Date": ahead})

        client.get("/thing", Thing)

        assert 3500 < client.clock_ahead_seconds < 3700
        assert "clock" in client.warnings[-1] and client.get("/thing", Thing).name == "a"


class TestLog:
    def test_has_the_call_and_no_secret(self, server, client, logged):
        server.play(json_answer({"message": SECRET}, status=403))

        failure(lambda: client.get("/thing", Thing, params={"token": SECRET}, headers={"Cookie": SECRET}))

        (entry,) = [entry for entry in logged if entry["event"] == "connector.http"]
        assert (entry["method"], entry["path"], entry["status"]) == ("GET", "/thing", 403)
        assert SECRET not in str(logged)

    def test_of_a_secret_in_other_clothes_is_censored_too(self):
        censor = Censor([SECRET, "line one\nline two"])

        for dressed in (SECRET, "s3cret-of-the-pool%2F%2B%3D", "czNjcmV0LW9mLXRoZS1wb29sLys9", "x line two y"):
            assert "***" in censor(f"before {dressed} after")
