"""A cluster in a server, and the connector that talks to it as ocenter would."""

import pytest
import stamina

from tests.connectors.kubernetes.double import TOKEN, Cluster
from tests.connectors.server import connect_here, serving


@pytest.fixture(autouse=True)
def _impatient():
    """Retries happen as often as in earnest, and without the waits between."""
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


@pytest.fixture
def cluster():
    return Cluster()


@pytest.fixture
def server(cluster):
    with serving(cluster) as running:
        yield running


@pytest.fixture
def connector(server):
    settings = {"api_url": server.url, "page_size": 10}
    with connect_here("kubernetes", settings, {"token": TOKEN}) as connected:
        yield connected
