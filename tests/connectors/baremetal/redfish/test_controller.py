"""The way to a controller, over real TLS: trust, log-in, looks, power, and what goes wrong."""

import gc
import logging

import pytest
from msgspec.structs import replace

from connectors.addresses import BY_DEFAULT
from connectors.baremetal.redfish import reading
from connectors.baremetal.redfish.client import Controller
from connectors.contract import ConnectorError, Denied, Permanent, Transient
from connectors.tls import Tls
from tests.connectors.baremetal.redfish.double_bmc import CA, MAKERS, PASSWORD, USER, Bmc, controlled
from tests.connectors.server import HTML, LOOPBACK, Answer, Authority, json_answer, serving


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(reading, "WAIT_SECONDS", 0.3)
    monkeypatch.setattr(reading, "STEP_SECONDS", 0.01)


@pytest.fixture
def bmc():
    return Bmc()


@pytest.fixture
def server(bmc):
    with controlled(bmc) as server:
        yield server


@pytest.fixture
def controller(server):
    return at(server)


def at(server, tls: Tls | None = None) -> Controller:
    return Controller(url=server.url, user=USER, password=PASSWORD, tls=tls or Tls(ca_pem=CA.pem))


def look(controller, outgoing=LOOPBACK):
    return reading.look(controller, outgoing)


def refused(controller, outgoing=LOOPBACK) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        look(controller, outgoing)
    return caught.value


class TestALook:
    @pytest.mark.parametrize("maker", MAKERS)
    def test_reads_every_maker_s_tree(self, maker):
        with controlled(Bmc(maker)) as server:
            found = look(at(server))

        assert found.accelerators and found.power == "on"

    def test_of_several_at_once_tells_each_with_its_own_error(self, controller):
        nobody = replace(controller, url="https://127.0.0.1:1")

        found = reading.looks({"a": controller, "b": nobody}, LOOPBACK)

        assert not isinstance(found["a"], ConnectorError) and isinstance(found["b"], Transient)

    def test_measures_cards_that_have_a_uuid(self):
        with controlled(Bmc("supermicro-gb300")) as server:
            found = reading.readings(at(server), LOOPBACK, "gpu01")

        assert [(each.node, each.ecc_uncorrected, each.health) for each in found] == [("gpu01", 0, "ok")] * 4
        assert all(each.temperature_celsius and each.power_watts for each in found)
        assert all(each.utilisation_percent is None and each.memory_used_mib is None for each in found)


class TestTrust:
    def test_is_by_the_ca_or_by_the_certificate_s_fingerprint(self, bmc):
        identity = CA.identity()
        with serving(bmc, identity=identity) as server:
            assert look(at(server)) == look(at(server, Tls(fingerprint=identity.fingerprint())))

    @pytest.mark.parametrize("tls", [Tls(), Tls(ca_pem=Authority("Another").pem), Tls(fingerprint="00" * 32)])
    def test_of_nobody_else_and_no_password_is_sent(self, server, tls):
        error = refused(at(server, tls))

        assert error.code == "tls_untrusted" and server.requests == []

    def test_only_leads_where_one_may_connect(self, controller, server):
        assert refused(controller, BY_DEFAULT).code == "address_denied" and server.requests == []


class TestLogIn:
    def test_by_a_session_which_is_ended(self, controller, server, bmc):
        look(controller)

        assert bmc.sessions == {} and not any("authorization" in seen.headers for seen in server.requests)

    def test_falls_back_to_basic_where_there_are_no_sessions(self, controller, bmc):
        bmc.has_sessions = False

        assert look(controller).serial == "2M2D2J00L4"

    def test_once_more_when_the_session_is_gone_in_the_middle(self, controller, server, bmc):
        def forget(seen, answer):
            if seen.path.endswith("/Processors"):
                bmc.sessions.pop("token-0", None)
            return answer

        server.alter = forget

        assert len(look(controller).accelerators) == 2

    def test_with_a_wrong_password_is_denied_and_stays_secret(self, controller, caplog):
        caplog.set_level(logging.DEBUG)

        error = refused(replace(controller, password="wrong-secret-2"))

        assert isinstance(error, Denied) and error.code == "unauthorized"
        assert "wrong-secret-2" not in caplog.text + str(error) + error.platform_words

    def test_leaves_nothing_to_do_when_the_end_of_the_session_fails(self, controller, server, caplog):
        server.alter = lambda seen, answer: Answer(status=500) if seen.method == "DELETE" else answer

        look(controller)
        gc.collect()

        assert "Ignoring error while closing" not in caplog.text


