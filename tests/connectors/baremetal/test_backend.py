"""Watching real sshd hosts: log-ins, keys, limits and time are theirs, the vendors' tools print recordings."""

import json
import socket
import threading
from typing import Any

import pytest

from connectors.baremetal import enrol, observe
from connectors.baremetal.hosts import Host
from connectors.baremetal.ssh import Answer, Ssh
from connectors.contract import Connector, NodeFact, Transient
from tests.connectors.baremetal.backend import Backend, other_key, running
from tests.connectors.contract import ConnectorContract, Sessions, last_of
from tests.connectors.server import LOOPBACK

pytestmark = pytest.mark.backend


@pytest.fixture(scope="module")
def backend():
    with running() as backend:
        yield backend


@pytest.fixture
def small_pages(monkeypatch):
    monkeypatch.setattr(observe, "HOSTS_PER_PAGE", 4)


class Cutting:
    """A way to a host that cuts its first connection, and lets all later ones through."""

    def __init__(self, address: str, port: int) -> None:
        self._far = (address, port)
        self._left = 1
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def place(self) -> dict[str, Any]:
        address, port = self._listener.getsockname()
        return {"address": address, "port": port}

    def _serve(self) -> None:
        while True:
            near, _ = self._listener.accept()
            if self._left:
                self._left -= 1
                near.close()
                continue
            far = socket.create_connection(self._far)
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_copy, args=(source, sink), daemon=True).start()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while piece := source.recv(65536):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        sink.close()


@pytest.mark.usefixtures("small_pages")
class TestRealHosts(ConnectorContract):
    missing_permission = pytest.fixture(lambda self: "gpu04: execute nvidia-smi")

    @pytest.fixture
    def secret(self, backend):
        return backend.credential["private_key"].splitlines()[2]

    @pytest.fixture
    def connect(self, backend, open_session):
        return lambda: open_session("baremetal", backend.settings, backend.credential)

    @pytest.fixture
    def with_wrong_credential(self, backend, open_session):
        return open_session("baremetal", backend.settings, other_key())

    @pytest.fixture
    def nowhere(self, backend, open_session):
        listed = [{**backend.listed(name), "port": 9} for name in backend.hosts]
        return open_session("baremetal", {"site": "backend", "hosts": json.dumps(listed)}, backend.credential)

    @pytest.fixture
    def without_permission(self, backend, connect):
        backend.as_admin("gpu04", "chmod 750 /usr/local/lib/accel-tool")
        yield connect()
        backend.as_admin("gpu04", "chmod 755 /usr/local/lib/accel-tool")

    @pytest.fixture
    def breaking(self, backend, open_session):
        listed = [backend.listed(name) for name in backend.hosts]
        listed[4:] = [{**host, **Cutting(host["address"], host["port"]).place} for host in listed[4:]]
        return open_session("baremetal", {"site": "backend", "hosts": json.dumps(listed)}, backend.credential)

    def test_c14_a_node_without_devices_is_a_node_too(self, backend, open_session):
        """Every host of the backend has cards; the vendor's tool is the only thing that knows of them."""
        backend.as_admin("gpu08", "mv /usr/local/bin/amd-smi /usr/local/bin/rocm-smi /root/")
        try:
            one = {"site": "backend", "hosts": json.dumps([backend.listed("gpu08")])}
            (page,) = open_session("baremetal", one, backend.credential).observe(None)
        finally:
            backend.as_admin("gpu08", "mv /root/amd-smi /root/rocm-smi /usr/local/bin/")

        assert [(node.name, node.devices, node.is_available) for node in page.nodes] == [("gpu08", (), True)]


class TestCards(Sessions):
    @pytest.fixture
    def pool(self, backend, open_session) -> Connector:
        pool: Connector = open_session("baremetal", backend.settings, backend.credential)
        return pool

    def look(self, pool: Connector, cursor: Any = None) -> tuple[dict[str, NodeFact], Any]:
        seen = list(pool.observe(cursor))
        return {node.name: node for page in seen for node in page.nodes}, last_of(seen)

    def test_are_those_that_the_hosts_have(self, backend: Backend, pool):
        seen, last = self.look(pool)

        assert last.complete and list(seen) == list(backend.hosts)
        for name, node in seen.items():
            expected = backend.expected(name)
            cards = {device.pci_address or device.ref for device in node.devices}
            assert len(cards) == expected["gpus"], name
            assert {device.vendor for device in node.devices} == {expected["vendor"]}
            if expected["vendor"] == "nvidia" and not expected.get("mig"):
                assert [(device.uuid, device.serial, device.memory_mib) for device in node.devices] == [
                    (f"GPU-{card['uuid']}", card["serial"], expected["memory_mib"]) for card in expected["cards"]
                ]

    @pytest.mark.parametrize(
        ("fault", "trouble"),
        [("no-driver", "driver down"), ("lost 0", "GPU 0 is lost"), ("hang", "nvidia-smi hangs")],
    )
    def test_stay_while_their_driver_fails_and_the_other_hosts_are_well(self, backend, pool, fault, trouble):
        healthy, before = self.look(pool)
        with backend.fault("gpu04", fault):
            seen, last = self.look(pool, before.cursor)
        healed, _ = self.look(pool, last.cursor)

        assert seen["gpu04"].unavailable_reason.startswith(trouble) and last.complete
        assert [device.uuid for device in seen["gpu04"].devices] == [device.uuid for device in healthy["gpu04"].devices]
        assert all(device.health != "ok" for device in seen["gpu04"].devices)
        assert seen["gpu03"].is_available and healed["gpu04"].is_available

    def test_are_not_asked_of_a_host_with_another_key(self, backend, open_session):
        listed = [backend.listed("gpu03"), {**backend.listed("gpu04"), "host_key": backend.listed("gpu05")["host_key"]}]
        pool = open_session("baremetal", {"site": "b", "hosts": json.dumps(listed)}, backend.credential)

        seen, last = self.look(pool)

        assert seen["gpu04"].unavailable_reason.startswith("untrusted") and seen["gpu03"].is_available
        assert not last.complete

    def test_are_told_by_one_address_as_far_as_its_sshd_takes_log_ins(self, backend):
        """MaxStartups 10:30:100 drops them by chance; a busy host counts each longer than we do. Of 200 at once it lost
        117. What is lost is a host that is asked again by the next sync."""
        host = Host(**backend.listed("gpu03"))
        way = Ssh("ocenter", backend.credential["private_key"], None, LOOPBACK)

        outcomes = way.with_each([host] * 60, lambda session: session.run("timeout -k 2 20 nvidia-smi -L"))

        lost = [outcome for outcome in outcomes if not isinstance(outcome, Answer)]
        assert len(lost) <= 6 and all(isinstance(outcome, Transient) for outcome in lost)

    def test_of_a_new_host_come_after_its_key_was_compared(self, backend):
        way = backend.hosts["gpu06"]["ssh"]

        found = enrol.shown(way["address"], way["port"], "gpu06", LOOPBACK)

        assert found.host_key == way["host_key"]
