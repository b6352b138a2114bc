"""Where connectors may connect to, in every way to write, hide or change an address. The servers are real."""

import ipaddress
import json
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import stamina
from msgspec import Struct

from connectors import addresses
from connectors.addresses import BY_DEFAULT, Outgoing, places
from connectors.contract import ConnectorError, Permanent
from connectors.http import Http
from connectors.kubernetes import access
from connectors.kubernetes.client import NODES, Client
from connectors.kubernetes.payloads import Node
from connectors.openstack.connector import OpenStack
from connectors.tls import Tls
from tests.connectors.contract import refused
from tests.connectors.openstack.double import served
from tests.connectors.server import LOOPBACK, Answer, Authority, json_answer, serving

CHECKOUT = Path(__file__).resolve().parents[2]
ONLY_ONE = Outgoing(allowed=places(["127.0.0.1"]))
"""Leaves the rest of the loopback network, 127.0.0.2 too, as forbidden as all of it is by default."""
ONLY_THE_PROXY = Outgoing(allowed=places(["proxy.example"]))
WAYS_TO_WRITE_LOOPBACK = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "localhost",
    "LOCALHOST",
]
NEVER_RESOLVED = ["0177.0.0.1", "localhost.", "pool.localhost", "①②⑦.0.0.1"]
"""Read as loopback by some resolvers, and by others not at all."""
METADATA = [
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "[::ffff:169.254.169.254]",
    "[fd00:ec2::254]",
    "[fe80::a9fe:a9fe]",
    "100.100.100.200",
    "168.63.129.16",
]
NO_MACHINE = ["224.0.0.1", "255.255.255.255", "[ff02::1]", "240.0.0.1"]


class Thing(Struct):
    name: str


def thing(seen):
    return json_answer({"name": "a"})


@pytest.fixture(autouse=True)
def _no_waiting():
    with stamina.set_testing(True, attempts=1):
        yield


@pytest.fixture
def server():
    with serving(thing) as server:
        yield server


