"""A real cloud for tests: Keystone, Placement and Cyborg, started by a script and thrown away afterwards."""

import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from keystoneauth1.session import Session

from connectors.contract import NodeFact
from connectors.openstack import login
from tests.connectors.server import connect_here

NAME = "watched"
START_SECONDS = 600
CHANGE_SECONDS = 90
EMPTY_HOST = f"{NAME}-empty"


class Backend:
    """A running cloud: its ``clouds_yaml`` and the file that says which hosts and cards it has."""

    def __init__(self, printed: str, name: str = NAME) -> None:
        self.name = name
        found = re.search(r"OS_CLIENT_CONFIG_FILE=(\S+)", printed)
        assert found, printed[-2000:]
        self.clouds_yaml = Path(found[1]).read_text()
        self.fleet = Path(found[1]).with_name("fleet.json")

    def settings(self, account: str = "admin") -> dict[str, Any]:
        return {"auth_type": "clouds_yaml", "cloud": f"{self.name}-{account}"}

    @property
    def credential(self) -> dict[str, Any]:
        return {"clouds_yaml": self.clouds_yaml}

    def look(self, account: str = "admin") -> dict[str, NodeFact]:
        with connect_here("openstack", self.settings(account), self.credential) as connector:
            pages = list(connector.observe(None))
        assert pages[-1].last is not None and pages[-1].last.complete
        return {node.name: node for page in pages for node in page.nodes}

    def placement(self, method: str, path: str, body: Any = None) -> Any:
        """Change something behind the connector's back."""
        plugin = login.read(self.settings(), self.credential).plugin
        where = {"service_type": "placement"}
        return Session(auth=plugin).request(path, method, json=body, endpoint_filter=where, microversion="1.38")

    def ask(self, service: str, method: str, path: str, body: Any = None, *, account: str = "admin") -> Any:
        """Send what a person or a program beside ocenter may send, and return the answer whatever it is."""
        plugin = login.read(self.settings(account), self.credential).plugin
        where, newest = {"service_type": service}, {"compute": "2.90", "accelerator": "2.3"}.get(service)
        return Session(auth=plugin).request(
            path, method, json=body, endpoint_filter=where, microversion=newest, raise_exc=False
        )

    def cyborg(self, path: str) -> Any:
        """Ask Cyborg."""
        plugin = login.read(self.settings(), self.credential).plugin
        where = {"service_type": "accelerator"}
        return Session(auth=plugin).request(path, "GET", endpoint_filter=where, microversion="2.3").json()


@contextmanager
def running(name: str, *more: str) -> Iterator[Backend]:
    """Yield a cloud of a name; it is gone afterwards."""
    if not os.environ.get("OCENTER_BACKENDS"):
        pytest.skip("OCENTER_BACKENDS does not say where the backends are: a real OpenStack was NOT tried")
    folder = Path(os.environ["OCENTER_BACKENDS"], "openstack")
    if not (folder / "up").is_file():
        pytest.skip(f"there is no {folder}/up: a real OpenStack was NOT tried")
    try:
        yield Backend(run(folder / "up", "--name", name, "--port-base", str(free_ports()), *more), name)
    finally:
        run(folder / "down", "--name", name, "--purge")


def run(program: Path, *arguments: str, seconds: float = START_SECONDS) -> str:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"{program} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def free_ports() -> int:
    """Return the first of five ports in a row that nobody has."""
    for base in range(15300, 16300, 10):
        taken = False
        for port in range(base, base + 5):
            with socket.socket() as probe:
                taken = taken or probe.connect_ex(("127.0.0.1", port)) == 0
        if not taken:
            return base
    raise AssertionError("no free ports between 15300 and 16300")


def wait_for(seen: Callable[[], bool]) -> None:
    end = time.monotonic() + CHANGE_SECONDS
    while not seen():
        assert time.monotonic() < end, f"not seen within {CHANGE_SECONDS} s"
        time.sleep(1)


def replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)
