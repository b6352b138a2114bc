"""A double of a vCenter in a server, with VMs of others on its GPUs."""

import pytest
import stamina

from tests.connectors.server import Authority
from tests.connectors.vsphere.backend import running as running_backend
from tests.connectors.vsphere.double import busy, running


@pytest.fixture(autouse=True)
def _impatient():
    """Retries happen as often as in earnest, and without the waits between."""
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


@pytest.fixture(scope="session")
def authority():
    return Authority()


@pytest.fixture
def vcenter():
    return busy()


@pytest.fixture
def server(vcenter, authority):
    with running(vcenter, authority) as server:
        yield server


@pytest.fixture(scope="session")
def backend():
    """The real vSphere API server of this folder: started once for all tests that want it."""
    with running_backend("giving") as backend:
        yield backend