@pytest.fixture
def names(monkeypatch):
    """Return a mapping from names to what the name service answers, one list of addresses after the other."""
    known, real = {}, socket.getaddrinfo

    def getaddrinfo(host, port, *args, **kwargs):
        if host not in known:
            return real(host, port, *args, **kwargs)
        answers = known[host]
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [each for address in found for each in real(address, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


@contextmanager
def listening(address, port):
    """Yield a function that tells whether anybody connected."""
    with socket.create_server((address, port)) as listener:
        listener.settimeout(0.05)

        def was_called():
            try:
                listener.accept()[0].close()
            except TimeoutError:
                return False
            return True

        yield was_called


def asked(url, outgoing=BY_DEFAULT, **more):
    return refused(lambda: Http(url, outgoing=outgoing, **more).get("/thing", Thing))


class TestByDefault:
    @pytest.mark.parametrize("host", [*WAYS_TO_WRITE_LOOPBACK, *METADATA, *NO_MACHINE])
    def test_no_way_to_write_a_forbidden_address_leads_there(self, host, server):
        error = asked(f"http://{host}:{server.port}")

        assert isinstance(error, Permanent) and error.code == "address_denied"
        assert "OCENTER_OUTGOING_ALLOW" in str(error) and server.requests == []

    @pytest.mark.parametrize("host", NEVER_RESOLVED)
    def test_what_only_some_resolvers_read_as_loopback_leads_nowhere(self, host, server):
        with pytest.raises(ConnectorError) as told:
            Http(f"http://{host}:{server.port}").get("/thing", Thing)

        assert told.value.code in ("address_denied", "dns_failed", "invalid_settings") and server.requests == []

    @pytest.mark.parametrize("host", [*WAYS_TO_WRITE_LOOPBACK, *NEVER_RESOLVED, *METADATA, *NO_MACHINE])
    def test_the_early_hint_sees_it_too_without_asking_anybody(self, host, monkeypatch):
        monkeypatch.setattr(socket.socket, "connect", lambda *args: pytest.fail("nobody may be asked"))

        assert BY_DEFAULT.objection_to_name(host)

    @pytest.mark.parametrize("address", ["10.0.0.1", "172.16.0.1", "192.168.1.1", "fd12::1", "8.8.8.8", "2001:db8::1"])
    def test_private_and_public_networks_are_free(self, address):
        assert BY_DEFAULT.objection(address, ipaddress.ip_address(address)) == ""

    def test_a_name_that_leads_to_this_machine_is_refused_with_name_address_and_way_out(self, server, names):
        names["pool.example"] = [["127.0.0.1"]]

        error = asked(f"http://pool.example:{server.port}")

        assert error.code == "address_denied" and server.requests == []
        assert "pool.example leads to 127.0.0.1" in str(error) and "add 127.0.0.1 to OCENTER_OUTGOING_ALLOW" in str(
            error
        )

    def test_only_what_is_allowed_is_asked_where_a_name_has_several_addresses(self, server, names):
        names["pool.example"] = [["127.0.0.2", "127.0.0.1"]]

        with listening("127.0.0.2", server.port) as was_called:
            found = Http(f"http://pool.example:{server.port}", outgoing=ONLY_ONE).get("/thing", Thing)

            assert found.name == "a" and not was_called()


class TestAnAddressThatChanges:
    def test_between_the_look_and_the_connection_is_connected_to_as_it_was_looked_at(self, server, names):
        names["pool.example"] = [["127.0.0.1"], ["127.0.0.2"]]

        with listening("127.0.0.2", server.port) as was_called:
            Http(f"http://pool.example:{server.port}", outgoing=ONLY_ONE).get("/thing", Thing)

            assert len(server.requests) == 1 and not was_called()

    def test_between_two_connections_is_refused_the_second_time(self, server, names):
        names["pool.example"] = [["127.0.0.1"], ["127.0.0.2"]]
        client = Http(f"http://pool.example:{server.port}", outgoing=ONLY_ONE)
        server.alter = lambda seen, answer: Answer(body=answer.body, headers={"Connection": "close"})

        with listening("127.0.0.2", server.port) as was_called:
            client.get("/thing", Thing)

            assert refused(lambda: client.get("/thing", Thing)).code == "address_denied" and not was_called()

    def test_by_a_redirect_of_an_allowed_server_is_not_followed(self, server):
        with listening("127.0.0.2", 0) as was_called:
            server.play(Answer(status=302, headers={"Location": f"http://127.0.0.2:{server.port}/thing"}))

            assert asked(server.url, ONLY_ONE).code == "redirected" and not was_called()

    def test_by_a_redirect_within_a_name_that_moved_is_refused(self, server, names):
        names["pool.example"] = [["127.0.0.1"], ["127.0.0.2"]]
        server.play(Answer(status=307, headers={"Location": "/other", "Connection": "close"}))

        with listening("127.0.0.2", server.port) as was_called:
            error = asked(f"http://pool.example:{server.port}", ONLY_ONE)

            assert error.code == "address_denied" and not was_called()


class TestEveryWayOut:
    def test_of_kubernetes_is_watched_also_its_watch(self, server):
        client = Client(access.read({"api_url": server.url}, {"token": "t"}))

        assert refused(lambda: list(client.watch(NODES, Node, "1"))).code == "address_denied"
        assert refused(client.version).code == "address_denied" and server.requests == []

    def test_of_openstack_is_watched_also_the_endpoints_of_a_catalog(self):
        def elsewhere(seen, answer):
            if not seen.path.endswith("/auth/tokens"):
                return answer
            body = answer.body.replace(b"127.0.0.1", b"127.0.0.2")
            return Answer(status=answer.status, headers=answer.headers, body=body)

        with served("busy") as cloud:
            cloud.server.alter = elsewhere

            error = refused(OpenStack(cloud.settings, cloud.credential, ONLY_ONE).check)

        assert error.code == "address_denied" and "127.0.0.2" in str(error)

    def test_of_a_log_in_to_openstack_is_watched(self):
        with served("busy") as cloud:
            error = refused(OpenStack(cloud.settings, cloud.credential).identity)

            assert error.code == "address_denied" and cloud.server.requests == []

    def test_to_a_proxy_is_watched(self, server):
        error = asked("http://pool.example", proxy=server.url)

        assert error.code == "address_denied" and "127.0.0.1" in str(error) and server.requests == []

    @pytest.mark.parametrize("host", [*WAYS_TO_WRITE_LOOPBACK, *METADATA])
    def test_through_a_proxy_leads_to_no_forbidden_address_that_is_written_out(self, host, server, names):
        names["proxy.example"] = [["127.0.0.1"]]

        error = asked(f"http://{host}:1", ONLY_THE_PROXY, proxy=f"http://proxy.example:{server.port}")

        assert error.code == "address_denied" and server.requests == []

    def test_through_a_proxy_leaves_names_to_the_proxy(self, server):
        found = Http("http://pool.example", outgoing=ONLY_ONE, proxy=server.url).get("/thing", Thing)

        assert found.name == "a" and server.requests[0].headers["host"] == "pool.example"

    @pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "unix:///run/x", "ftp://a"])
    def test_by_another_kind_of_proxy_is_refused(self, proxy):
        assert asked("http://pool.example", LOOPBACK, proxy=proxy).code == "invalid_settings"

    def test_keeps_the_name_for_tls_and_for_the_server(self, names):
        authority = Authority()
        names["pool.example"] = [["127.0.0.1"]]
        with serving(thing, identity=authority.identity("pool.example")) as server:
            tls = Tls(ca_pem=authority.pem)
            found = Http(f"https://pool.example:{server.port}", tls=tls, outgoing=LOOPBACK).get("/thing", Thing)

        assert found.name == "a" and server.requests[0].headers["host"] == f"pool.example:{server.port}"


