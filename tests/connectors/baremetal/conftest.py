"""A host below a folder, and one that carries two leases."""

import pytest

from tests.connectors.baremetal.double_host import BOTH, DONE, PlayedHost, call


@pytest.fixture
def host(tmp_path):
    return PlayedHost(tmp_path / "root")


@pytest.fixture
def leased(host):
    assert call(host, "apply", BOTH)[0] == DONE
    return host
