"""The contract's rules of power and telemetry, and hosts whose controllers are looked at beside them."""

import json

import pytest

from connectors.baremetal.redfish import reading
from connectors.contract import Permanent
from tests.connectors.ability_contract import PowerContract, TelemetryContract
from tests.connectors.baremetal.double_ssh import Host, nvidia_xml, served
from tests.connectors.baremetal.redfish.double_bmc import CA, PASSWORD, USER, Bmc, controlled
from tests.connectors.contract import Sessions, nodes, pages
from tests.connectors.server import Answer, serving
from tests.connectors.telemetry.test_exporters import dcgm

UUID = "GPU-ffd6582a-64de-b17e-ad24-af5a28aed641"  # of the recorded GPU_0


def exposition(uuid=UUID, **values):
    return dcgm(**values).replace("GPU-11111111-2222-3333-4444-555555555555", uuid)


class Controlled(Sessions):
    @pytest.fixture(autouse=True)
    def short_waits(self, monkeypatch):
        monkeypatch.setattr(reading, "STEP_SECONDS", 0.01)

    @pytest.fixture
    def bmc(self):
        return Bmc("supermicro-gb300")

    @pytest.fixture
    def controller(self, bmc):
        with controlled(bmc) as server:
            yield server

    @pytest.fixture
    def site(self, bmc):
        cards = [each["UUID"] for each in bmc.tree.values() if each.get("ProcessorType") == "GPU"]
        with served(
            [
                Host("gpu01", "127.77.9.11", {"nvidia-smi -q -x": nvidia_xml(*(f"GPU-{uuid}" for uuid in cards))}),
                Host("gpu02", "127.77.9.12", {"nvidia-smi -q -x": nvidia_xml("GPU-bb01")}),
            ]
        ) as site:
            yield site

    @pytest.fixture
    def exporter(self):
        with serving(lambda seen: Answer(body=exposition(DCGM_FI_DEV_XID_ERRORS="0").encode())) as server:
            yield server

    @pytest.fixture
    def settings(self, site, controller, exporter):
        first, second = json.loads(site.settings["hosts"])
        first["bmc"] = {"address": "127.0.0.1", "port": controller.port, "certificate": CA.pem}
        more = {"bmc_user": USER, "exporter_urls": exporter.url}
        return {**site.settings, "hosts": json.dumps([first, second]), **more}

    @pytest.fixture
    def connect(self, settings, site, open_session):
        return lambda: open_session("baremetal", settings, {**site.credential, "bmc_password": PASSWORD})

    @pytest.fixture
    def connector(self, connect):
        return connect()

    @pytest.fixture
    def switchable(self, connector):
        return nodes(connector)[0].ref


class TestPower(Controlled, PowerContract):
    def test_of_a_host_without_a_controller_is_refused(self, connector):
        with pytest.raises(Permanent) as caught:
            connector.power(nodes(connector)[1].ref, "off")

        assert caught.value.code == "not_supported"

    def test_off_is_seen_as_the_reason(self, connector, bmc):
        bmc.system["PowerState"] = "Off"

        first, second = nodes(connector)

        assert (first.is_available, first.unavailable_reason, second.is_available) == (False, "its power is off", True)


class TestTelemetry(Controlled, TelemetryContract):
    def test_comes_from_controllers_and_exporters(self, connector):
        found = [reading for reading in connector.telemetry() if reading.uuid == UUID]

        assert [(each.temperature_celsius is not None, each.health) for each in found] == [(True, "ok"), (False, "ok")]

    def test_of_controllers_is_told_while_no_exporter_can_be_read(self, connector, exporter):
        exporter.handler = lambda seen: Answer(status=404)

        assert [reading for reading in connector.telemetry() if reading.uuid == UUID]


class TestObserve(Controlled):
    def test_a_card_is_one_card_with_its_slot(self, connector):
        first, _ = nodes(connector)

        assert len(first.devices) == 4 and len({device.attributes["slot"] for device in first.devices}) == 4
        assert first.serial == "S964512X5913271" and all(device.memory_mib for device in first.devices)

    def test_a_fault_of_an_exporter_takes_the_card_out_and_back(self, connector, exporter):
        def health(cursor):
            seen = pages(connector) if cursor is None else list(connector.observe(cursor))
            devices = [device for page in seen for node in page.nodes for device in node.devices if device.uuid == UUID]
            return devices[0].health, seen[-1].last.cursor

        well, cursor = health(None)
        exporter.handler = lambda seen: Answer(body=exposition(DCGM_FI_DEV_XID_ERRORS="79").encode())
        broken, cursor = health(cursor)
        exporter.handler = lambda seen: Answer(body=exposition(DCGM_FI_DEV_XID_ERRORS="0").encode())
        healed, _ = health(cursor)

        assert (well, broken, healed) == ("ok", "faulty", "ok")

    def test_a_controller_that_is_silent_is_a_warning(self, connector, controller):
        controller.play(Answer(status=500), times=50)

        seen = pages(connector)

        assert seen[-1].last.complete and any("gpu01 tells nothing" in each for page in seen for each in page.warnings)
        assert [device.health for page in seen for node in page.nodes for device in node.devices] == ["ok"] * 5

    def test_a_controller_s_critical_card_is_faulty(self, connector, bmc):
        next(each for each in bmc.tree.values() if each.get("UUID") == UUID[4:])["Status"] = {"Health": "Critical"}

        first, _ = nodes(connector)

        assert [device.health for device in first.devices].count("faulty") == 1
