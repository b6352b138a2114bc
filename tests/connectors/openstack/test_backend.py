"""Against real services: Keystone, Placement and Cyborg with 34 devices, started for the time of this file."""

import json
import os
import re
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from keystoneauth1.session import Session

from connectors.contract import Denied, DeviceFact, NodeFact, Transient
from connectors.openstack import connector as module
from connectors.openstack import login
from connectors.openstack.client import Cloud
from tests.connectors.contract import ConnectorContract
from tests.connectors.server import connect_here

pytestmark = pytest.mark.backend
NAME = "watched"
START_SECONDS = 600
CHANGE_SECONDS = 90


EMPTY_HOST = f"{NAME}-empty"


class Backend:
    """A running cloud: its ``clouds_yaml`` and the file that says which hosts and cards it has."""

    def __init__(self, printed: str) -> None:
        found = re.search(r"OS_CLIENT_CONFIG_FILE=(\S+)", printed)
        assert found, printed[-2000:]
        self.clouds_yaml = Path(found[1]).read_text()
        self.fleet = Path(found[1]).with_name("fleet.json")

    def settings(self, account: str = "admin") -> dict[str, Any]:
        return {"auth_type": "clouds_yaml", "cloud": f"{NAME}-{account}"}

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


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    if not os.environ.get("OCENTER_BACKENDS"):
        pytest.skip("OCENTER_BACKENDS does not say where the backends are: a real OpenStack was NOT tried")
    folder = Path(os.environ["OCENTER_BACKENDS"], "openstack")
    if not (folder / "up").is_file():
        pytest.skip(f"there is no {folder}/up: a real OpenStack was NOT tried")
    try:
        started = Backend(_run(folder / "up", "--name", NAME, "--port-base", str(_free_ports())))
        fleet = json.loads(started.fleet.read_text())
        fleet["hosts"].append({"name": EMPTY_HOST, "pci": []})
        _replace(started.fleet, json.dumps(fleet))
        _wait_for(lambda: EMPTY_HOST in started.look())
        yield started
    finally:
        _run(folder / "down", "--name", NAME, "--purge")


def _run(program: Path, *arguments: str) -> str:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=START_SECONDS, check=False)
    assert done.returncode == 0, f"{program} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def _free_ports() -> int:
    """Return the first of five ports in a row that nobody has."""
    for base in range(15300, 16300, 10):
        taken = False
        for port in range(base, base + 5):
            with socket.socket() as probe:
                taken = taken or probe.connect_ex(("127.0.0.1", port)) == 0
        if not taken:
            return base
    raise AssertionError("no free ports between 15300 and 16300")


def _cards(nodes: dict[str, NodeFact]) -> dict[str, DeviceFact]:
    return {f"{node.name}_{device.pci_address}": device for node in nodes.values() for device in node.devices}


def _wait_for(seen: Callable[[], bool]) -> None:
    end = time.monotonic() + CHANGE_SECONDS
    while not seen():
        assert time.monotonic() < end, f"not seen within {CHANGE_SECONDS} s"
        time.sleep(1)


class TestFleet:
    def test_is_seen_whole(self, backend):
        nodes = backend.look()

        assert sorted(len(node.devices) for node in nodes.values()) == [0, 2, 8, 8, 8, 8]
        assert {device.vendor for device in _cards(nodes).values()} == {"nvidia"}
        assert {device.pci_id for device in _cards(nodes).values()} == {
            "10de:2330",
            "10de:20b2",
            "10de:26b9",
            "10de:1db5",
            "10de:1eb8",
        }
        counter = nodes[f"{NAME}-v001"].counters[0]
        assert (counter.profile, counter.total_units) == ("T4-2Q", 16)

    def test_costs_one_login_six_reads_and_little_cpu(self, backend, record_property):
        with connect_here("openstack", backend.settings(), backend.credential) as connector:
            list(connector.observe(None))
            cloud: Cloud = connector._inner._cloud  # type: ignore[attr-defined]  # nothing public counts calls
            calls, began = cloud.call_count, time.process_time()
            list(connector.observe(None))
            took_seconds = time.process_time() - began

        record_property("observe_cpu_seconds", took_seconds)
        print(f"observe: {cloud.call_count - calls} calls, {took_seconds:.3f} s CPU")
        assert cloud.call_count - calls == 6 and took_seconds < 0.5

    def test_a_card_that_vanishes_and_returns_is_followed(self, backend):
        before = backend.fleet.read_text()
        fleet = json.loads(before)
        gone = fleet["hosts"][0]["pci"].pop()
        name = f"{fleet['hosts'][0]['name']}_{gone['address']}"
        assert name in _cards(backend.look())

        try:
            _replace(backend.fleet, json.dumps(fleet))
            _wait_for(lambda: name not in _cards(backend.look()))
            assert len(_cards(backend.look())) == 33
        finally:
            _replace(backend.fleet, before)

        _wait_for(lambda: len(_cards(backend.look())) == 34)
        assert name in _cards(backend.look())


