"""Servers on real services: Keystone, Placement, Cyborg and a Nova with its own fake virt driver."""

import json
import time

import pytest
from msgspec.structs import replace

from connectors.contract import Absent, Found, Order, Target
from connectors.openstack import login
from connectors.openstack.client import Cloud
from connectors.openstack.there import CYBORG
from tests.connectors.apply_contract import carry
from tests.connectors.contract import refused
from tests.connectors.server import LOOPBACK, connect_here

pytestmark = pytest.mark.backend
IMAGE = "11111111-2222-3333-4444-555555555555"
STATES_SECONDS = 60


@pytest.fixture
def connector(nova_backend):
    settings = {**nova_backend.settings("admin"), "server_image": IMAGE}
    with connect_here("openstack", settings, nova_backend.credential) as session:
        yield session
        carry(session, target(session, 10**6), [])


def host(session):
    """The first host with cards that Nova has a compute service for."""
    found = sorted((node for page in session.observe(None) for node in page.nodes), key=lambda node: node.name)
    return next(node for node in found if len(node.devices) >= 4)


def target(session, generation):
    return Target(kind="server", ref="oc-booted", generation=generation, node_ref=host(session).ref)


def order(session, cards):
    chosen = tuple(device.ref for device in host(session).devices[:cards])
    return Order(
        marker="oc-abcdefghij234567abcd", allocation="A", member=0, devices=chosen, milli=1000 * cards,
        cpu_milli=1000, host_memory_mib=512,
    )  # fmt: skip


class TestAServer:
    def test_is_booted_with_its_cards_seen_as_ours_and_removed_without_a_trace(self, connector):
        wanted = order(connector, 2)

        done = carry(connector, target(connector, 1), [wanted])

        assert isinstance(done.found, Found) and done.found.markers == (wanted.marker,)
        assert len(done.found.places[wanted.marker]) == 2
        used = [use for device in host(connector).devices for use in device.uses if use.marker == wanted.marker]
        assert sum(use.milli for use in used) == 2000
        assert carry(connector, target(connector, 1), [wanted]).changes == ()
        carry(connector, target(connector, 2), [])
        assert connector.probe(target(connector, 2)) == Absent()
        assert not any(device.uses for device in host(connector).devices)

    def test_is_booted_with_whole_cards_of_a_model_as_the_mode_orders_them(self, connector):
        """Which cards of the host is left to Nova."""
        model = host(connector).devices[0].model
        wanted = replace(order(connector, 2), devices=(), model=model)

        done = carry(connector, target(connector, 1), [wanted])

        places = done.found.places[wanted.marker]
        assert {place.device_ref for place in places} < {device.ref for device in host(connector).devices}
        assert len(places) == 2 and connector.plan(target(connector, 1), [wanted]).calls == ()
        carry(connector, target(connector, 2), [])
        assert connector.probe(target(connector, 2)) == Absent()

    def test_may_be_made_by_admins_and_the_check_says_what_others_lack(self, connector, nova_backend):
        settings = {**nova_backend.settings("research-member"), "server_image": IMAGE}
        with connect_here("openstack", settings, nova_backend.credential) as member:
            lacks = member.check().manage.missing

        policies = ("os-flavor-manage", "os-flavor-access", "os-flavor-extra-specs", "requested_destination")
        assert all(any(policy in each for each in lacks) for policy in policies)
        # Binding wants a service token as well; of Nova nothing is missing.
        assert not any("compute" in each or "flavor" in each for each in connector.check().manage.missing)


