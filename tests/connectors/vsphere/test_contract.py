"""The rules of every connector, held by the one of vSphere."""

import pytest
from pyVmomi import vim

from tests.connectors.ability_contract import TelemetryContract
from tests.connectors.contract import ConnectorContract, nodes
from tests.connectors.server import Answer, serving
from tests.connectors.telemetry.test_exporters import dcgm
from tests.connectors.vsphere.double_methods import PASSWORD, USER
from tests.connectors.vsphere.double_soap import method_of
from tests.connectors.vsphere.test_apply import OnVCenter


class TestVSphere(ConnectorContract):
    secret = pytest.fixture(lambda self: PASSWORD)
    missing_permission = pytest.fixture(lambda self: "System.Read")

    @pytest.fixture(autouse=True)
    def _small_pages(self, vcenter):
        vcenter.page_limit = 5

    @pytest.fixture
    def settings(self, server, authority):
        return {"url": server.url, "username": USER, "ca_pem": authority.pem}

    @pytest.fixture
    def connect(self, settings, open_session):
        return lambda: open_session("vsphere", settings, {"password": PASSWORD})

    @pytest.fixture
    def with_wrong_credential(self, settings, open_session):
        return open_session("vsphere", settings, {"password": "another password"})

    @pytest.fixture
    def nowhere(self, settings, open_session):
        return open_session("vsphere", {**settings, "url": "https://127.0.0.1:9"}, {"password": PASSWORD})

    @pytest.fixture
    def without_permission(self, vcenter, connect):
        vcenter.hidden.add((vim.HostSystem, "config"))
        vcenter.lacks.add("System.Read")
        return connect()

    @pytest.fixture
    def breaking(self, server, connect):
        """The way breaks at the second page of the hosts, once: a page cannot be asked for again."""

        def alter(seen, answer):
            if method_of(seen) != "ContinueRetrievePropertiesEx":
                return answer
            server.alter = lambda seen, answer: answer
            return Answer(status=503)

        server.alter = alter
        return connect()


class TestTelemetry(OnVCenter, TelemetryContract):
    """What an exporter beside the pool tells of a host's card."""

    @pytest.fixture
    def connect(self, vcenter, server, authority, open_session):
        text = dcgm(DCGM_FI_DEV_GPU_UTIL="12", DCGM_FI_DEV_XID_ERRORS="0").replace("gpu07", vcenter.hosts[0].name)
        with serving(lambda seen: Answer(body=text.encode())) as exporter:
            settings = {"url": server.url, "username": USER, "ca_pem": authority.pem, "exporter_urls": exporter.url}
            yield lambda **more: open_session("vsphere", settings, {"password": PASSWORD}, **more)

    def test_c92_readings_are_of_devices_that_are_there(self, connector):
        """vCenter tells no uuid of a card, so a reading finds it by its node and its PCI address."""
        places = {(node.name, device.pci_address) for node in nodes(connector) for device in node.devices}

        readings = list(connector.telemetry())

        assert readings and all((reading.node, reading.pci_address) in places for reading in readings)
