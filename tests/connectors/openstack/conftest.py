"""The real clouds of this folder: each is started once, for all tests that want it."""

import json
from collections.abc import Iterator

import pytest

from tests.connectors.openstack.backend import EMPTY_HOST, NAME, Backend, replace, running, wait_for


@pytest.fixture(scope="session")
def backend() -> Iterator[Backend]:
    """A cloud without Nova."""
    with running(NAME) as started:
        fleet = json.loads(started.fleet.read_text())
        fleet["hosts"].append({"name": EMPTY_HOST, "pci": []})
        replace(started.fleet, json.dumps(fleet))
        wait_for(lambda: EMPTY_HOST in started.look())
        yield started


@pytest.fixture(scope="session")
def nova_backend() -> Iterator[Backend]:
    """A cloud with a Nova that has its own fake virt driver."""
    with running("booted", "--nova") as started:
        yield started
