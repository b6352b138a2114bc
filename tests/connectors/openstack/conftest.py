"""The real clouds of this folder: each is started once, for all tests that want it."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.connectors.openstack.backend import EMPTY_HOST, NAME, Backend, free_ports, replace, run, wait_for


@pytest.fixture(scope="session")
def backend() -> Iterator[Backend]:
    """A cloud without Nova."""
    with _started(NAME) as started:
        fleet = json.loads(started.fleet.read_text())
        fleet["hosts"].append({"name": EMPTY_HOST, "pci": []})
        replace(started.fleet, json.dumps(fleet))
        wait_for(lambda: EMPTY_HOST in started.look())
        yield started


@pytest.fixture(scope="session")
def nova_backend() -> Iterator[Backend]:
    """A cloud with a Nova that has its own fake virt driver."""
    with _started("booted", "--nova") as started:
        yield started


@contextmanager
def _started(name: str, *more: str) -> Iterator[Backend]:
    if not os.environ.get("OCENTER_BACKENDS"):
        pytest.skip("OCENTER_BACKENDS does not say where the backends are: a real OpenStack was NOT tried")
    folder = Path(os.environ["OCENTER_BACKENDS"], "openstack")
    if not (folder / "up").is_file():
        pytest.skip(f"there is no {folder}/up: a real OpenStack was NOT tried")
    try:
        yield Backend(run(folder / "up", "--name", name, "--port-base", str(free_ports()), *more), name)
    finally:
        run(folder / "down", "--name", name, "--purge")