class TestWhatGoesWrong:
    @pytest.mark.parametrize(
        ("answer", "code"),
        [
            (HTML, "not_this_kind"),
            (json_answer({"hello": "world"}), "not_this_kind"),
            (json_answer([1, 2]), "not_this_kind"),
            (Answer(status=503), "server_error"),
            (Answer(raw=b""), "truncated"),
            (Answer(status=302, headers={"Location": "https://elsewhere.example/"}), "redirected"),
        ],
    )
    def test_at_the_root_is_told(self, controller, server, answer, code):
        server.play(answer, times=9)

        assert refused(controller).code == code

    @pytest.mark.parametrize(
        ("answer", "code"),
        [
            (Answer(body=b'{"Id": '), "not_this_kind"),
            (json_answer({"Members": "none"}), "not_this_kind"),
            (json_answer({"error": {"message": "no"}}, status=403), "forbidden"),
            (json_answer({"error": {"message": "no"}}, status=404), "not_found"),
        ],
    )
    def test_at_the_systems_is_told(self, controller, server, answer, code):
        server.play(answer, times=9, path="/redfish/v1/Systems")

        assert refused(controller).code == code

    def test_for_a_moment_is_asked_again(self, controller, server):
        server.play(Answer(status=503), path="/redfish/v1/Systems/1")

        assert look(controller).power == "on"


class TestPower:
    def test_is_switched_off_gracefully_and_on_again(self, controller, bmc):
        states = [reading.switch(controller, LOOPBACK, wanted) for wanted in ("off", "on")]

        assert states == ["off", "on"] and bmc.resets == ["GracefulShutdown", "On"]

    @pytest.mark.parametrize("has_transitions", [True, False])
    def test_is_changing_when_it_takes_longer(self, controller, bmc, has_transitions):
        bmc.has_transitions, bmc.looks = has_transitions, 10_000

        assert reading.switch(controller, LOOPBACK, "off") == "changing"

    @pytest.mark.parametrize("state", ["PoweringOn", "PoweringOff"])
    def test_while_changing_nothing_is_sent(self, controller, bmc, state):
        bmc.system["PowerState"] = state

        assert reading.switch(controller, LOOPBACK, "off") == "changing" and bmc.resets == []

    def test_that_is_there_already_is_not_asked_for(self, controller, bmc):
        assert reading.switch(controller, LOOPBACK, "on") == "on" and bmc.resets == [] == bmc.boots

    def test_is_forced_only_where_nothing_gentler_is_offered(self, controller, bmc):
        allowed = bmc.system["Actions"]["#ComputerSystem.Reset"]["ResetType@Redfish.AllowableValues"]
        allowed.remove("GracefulShutdown")

        reading.switch(controller, LOOPBACK, "off")

        assert bmc.resets == ["ForceOff"]

    def test_that_cannot_be_reached_is_refused(self, controller, bmc):
        bmc.system["Actions"]["#ComputerSystem.Reset"]["ResetType@Redfish.AllowableValues"] = ["Nmi"]

        with pytest.raises(Permanent) as caught:
            reading.switch(controller, LOOPBACK, "off")

        assert caught.value.code == "not_supported" and bmc.resets == []

    def test_on_starts_once_from_the_disk(self, controller, bmc):
        bmc.system["PowerState"] = "Off"

        reading.switch(controller, LOOPBACK, "on")

        assert [(boot["BootSourceOverrideTarget"], boot["BootSourceOverrideEnabled"]) for boot in bmc.boots] == [
            ("Hdd", "Once")
        ]

    def test_on_leaves_the_site_s_own_override(self, controller, bmc):
        bmc.system["PowerState"] = "Off"
        bmc.system["Boot"]["BootSourceOverrideEnabled"] = "Continuous"

        reading.switch(controller, LOOPBACK, "on")

        assert bmc.boots == [] and bmc.resets == ["On"]

    def test_on_starts_also_where_the_override_is_refused(self, controller, server, bmc):
        bmc.system["PowerState"] = "Off"
        server.alter = lambda seen, answer: Answer(status=400) if seen.method == "PATCH" else answer

        assert reading.switch(controller, LOOPBACK, "on") == "on"

    @pytest.mark.parametrize("fault", [Answer(status=500), Answer(raw=b"")], ids=["says failure", "says nothing"])
    def test_with_the_answer_lost_is_unknown_and_then_as_wanted(self, controller, server, bmc, fault):
        server.alter = lambda seen, answer: fault if "Reset" in seen.path else answer

        with pytest.raises(Transient):
            reading.switch(controller, LOOPBACK, "off")
        server.alter = lambda seen, answer: answer

        assert reading.switch(controller, LOOPBACK, "off") in ("changing", "off") and bmc.resets == ["GracefulShutdown"]

    def test_of_a_baseboard_follows_its_server(self):
        bmc = Bmc("supermicro-gb300")
        with controlled(bmc) as server:
            reading.switch(at(server), LOOPBACK, "off")

            assert "POST /redfish/v1/Systems/System_0/Actions/ComputerSystem.Reset" in server.paths()
