"""The rules of every connector, against the double."""

import pytest

from connectors.openstack import connector as module
from tests.connectors.contract import ConnectorContract
from tests.connectors.openstack.double import PASSWORD, served
from tests.connectors.server import Answer


@pytest.fixture
def small_pages(monkeypatch):
    monkeypatch.setattr(module, "NODES_PER_PAGE", 2)


@pytest.mark.usefixtures("small_pages")
class TestOpenStack(ConnectorContract):
    secret = pytest.fixture(lambda self: PASSWORD)
    missing_permission = pytest.fixture(lambda self: "placement:resource_providers:list")

    @pytest.fixture
    def cloud(self):
        with served("busy") as cloud:
            cloud.double.add_host("host-without-cards")
            yield cloud

    @pytest.fixture
    def connect(self, cloud, open_session):
        return lambda: open_session("openstack", cloud.settings, cloud.credential)

    @pytest.fixture
    def with_wrong_credential(self, cloud, open_session):
        return open_session("openstack", cloud.settings, {"password": "another password"})

    @pytest.fixture
    def nowhere(self, cloud, open_session):
        return open_session("openstack", {**cloud.settings, "auth_url": "http://127.0.0.1:9/v3"}, cloud.credential)

    @pytest.fixture
    def without_permission(self, open_session):
        with served("forbidden") as cloud:
            yield open_session("openstack", cloud.settings, cloud.credential)

    @pytest.fixture
    def breaking(self, cloud, connect):
        cloud.server.play(Answer(status=503), path="/placement/allocation_candidates", times=3)
        return connect()
