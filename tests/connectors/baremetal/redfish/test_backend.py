"""Against the controllers of the simulated hosts and the upstream Redfish emulator, up for the time of this file."""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any, Literal

import pytest
from msgspec.structs import replace

from connectors.baremetal.redfish import reading
from connectors.baremetal.redfish.client import Controller
from connectors.baremetal.redfish.machine import Machine
from connectors.contract import Denied
from connectors.telemetry.sources import Sources
from connectors.tls import Tls
from tests.connectors.server import LOOPBACK

pytestmark = pytest.mark.backend
SWITCH_SECONDS = 30
FOLDER = Path(os.environ.get("OCENTER_BACKENDS", ""), "baremetal")


@pytest.fixture(scope="module")
def inventory():
    """Return what the backend says of its hosts; one that was up before stays up."""
    if not os.environ.get("OCENTER_BACKENDS") or not (FOLDER / "up").exists():
        pytest.skip("OCENTER_BACKENDS names no folder with a baremetal backend")
    home = os.environ.get("OCENTER_BACKENDS_HOME", str(Path.home() / ".cache" / "ocenter-backends"))
    was_up = _is_alive(Path(home, "baremetal", "bmc.pid"))
    started = subprocess.run([FOLDER / "up"], capture_output=True, text=True, check=False, timeout=600)
    if started.returncode:
        pytest.skip(f"the baremetal backend does not start: {started.stderr[-300:]}")
    yield json.loads(Path(started.stdout.split()[-1]).read_text())
    if not was_up:
        subprocess.run([FOLDER / "down"], capture_output=True, check=False, timeout=120)


@pytest.fixture
def controllers(inventory) -> dict[str, Controller]:
    return {host["name"]: at(host["redfish"]) for host in inventory["hosts"] if host.get("redfish")}


@pytest.fixture
def emulated(inventory) -> Controller:
    """Return one of the several systems that the upstream emulator tells, which knows no sessions."""
    controller = Controller(url=inventory["emulator"], user="any", password="anything", tls=Tls())
    with pytest.raises(Exception, match=r"bmc\.system") as caught:
        reading.look(controller, LOOPBACK)
    return replace(controller, system=str(caught.value).split("host: ")[1].split(",")[0].split(".")[0])


def at(redfish: dict[str, Any]) -> Controller:
    tls = Tls(ca_pem=Path(redfish["ca"]).read_text())
    url = f"https://{redfish['address']}:{redfish['port']}"
    return Controller(url=url, user=redfish["user"], password=redfish["password"], tls=tls)


def cards(host: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(Path(host["expect"]).read_text())["cards"]
    return found


def switched(controller: Controller, wanted: Literal["on", "off"]) -> bool:
    """Ask again and again, as the caller does, until it is there; bounded."""
    deadline_at = time.monotonic() + SWITCH_SECONDS
    while time.monotonic() < deadline_at:
        if reading.switch(controller, LOOPBACK, wanted) == wanted:
            return True
        time.sleep(0.5)
    return False


def _is_alive(path: Path) -> bool:
    return path.exists() and Path("/proc", path.read_text().strip()).exists()


class TestSimulatedControllers:
    def test_tell_the_cards_that_the_hosts_have(self, inventory, controllers):
        found = reading.looks(controllers, LOOPBACK)

        for host in inventory["hosts"]:
            seen = found.get(host["name"])
            if isinstance(seen, Machine) and seen.accelerators:
                assert {card.serial for card in seen.accelerators} == {card["serial"] for card in cards(host)}
        assert all(isinstance(seen, Machine) and seen.serial for seen in found.values())

    def test_are_switched_off_and_on(self, controllers):
        controller = next(iter(controllers.values()))

        assert switched(controller, "off") and reading.look(controller, LOOPBACK).power == "off"
        assert switched(controller, "on") and reading.look(controller, LOOPBACK).power == "on"

    def test_refuse_a_wrong_password_and_are_not_trusted_without_their_certificate(self, controllers):
        controller = next(iter(controllers.values()))
        wrong = {"password": replace(controller, password="wrong"), "trust": replace(controller, tls=Tls())}

        found = reading.looks(wrong, LOOPBACK)

        assert isinstance(found["password"], Denied) and getattr(found["trust"], "code", "") == "tls_untrusted"

    def test_measure_their_cards(self, controllers):
        found = reading.readings(next(iter(controllers.values())), LOOPBACK, "gpu01")

        assert found and all(each.temperature_celsius for each in found)


class TestUpstreamEmulator:
    def test_is_looked_at_and_switched(self, emulated):
        assert switched(emulated, "on")

        assert reading.switch(emulated, LOOPBACK, "off") in ("changing", "off")
        assert reading.look(emulated, LOOPBACK).power in ("on", "off", "changing")
        assert switched(emulated, "on")


class TestExporters:
    def test_tell_of_the_cards_that_the_hosts_have(self, inventory):
        hosts = {host["name"]: host for host in inventory["hosts"]}
        vendors = {name: json.loads(Path(host["expect"]).read_text())["vendor"] for name, host in hosts.items()}
        told = [hosts[name] for name, vendor in vendors.items() if vendor in ("nvidia", "ascend")]
        urls = "\n".join(f"http://{host['ssh']['address']}:{host['metrics']['port']}/metrics" for host in told)

        found = list(Sources({"exporter_urls": urls}, {}, LOOPBACK).telemetry())

        expected = {card["uuid"].removeprefix("GPU-") for host in told for card in cards(host)}
        assert {(reading.uuid or "").removeprefix("GPU-") for reading in found} == expected
        assert all(each.temperature_celsius and each.health == "ok" for each in found)
