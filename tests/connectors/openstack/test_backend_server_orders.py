"""Orders for servers on a real Nova: the same rules as on the double, in the words in which the mode orders."""

import pytest
from msgspec.structs import replace

from connectors.contract import Absent, Denied, NoCapacity, Order, Target, Transient
from connectors.openstack import connector as module
from connectors.openstack.client import Cloud
from connectors.openstack.login import read
from connectors.openstack.there import KEY
from tests.connectors.ability_contract import AccessContract
from tests.connectors.apply_contract import carry
from tests.connectors.contract import Sessions, nodes
from tests.connectors.openstack.test_apply import SingleOrders
from tests.connectors.openstack.test_backend_apply import STRANGER, Cutting, put
from tests.connectors.openstack.test_backend_servers import IMAGE, server, wait_until
from tests.connectors.server import LOOPBACK

pytestmark = pytest.mark.backend
FREE = 4
"""Cards of the host that are not somebody else's."""


def order(ref, cards, model, allocation="A"):
    return Order(marker=ref, allocation=allocation, member=0, model=model, milli=1000 * cards, host_memory_mib=512)


class TestServers(Cutting, SingleOrders, AccessContract, Sessions):
    # Each break costs a server here, so they are tried on the double.
    test_c73_a_break_at_any_request_is_mended_by_a_repeat = None
    test_c74_a_break_at_any_request_of_giving_back_is_mended_by_a_repeat = None

    secret = pytest.fixture(lambda self: "ocenter-test")

    @pytest.fixture(autouse=True)
    def _small_pages(self, monkeypatch):
        monkeypatch.setattr(module, "NODES_PER_PAGE", 2)

    @pytest.fixture(scope="class")
    def host(self, nova_backend):
        return nova_backend.look()["booted-001"]

    @pytest.fixture
    def cards(self, host):
        return [device.ref for device in host.devices]

    @pytest.fixture
    def connect(self, nova_backend, open_session, host):
        theirs = {each.attributes["provider"]: {"resources": {"PGPU": 1}} for each in host.devices[FREE:]}
        put(nova_backend, STRANGER, None, allocations=theirs)
        settings = {**nova_backend.settings("federation"), "server_image": IMAGE}
        yield lambda **more: open_session("openstack", settings, nova_backend.credential, **more)
        put(nova_backend, STRANGER, None)

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
    def target(self, node_ref):
        return lambda generation: Target(kind="server", ref="oc-first", generation=generation, node_ref=node_ref)

    @pytest.fixture
    def other_target(self, node_ref):
        return lambda generation: Target(kind="server", ref="oc-other", generation=generation, node_ref=node_ref)

    @pytest.fixture
    def orders(self, host):
        return [order("oc-first", 2, host.devices[0].model)]

    @pytest.fixture
    def other_orders(self, host):
        """Less than what is free, and more than what the first order leaves."""
        return [order("oc-other", FREE - 1, host.devices[0].model, "B")]

    @pytest.fixture
    def impossible(self, host):
        return order("oc-first", FREE + 1, host.devices[0].model)

    @pytest.fixture
    def foreign_target(self, nova_backend, node_ref):
        flavor = {"id": "theirs", "name": "theirs", "vcpus": 1, "ram": 512, "disk": 1}
        nova_backend.ask("compute", "POST", "/flavors", {"flavor": flavor})
        body = {"name": "oc-theirs", "imageRef": IMAGE, "flavorRef": "theirs", "networks": "none"}
        answer = nova_backend.ask("compute", "POST", "/servers", {"server": body}, account="federation")
        ref = answer.json()["server"]["id"]
        wait_until(lambda: server(nova_backend, ref) == "ACTIVE")
        yield Target(kind="server", ref="oc-theirs", generation=9, node_ref=node_ref)
        nova_backend.ask("compute", "DELETE", f"/servers/{ref}")
        nova_backend.ask("compute", "DELETE", "/flavors/theirs")

    @pytest.fixture
    def unmark(self, nova_backend):
        def unmark(target):
            for each in self.servers(nova_backend):
                nova_backend.ask("compute", "DELETE", f"/servers/{each['id']}/metadata/{KEY}", account="federation")

        return unmark

    @pytest.fixture
    def made(self, nova_backend):
        def made():
            flavors = nova_backend.ask("compute", "GET", "/flavors/detail?is_public=None").json()["flavors"]
            profiles = nova_backend.cyborg("/device_profiles")["device_profiles"]
            found = {f"flavor {each['id']}": each["description"] or "" for each in flavors}
            found |= {f"profile {each['name']}": each["description"] or "" for each in profiles}
            ours = {name: text for name, text in found.items() if " oc-" in name}
            return ours | {each["id"]: str(each["metadata"]) for each in self.servers(nova_backend)}

        return made

    @staticmethod
    def servers(backend):
        found = backend.ask("compute", "GET", "/servers/detail", account="federation").json()["servers"]
        return [each for each in found if each["name"].startswith("oc-")]

    @pytest.fixture
    def refusing_to_manage(self, nova_backend, connector):
        """Go on with an account of a project that is no admin's."""

        def refuse():
            connector._inner._cloud = Cloud(
                read(nova_backend.settings("research-member"), nova_backend.credential), LOOPBACK
            )

        return refuse

    @pytest.fixture
    def losing_the_answer(self, cutting):
        def is_last(method, path, body):
            return path == "/servers" or (method == "DELETE" and path.startswith("/device_profiles"))

        return lambda: cutting(is_last, "after")

    def test_c47_two_targets_do_not_disturb_each_other(self, connector, target, orders, other_target, host):
        carry(connector, target(1), orders)
        before = connector.probe(target(1))
        carry(connector, other_target(1), [order("oc-other", 1, host.devices[0].model, "B")])

        carry(connector, other_target(2), [])

        assert connector.probe(target(1)) == before

    def test_c63_what_fits_nowhere_is_no_capacity_and_leaves_nothing(self, connector, target, orders, impossible, made):
        before = nodes(connector)

        for wanted in (impossible, replace(orders[0], model="no such card")):
            with pytest.raises(NoCapacity):
                connector.apply(target(1), [wanted])

        assert connector.probe(target(1)) == Absent() and nodes(connector) == before and made() == {}

    def test_c65_without_permission_to_manage_nothing_is_changed(
        self, connector, target, orders, refusing_to_manage, made
    ):
        """Members of projects may not look at Placement either, so here they see nothing of the pool."""
        refusing_to_manage()

        with pytest.raises(Denied):
            connector.apply(target(1), orders)

        assert made() == {} and connector.check().manage.missing

    def test_c70_after_a_lost_answer_to_giving_back_a_repeat_is_silent(
        self, connector, target, orders, losing_the_answer
    ):
        """The server goes first and takes its time, so the last of it goes in a later call."""
        carry(connector, target(1), orders)
        losing_the_answer()
        with pytest.raises(Transient):
            carry(connector, target(2), [])

        again = carry(connector, target(2), [])

        assert again.found == Absent() and again.changes == ()
