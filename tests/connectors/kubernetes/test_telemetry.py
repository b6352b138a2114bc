"""What exporters beside a cluster tell of its cards."""

import pytest

from connectors.contract import CanTelemeter
from tests.connectors.ability_contract import TelemetryContract
from tests.connectors.contract import Sessions, nodes
from tests.connectors.kubernetes import fleet
from tests.connectors.kubernetes.double import NODES, TOKEN
from tests.connectors.server import Answer, serving
from tests.connectors.telemetry.test_exporters import dcgm


class Measured(Sessions):
    @pytest.fixture
    def card(self, connector):
        """Return a node and a card of it that has a uuid."""
        return next((node, device) for node in nodes(connector) for device in node.devices if device.uuid)

    @pytest.fixture
    def exporter(self):
        with serving(lambda seen: Answer(status=503)) as running:
            yield running

    @pytest.fixture
    def connector(self, cluster, server, exporter, open_session):
        for number, style in enumerate(fleet.STYLES):
            cluster.put(NODES, fleet.node(style, number))
        settings = {"api_url": server.url, "page_size": 10, "exporter_urls": exporter.url}
        return open_session("kubernetes", settings, {"token": TOKEN})

    @pytest.fixture(autouse=True)
    def saying(self, card, exporter):
        """Let the exporter tell of the card; return what changes what it says."""

        def say(**values):
            text = dcgm(**values).replace("GPU-11111111-2222-3333-4444-555555555555", card[1].uuid)
            exporter.handler = lambda seen: Answer(body=text.encode())

        say(DCGM_FI_DEV_GPU_UTIL="12", DCGM_FI_DEV_XID_ERRORS="0")
        return say


class TestKubernetes(Measured, TelemetryContract):
    def test_a_fault_takes_the_card_out_and_back(self, connector, card, saying):
        def health(cursor):
            pages = list(connector.observe(cursor))
            found = [
                each for page in pages for node in page.nodes for each in node.devices if each.uuid == card[1].uuid
            ]
            return (found[0].health, found[0].health_reason), pages[-1].last.cursor

        saying(DCGM_FI_DEV_XID_ERRORS="79")
        broken, cursor = health(None)
        saying(DCGM_FI_DEV_XID_ERRORS="0")
        healed, _ = health(cursor)

        assert broken[0] == "faulty" and "XID 79" in broken[1] and healed == (card[1].health, card[1].health_reason)

    def test_without_exporters_tells_nothing(self, server, open_session):
        connector = open_session("kubernetes", {"api_url": server.url}, {"token": TOKEN})

        assert isinstance(connector, CanTelemeter) and list(connector.telemetry()) == []