class TestAServerOfATenant:
    """Why no cards are given to one: what Nova and Cyborg do when somebody tries."""

    @pytest.fixture
    def theirs(self, nova_backend):
        """A server without cards, made by a member of a project."""
        flavor = {"id": "plain", "name": "plain", "vcpus": 1, "ram": 512, "disk": 1}
        nova_backend.ask("compute", "POST", "/flavors", {"flavor": flavor})
        body = {"name": "their-server", "imageRef": IMAGE, "flavorRef": "plain", "networks": "none"}
        ref = nova_backend.ask("compute", "POST", "/servers", {"server": body}, account="research-member").json()[
            "server"
        ]["id"]
        wait_until(lambda: server(nova_backend, ref) == "ACTIVE")
        yield ref
        nova_backend.ask("compute", "DELETE", f"/servers/{ref}")
        nova_backend.ask("compute", "DELETE", "/flavors/plain")

    def test_cannot_be_resized_to_have_cards(self, nova_backend, theirs):
        flavor = {"id": "with-cards", "name": "with-cards", "vcpus": 1, "ram": 512, "disk": 1}
        nova_backend.ask("compute", "POST", "/flavors", {"flavor": flavor})
        specs = {"extra_specs": {"accel:device_profile": "oc-any"}}
        nova_backend.ask("compute", "POST", "/flavors/with-cards/os-extra_specs", specs)

        answer = nova_backend.ask(
            "compute", "POST", f"/servers/{theirs}/action", {"resize": {"flavorRef": "with-cards"}}
        )

        nova_backend.ask("compute", "DELETE", "/flavors/with-cards")
        assert answer.status_code == 400 and "accelerators" in answer.text

    def test_is_not_looked_at_when_cyborg_binds_a_card_to_it(self, connector, nova_backend, theirs):
        """Nova asks Cyborg for those servers only that were built with a device profile: the card stays bound."""
        cloud = Cloud(login.read(nova_backend.settings("federation"), nova_backend.credential), LOOPBACK)

        def cyborg(method, path, body=None):
            answer = cloud.send("accelerator", method, path, body, versions=CYBORG)
            return json.loads(answer.body or b"null")

        profile = cyborg("POST", "/device_profiles", [{"name": "behind", "groups": [{"resources:PGPU": "1"}]}])
        request = cyborg("POST", "/accelerator_requests", {"device_profile_name": "behind"})["arqs"][0]["uuid"]
        node = host(connector)
        provider = node.devices[-1].attributes["provider"]
        fields = {"hostname": node.name, "device_rp_uuid": provider, "instance_uuid": theirs}
        patch = [{"path": f"/{name}", "op": "add", "value": value} for name, value in fields.items()]
        cyborg("PATCH", "/accelerator_requests", {request: patch})
        wait_until(lambda: state(nova_backend, request) == "Bound")

        nova_backend.ask("compute", "POST", f"/servers/{theirs}/action", {"reboot": {"type": "HARD"}})
        wait_until(lambda: server(nova_backend, theirs) == "ACTIVE")
        nova_backend.ask("compute", "DELETE", f"/servers/{theirs}")
        wait_until(lambda: server(nova_backend, theirs) == "gone")

        left = state(nova_backend, request)
        cyborg("DELETE", f"/accelerator_requests?instance={theirs}")
        cyborg("DELETE", f"/device_profiles/{profile['uuid']}")
        cloud.close()
        assert left == "Bound"

    def test_is_refused_and_left_as_it_is(self, connector, nova_backend, theirs):
        wanted = order(connector, 1)
        for ref in (theirs, "their-server"):
            named = Target(kind="server", ref=ref, generation=1, node_ref=host(connector).ref, is_tenants=True)
            assert refused(connector.apply, named, [wanted]).code == "not_supported"

        assert server(nova_backend, theirs) == "ACTIVE"
        assert not any(use.marker for device in host(connector).devices for use in device.uses)


def server(backend, ref):
    """Return the state of a server, ``gone`` for none."""
    answer = backend.ask("compute", "GET", f"/servers/{ref}")
    return answer.json()["server"]["status"] if answer.status_code == 200 else "gone"


def state(backend, ref):
    """Return the state of a request."""
    return next(each["state"] for each in backend.cyborg("/accelerator_requests")["arqs"] if each["uuid"] == ref)


def wait_until(seen):
    end = time.monotonic() + STATES_SECONDS
    while not seen():
        assert time.monotonic() < end, f"not seen within {STATES_SECONDS} s"
        time.sleep(0.5)
