"""A real vSphere API server for tests, started by a script and thrown away afterwards."""

import json
import os
import socket
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from connectors.contract import NodeFact
from connectors.vsphere import tasks
from connectors.vsphere.client import Client
from connectors.vsphere.faults import translated
from tests.connectors.contract import connect_here
from tests.connectors.server import INSTALLATION, LOOPBACK

START_SECONDS = 600
PASSWORD = "ocenter-test"
FLEET = {"VSPHERE_CLUSTERS": "2", "VSPHERE_HOSTS": "4", "VSPHERE_VMS": "4", "VSPHERE_GPUS": "2", "VSPHERE_PAGE": "7"}
"""Hosts with vGPUs, with MIG, with DirectPath and without GPUs; more hosts and VMs than one page has."""
VGPU, MIG, DIRECTPATH, BARE = 0, 1, 2, 3

Pci = vim.vm.device.VirtualPCIPassthrough


class Backend:
    """A running vCenter. ``admin`` is a session of the person whose platform it is."""

    def __init__(self, printed: str) -> None:
        told = dict(line.split("=", 1) for line in printed.split() if "=" in line)
        self.url, self.user = told["VSPHERE_URL"], told["VSPHERE_USER"]
        self.ca_pem = Path(told["VSPHERE_CA_FILE"]).read_text()
        self._trust = ssl.create_default_context(cadata=self.ca_pem)
        self.admin = Client(self.settings, self.credential, LOOPBACK)
        self.plain = {seen.values["name"] for seen in self.vms()}

    @property
    def settings(self) -> dict[str, Any]:
        return {"url": self.url, "username": self.user, "ca_pem": self.ca_pem}

    @property
    def credential(self) -> dict[str, Any]:
        return {"password": PASSWORD}

    @property
    def datacenter(self) -> Any:
        (datacenter,) = self.admin.content.rootFolder.childEntity
        return datacenter

    @property
    def hosts(self) -> list[Any]:
        """The hosts of the first cluster, one of each kind."""
        return list(self.datacenter.hostFolder.childEntity[0].host)

    def uuid(self, host: int) -> str:
        return str(self.hosts[host].hardware.systemInfo.uuid)

    def disturb(self, path: str, body: Any = None) -> None:
        """Make trouble by the server's own means."""
        self._test(path, json.dumps(body or {}).encode())

    def claims(self) -> list[dict[str, str]]:
        """Which VM holds which GPU, as the server itself keeps it."""
        found: list[dict[str, str]] = json.loads(self._test("claims", None))
        return found

    def vms(self) -> list[Any]:
        paths = ["name", "config.extraConfig", "runtime.powerState"]
        return [seen for page in self.admin.sweep(vim.VirtualMachine, paths, page_size=100) for seen in page]

    def vm(self, name: str) -> Any:
        (found,) = [seen.ref for seen in self.vms() if seen.values["name"] == name]
        return found

    def add_vm(self, name: str, host: int, profiles: Sequence[str] = (), *, is_on: bool = True) -> Any:
        """Make a VM that is nobody's business."""
        devices = [
            vim.vm.device.VirtualDeviceSpec(
                operation="add", device=Pci(key=-1 - number, backing=Pci.VmiopBackingInfo(vgpu=profile))
            )
            for number, profile in enumerate(profiles)
        ]
        spec = vim.vm.ConfigSpec(
            name=name,
            memoryMB=64,
            numCPUs=1,
            memoryReservationLockedToMax=bool(profiles),
            guestId="otherGuest64",
            files=vim.vm.FileInfo(vmPathName="[LocalDS_0]"),
            deviceChange=devices,
        )
        pool = self.datacenter.hostFolder.childEntity[0].resourcePool
        there = self.done(self.datacenter.vmFolder.CreateVM_Task(spec, pool, self.hosts[host]))
        if is_on:
            self.done(there.PowerOnVM_Task())
        return there

    def remove_vm(self, there: Any) -> None:
        if there.runtime.powerState == "poweredOn":
            self.done(there.PowerOffVM_Task())
        self.done(there.Destroy_Task())

    def done(self, task: Any) -> Any:
        with translated(self.admin.host):
            return tasks.wait(self.admin, task)

    def tidy(self) -> None:
        """Undo what a test did."""
        for index, host in enumerate(self.hosts):
            self.disturb(f"host?host={host.name}&state=connected")
            for gpu in range(2 if index != BARE else 0):
                self.disturb(f"gpu?host={host.name}&index={gpu}&state=ok")
        for seen in self.vms():
            if seen.values["name"] not in self.plain:
                self.remove_vm(seen.ref)
        assert self.claims() == []

    def look(self) -> dict[str, NodeFact]:
        """Look at all hosts, as ocenter does."""
        with connect_here("vsphere", self.settings, self.credential) as connector:
            pages = list(connector.observe(None))
        assert pages[-1].last is not None and pages[-1].last.complete
        return {node.ref: node for page in pages for node in page.nodes}

    def made(self) -> dict[str, str]:
        """The VMs with the marker of the tests' installation."""
        texts = {
            seen.values["name"]: " ".join(f"{each.key}={each.value}" for each in seen.values["config.extraConfig"])
            for seen in self.vms()
        }
        return {name: text for name, text in texts.items() if INSTALLATION in text}

    def _test(self, path: str, body: bytes | None) -> bytes:
        url = self.url.replace("/sdk", f"/_test/{path}")
        with urllib.request.urlopen(url, data=body, context=self._trust) as answer:
            told: bytes = answer.read()
        return told


@contextmanager
def running(name: str, **more: str) -> Iterator[Backend]:
    """Yield a vCenter of a name; it is gone afterwards."""
    env = {**os.environ, **FLEET, "VSPHERE_PORT": str(_free_port()), **more}
    programs = _programs()
    try:
        backend = Backend(_run(programs / "up", name, env))
        yield backend
        backend.admin.close()
    finally:
        _run(programs / "down", name, env)


def _programs() -> Path:
    if not os.environ.get("OCENTER_BACKENDS"):
        pytest.skip("OCENTER_BACKENDS does not say where the backends are: a real vSphere API server was NOT tried")
    folder = Path(os.environ["OCENTER_BACKENDS"], "vsphere")
    if not (folder / "up").is_file():
        pytest.skip(f"there is no {folder}/up: a real vSphere API server was NOT tried")
    return folder


def _run(program: Path, name: str, env: dict[str, str]) -> str:
    done = subprocess.run([program, name], env=env, capture_output=True, text=True, timeout=START_SECONDS, check=False)
    assert done.returncode == 0, f"{program} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