def _replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


class TestUse:
    def test_appears_with_an_allocation_and_goes_with_it(self, backend):
        name, card = next(item for item in _cards(backend.look()).items() if item[1].total_milli)
        consumer = str(uuid.uuid4())
        body = {
            "allocations": {card.attributes["provider"]: {"resources": {"PGPU": 1}}},
            "consumer_generation": None,
            "project_id": "5" * 32,
            "user_id": "6" * 32,
            "consumer_type": "OCENTER",
        }
        backend.placement("PUT", f"/allocations/{consumer}", body)

        try:
            (use,) = _cards(backend.look())[name].uses
        finally:
            backend.placement("DELETE", f"/allocations/{consumer}")

        assert (use.holder, use.milli, use.marker) == (f"{'5' * 32}/{consumer}", 1000, consumer)
        assert _cards(backend.look())[name].uses == ()


class TestAccounts:
    def test_the_federation_account_may_do_everything(self, backend):
        with connect_here("openstack", backend.settings("federation"), backend.credential) as connector:
            check = connector.check()

        assert check.watch.ok and check.manage.ok

    def test_a_project_user_may_not_watch(self, backend):
        with connect_here("openstack", backend.settings("research-reader"), backend.credential) as connector:
            check = connector.check()
            with pytest.raises(Denied):
                list(connector.observe(None))

        assert not check.watch.ok and any("placement:" in missing for missing in check.watch.missing)

    def test_the_cloud_is_the_same_for_both(self, backend):
        keys = set()
        for account in ("admin", "research-reader"):
            with connect_here("openstack", backend.settings(account), backend.credential) as connector:
                keys.add(connector.identity().key)

        assert len(keys) == 1


class TestContract(ConnectorContract):
    secret = pytest.fixture(lambda self: "ocenter-test")
    missing_permission = pytest.fixture(lambda self: "placement:resource_providers:list")

    @pytest.fixture(autouse=True)
    def _small_pages(self, monkeypatch):
        monkeypatch.setattr(module, "NODES_PER_PAGE", 2)

    @pytest.fixture
    def connect(self, backend, open_session):
        return lambda: open_session("openstack", backend.settings(), backend.credential)

    @pytest.fixture
    def with_wrong_credential(self, backend, open_session):
        text = backend.clouds_yaml.replace("password: ", "password: not-")
        return open_session("openstack", backend.settings(), {"clouds_yaml": text})

    @pytest.fixture
    def nowhere(self, backend, open_session):
        settings = {**backend.settings(), "auth_url": "http://127.0.0.1:9/v3"}
        return open_session("openstack", settings, backend.credential)

    @pytest.fixture
    def without_permission(self, backend, open_session):
        return open_session("openstack", backend.settings("research-reader"), backend.credential)

    @pytest.fixture
    def breaking(self, connect, monkeypatch):
        """Let the way to Placement break once, in the middle of a look."""
        real = Cloud.get
        broken: list[str] = []

        def get(cloud: Cloud, service: str, path: str, *args: Any, **kwargs: Any) -> Any:
            if path.startswith("/allocation_candidates") and not broken:
                broken.append(path)
                raise Transient("The connection broke.")
            return real(cloud, service, path, *args, **kwargs)

        monkeypatch.setattr(Cloud, "get", get)
        return connect()
