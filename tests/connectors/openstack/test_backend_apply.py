"""Orders on real services: Keystone, Placement and Cyborg without Nova. The same rules as on the double."""

from contextlib import contextmanager

import pytest

from connectors.contract import Target, Transient
from connectors.openstack import connector as module
from connectors.openstack import marks
from connectors.openstack.client import Cloud
from connectors.openstack.login import read
from tests.connectors.ability_contract import AccessContract, HoldContract
from tests.connectors.apply_contract import carry
from tests.connectors.contract import Sessions
from tests.connectors.openstack.backend import NAME
from tests.connectors.openstack.test_apply import SingleOrders
from tests.connectors.server import LOOPBACK

pytestmark = pytest.mark.backend
STRANGER = "00000000-0000-0000-0000-000000000077"


def put(backend, consumer, provider, **more):
    """Give a card to somebody behind the connector's back."""
    known = backend.placement("GET", f"/allocations/{consumer}").json()
    body = {
        "allocations": {provider: {"resources": {"PGPU": 1}}} if provider else {},
        "consumer_generation": known.get("consumer_generation"),
        "project_id": "5" * 32,
        "user_id": "6" * 32,
        "consumer_type": "INSTANCE",
    }
    backend.placement("PUT", f"/allocations/{consumer}", {**body, **more})


class Cutting:
    """Breaks the way to the services at a change."""

    @pytest.fixture
    def cutting(self, monkeypatch):
        """Break the way at the next change that fits, before it is sent or after its effect."""

        def cut(fits, when):
            broken = []
            real = Cloud.send

            def send(cloud, service, method, path, body=None, **more):
                if broken or not fits(method, path, body):
                    return real(cloud, service, method, path, body, **more)
                broken.append(path)
                if when == "after":
                    real(cloud, service, method, path, body, **more)
                raise Transient("The connection broke. It is tried again.")

            monkeypatch.setattr(Cloud, "send", send)
            return broken

        return cut

    @pytest.fixture
    def losing_the_request(self, cutting):
        return lambda: cutting(lambda method, path, body: True, "before")

    @pytest.fixture
    def interrupting(self, cutting, monkeypatch):
        @contextmanager
        def interrupting(number, when):
            real, left = Cloud.send, [number]

            def fits(method, path, body):
                left[0] -= 1
                return left[0] == 0

            yield cutting(fits, when)
            monkeypatch.setattr(Cloud, "send", real)

        return interrupting


class TestConsumers(Cutting, SingleOrders, HoldContract, AccessContract, Sessions):
    secret = pytest.fixture(lambda self: "ocenter-test")

    @pytest.fixture(autouse=True)
    def _small_pages(self, monkeypatch):
        monkeypatch.setattr(module, "NODES_PER_PAGE", 2)

    @pytest.fixture(scope="class")
    def host(self, backend):
        return backend.look()[f"{NAME}-001"]

    @pytest.fixture
    def cards(self, host):
        """Return the refs of the cards of a host; the last one is somebody else's."""
        return [device.ref for device in host.devices]

    @pytest.fixture
    def provider(self, host):
        return {device.ref: device.attributes["provider"] for device in host.devices}

    @pytest.fixture
    def connect(self, backend, open_session, cards, provider):
        put(backend, STRANGER, provider[cards[-1]])
        yield lambda **more: open_session("openstack", backend.settings("federation"), backend.credential, **more)
        put(backend, STRANGER, None)

    @pytest.fixture
    def connector(self, connect, target, other_target):
        session = connect()
        yield session
        for each in (target, other_target):
            carry(connect(), each(10**6), [])

    @pytest.fixture
    def node_ref(self, host):
        return host.ref

    @pytest.fixture
    def foreign_target(self, backend, cards, provider, node_ref):
        target = Target(kind="consumer", ref="oc-theirs", generation=9, node_ref=node_ref)
        put(backend, marks.consumer(target), provider[cards[3]])
        yield target
        put(backend, marks.consumer(target), None)

    @pytest.fixture
    def unmark(self, backend):
        def unmark(target):
            known = backend.placement("GET", f"/allocations/{marks.consumer(target)}").json()
            allocations = {rp: {"resources": taken["resources"]} for rp, taken in known["allocations"].items()}
            body = {**known, "allocations": allocations, "user_id": "somebody"}
            backend.placement("PUT", f"/allocations/{marks.consumer(target)}", body)

        return unmark

    @pytest.fixture
    def made(self, backend, cards, provider):
        """Requests carry their profile's marker, as on the double."""

        def made():
            found = {}
            for ref in cards:
                path = f"/resource_providers/{provider[ref]}/allocations"
                for consumer in backend.placement("GET", path).json()["allocations"]:
                    kept = backend.placement("GET", f"/allocations/{consumer}").json()
                    if kept.get("consumer_type") == marks.OURS:
                        found[consumer] = kept["user_id"]
            profiles = backend.cyborg("/device_profiles")["device_profiles"]
            texts = {each["name"]: each["description"] or "" for each in profiles}
            for request in backend.cyborg("/accelerator_requests")["arqs"]:
                found[request["uuid"]] = texts.get(request["device_profile_name"], "")
            return found | texts

        return made

    @pytest.fixture
    def refusing_to_manage(self, backend, connector):
        """Go on with an account that has the role admin, and not service."""

        def refuse():
            login = read(backend.settings("admin"), backend.credential)
            connector._inner._cloud = Cloud(login, LOOPBACK)

        return refuse

    @pytest.fixture
    def losing_the_answer(self, cutting):
        def is_last(method, path, body):
            return method == "PATCH" or (method == "PUT" and body["allocations"] == {})

        return lambda: cutting(is_last, "after")