class TestRulesOfTheOperator:
    @pytest.mark.parametrize("text", ["127.0.0.0/8", "127.0.0.1", "LocalHost", "localhost."])
    def test_allow_what_is_refused_by_default(self, text, server):
        outgoing = Outgoing(allowed=places([text]))

        assert Http(f"http://localhost:{server.port}", outgoing=outgoing).get("/thing", Thing).name == "a"
        assert outgoing.objection_to_name("localhost") == ""

    @pytest.mark.parametrize("denied", ["127.0.0.1", "127.0.0.0/8", "localhost"])
    def test_deny_wins_over_allow_and_names_its_variable(self, denied, server):
        outgoing = Outgoing(allowed=places(["127.0.0.0/8", "localhost"]), denied=places([denied]))

        error = asked(f"http://localhost:{server.port}", outgoing)

        assert error.code == "address_denied" and "OCENTER_OUTGOING_DENY" in str(error) and server.requests == []

    def test_an_address_inside_another_one_is_judged_by_the_same_rule(self):
        outgoing = Outgoing(denied=places(["10.9.0.0/16"]))

        assert outgoing.objection("x", ipaddress.ip_address("::ffff:10.9.0.1"))

    @pytest.mark.parametrize("text", ["10.0.0.1/8", "300.1.1.1", "http://a", "a b", "10.0.0.0/33", "-a", ""])
    def test_are_refused_when_they_cannot_be_read(self, text):
        with pytest.raises(ValueError, match="no address, network or host name"):
            places([text])

    def test_read_addresses_networks_and_names(self):
        assert places(["::1", "10.0.0.0/8", "Pool.Example."]) == addresses.Places(
            (ipaddress.ip_network("::1"), ipaddress.ip_network("10.0.0.0/8")), frozenset({"pool.example"})
        )


class TestTheShell:
    def test_asks_for_leave_too(self, server, tmp_path):
        file = tmp_path / "pool.json"
        file.write_text(json.dumps({"settings": {"api_url": server.url}, "credential": {"token": "t"}}))
        check = [sys.executable, "-m", "connectors", "check", "--kind", "kubernetes", "--settings", str(file)]

        told = [
            json.loads(subprocess.run([*check, *more], cwd=CHECKOUT, capture_output=True).stdout)["error"]
            for more in ([], ["--allow", "127.0.0.1"])
        ]

        assert told[0] == "address_denied" != told[1] and server.requests
