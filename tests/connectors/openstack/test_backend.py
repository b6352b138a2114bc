"""Against real services: Keystone, Placement and Cyborg with 34 devices, started for the time of this file."""

import json
import time
import uuid
from typing import Any

import pytest

from connectors.contract import Denied, DeviceFact, NodeFact, Transient
from connectors.openstack import connector as module
from connectors.openstack.client import Cloud
from tests.connectors.contract import ConnectorContract
from tests.connectors.openstack.backend import NAME, replace, wait_for
from tests.connectors.server import INSTALLATION, connect_here

pytestmark = pytest.mark.backend


def _cards(nodes: dict[str, NodeFact]) -> dict[str, DeviceFact]:
    return {f"{node.name}_{device.pci_address}": device for node in nodes.values() for device in node.devices}


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
            replace(backend.fleet, json.dumps(fleet))
            wait_for(lambda: name not in _cards(backend.look()))
            assert len(_cards(backend.look())) == 33
        finally:
            replace(backend.fleet, before)

        wait_for(lambda: len(_cards(backend.look())) == 34)
        assert name in _cards(backend.look())


class TestUse:
    def test_appears_with_an_allocation_and_goes_with_it(self, backend):
        name, card = next(item for item in _cards(backend.look()).items() if item[1].total_milli)
        consumer = str(uuid.uuid4())
        body = {
            "allocations": {card.attributes["provider"]: {"resources": {"PGPU": 1}}},
            "consumer_generation": None,
            "project_id": "5" * 32,
            "user_id": f"ocenter/{INSTALLATION}/a/oc-abcdefghij234567abcd/1",
            "consumer_type": "OCENTER",
        }
        backend.placement("PUT", f"/allocations/{consumer}", body)

        try:
            (use,) = _cards(backend.look())[name].uses
        finally:
            backend.placement("DELETE", f"/allocations/{consumer}")

        assert (use.holder, use.milli, use.marker) == (f"{'5' * 32}/{consumer}", 1000, "oc-abcdefghij234567abcd")
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
