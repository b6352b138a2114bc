"""The real sshd hosts and controllers that `up` starts: those that run already, else for one test run."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pytest

START_SECONDS = 900


class Backend:
    """What runs: ``inventory`` as the backend prints it, hosts by name."""

    def __init__(self, inventory: Path) -> None:
        self.inventory: dict[str, Any] = json.loads(inventory.read_text())
        self.hosts: dict[str, dict[str, Any]] = {host["name"]: host for host in self.inventory["hosts"]}

    @property
    def settings(self) -> dict[str, Any]:
        return {"site": "backend", "hosts": json.dumps([self.listed(name) for name in self.hosts])}

    @property
    def credential(self) -> dict[str, Any]:
        return {"private_key": Path(self.inventory["service_key"]).read_text()}

    def listed(self, name: str) -> dict[str, Any]:
        """A host as a pool lists it."""
        way = self.hosts[name]["ssh"]
        return {"name": name, **{key: way[key] for key in ("address", "port", "host_key")}}

    def expected(self, name: str) -> dict[str, Any]:
        """What the host really has."""
        found: dict[str, Any] = json.loads(Path(self.hosts[name]["expect"]).read_text())
        return found

    def as_admin(self, name: str, command: str) -> str:
        """Run a shell command as root on a host, as the person who prepares hosts."""
        way = self.hosts[name]["ssh"]
        known = f"UserKnownHostsFile={self.inventory['known_hosts']}"
        options = ["-F", "none", "-o", known, "-o", "BatchMode=yes", "-i", self.inventory["admin_key"]]
        target = ["-p", str(way["port"]), f"{self.inventory['admin_user']}@{way['address']}"]
        said = subprocess.run(
            ["ssh", *options, *target, "sudo", "sh", "-c", f"'{command}'"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert said.returncode == 0, said.stderr
        return said.stdout

    @contextmanager
    def fault(self, name: str, words: str) -> Iterator[None]:
        """Let the vendor's tool of a host fail: hang, no-driver, or lost N."""
        self.as_admin(name, f"echo {words} > /var/lib/accel-sim/fault")
        try:
            yield
        finally:
            self.as_admin(name, "rm -f /var/lib/accel-sim/fault")


def other_key() -> dict[str, Any]:
    """A credential that no host accepts."""
    return {"private_key": asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()}


@contextmanager
def running() -> Iterator[Backend]:
    """Yield the backend. What ran before goes on running."""
    if not os.environ.get("OCENTER_BACKENDS"):
        pytest.skip("OCENTER_BACKENDS does not say where the backends are: real hosts were NOT tried")
    folder = Path(os.environ["OCENTER_BACKENDS"], "baremetal")
    if not (folder / "up").is_file():
        pytest.skip(f"there is no {folder}/up: real hosts were NOT tried")
    if os.geteuid() != 0:
        pytest.skip("not root, so no simulated hosts can be started: real hosts were NOT tried")
    home = Path(os.environ.get("OCENTER_BACKENDS_HOME") or Path.home() / ".cache" / "ocenter-backends")
    ran_before = (home / "baremetal" / "bmc.pid").exists()
    up = subprocess.run(
        [folder / "up"],
        env={"HOSTS": "8", **os.environ},
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    assert up.returncode == 0, up.stderr[-3000:]
    try:
        yield Backend(Path(up.stdout.split()[-1]))
    finally:
        if not ran_before:
            subprocess.run([folder / "down"], timeout=START_SECONDS, check=True, capture_output=True)
