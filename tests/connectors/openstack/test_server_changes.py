"""Servers that are not as ordered, do not run, or took their cards from a counter."""

import json

import pytest
from msgspec.structs import replace

from connectors.contract import Absent, NoCapacity, Order, Pending, Permanent, Target, Transient
from tests.connectors.apply_contract import carry
from tests.connectors.contract import nodes, refused
from tests.connectors.openstack.live import STRANGER, living, uuid_of
from tests.connectors.openstack.nova import HYPERVISOR, LAUNCHED, LiveWithNova
from tests.connectors.openstack.test_servers import OnNova


@pytest.fixture
def larger(orders):
    return [replace(orders[0], devices=orders[0].devices[:1], milli=1000, cpu_milli=4000, host_memory_mib=2048)]


class TestAServerThatRan(OnNova):
    @pytest.fixture
    def server(self, connector, double, target, orders):
        carry(connector, target(1), orders)
        (server,) = double.servers.values()
        return server

    def test_is_not_changed_for_another_order_and_the_error_says_what_differs(
        self, connector, double, server, target, larger
    ):
        error = refused(connector.apply, target(2), larger)

        assert error.code == "not_supported"
        assert "1 vCPUs, not 4; 512 MiB of memory, not 2048; 2 cards, not 1" in str(error)
        assert refused(connector.plan, target(2), larger).code == "not_supported"
        assert list(double.servers.values()) == [server]

    def test_on_another_host_is_told_and_left_there(self, connector, server, target, orders):
        server[HYPERVISOR] = "host-001"

        error = refused(connector.apply, target(1), orders)

        assert error.code == "not_supported" and "host-001 as its host, not host-000" in str(error)

    def test_that_lost_a_card_is_not_told_as_whole(self, connector, double, server, target, orders):
        double.requests.remove(next(each for each in double.requests if each["instance_uuid"] == server["id"]))

        assert "1 cards, not 2" in str(refused(connector.apply, target(1), orders))

    def test_needs_none_of_the_ordered_cards_to_be_there_still(self, connector, double, server, target, orders):
        """Nova chose the cards. Cyborg may list a card under another id after its host was looked at anew."""
        renamed = [replace(orders[0], devices=("gone", "gone-too"))]

        assert carry(connector, target(2), renamed).found.generation == 2

    @pytest.mark.parametrize("status", ["SHUTOFF", "PAUSED", "SUSPENDED", "SHELVED_OFFLOADED", "SOFT_DELETED"])
    def test_and_stands_still_needs_a_person(self, connector, double, server, target, orders, status):
        server["status"] = status

        error = refused(connector.apply, target(2), orders)

        assert error.code == "not_running" and status in str(error) and "Start it in Nova" in str(error)
        assert refused(connector.plan, target(2), orders).code == "not_running"
        assert connector.probe(target(1)).markers == () and server["id"] in double.servers
        assert carry(connector, target(3), []).found == Absent()

    def test_and_is_broken_is_left_with_its_disk(self, connector, double, server, target, orders):
        server |= {"status": "ERROR", "fault": {"message": "libvirtError: internal error"}}

        error = refused(connector.apply, target(1), orders)

        assert error.code == "rejected" and "libvirtError" in error.platform_words
        assert server["id"] in double.servers

    @pytest.mark.parametrize("status", ["REBOOT", "HARD_REBOOT", "MIGRATING", "UNKNOWN"])
    def test_and_is_on_its_way_is_waited_for(self, connector, server, target, orders, status):
        server["status"] = status

        assert isinstance(connector.apply(target(1), orders), Pending)


class TestAServerThatIsBeingDeleted(OnNova):
    """Nova lets its cards go first, and lists it for a while without."""

    @pytest.fixture(params=[{"status": "DELETED"}, {"OS-EXT-STS:task_state": "deleting"}])
    def going(self, request, connector, double, target, orders):
        carry(connector, target(1), orders)
        (server,) = double.servers.values()
        double.requests = [each for each in double.requests if each["instance_uuid"] != server["id"]]
        double.consumers.pop(server["id"])
        server |= request.param
        return server

    def test_is_waited_for_and_another_one_is_built(self, connector, double, going, target, orders):
        assert isinstance(connector.apply(target(2), orders), Pending)
        assert connector.probe(target(2)).markers == () and list(double.servers.values()) == [going]
        double.servers.clear()

        assert carry(connector, target(2), orders).found.markers == ("oc-first",)

    def test_from_the_last_look_on_is_not_told_as_delivered(self, connector, double, cloud, target, orders):
        carry(connector, target(1), orders)
        (server,), ask, looks = double.servers.values(), cloud.server.handler, []

        def later(seen):
            if seen.path.endswith("/servers/detail"):
                looks.append(seen)
                if len(looks) == 3:
                    server["OS-EXT-STS:task_state"] = "deleting"
            return ask(seen)

        cloud.server.handler = later

        assert isinstance(connector.apply(target(1), orders), Pending) and len(looks) == 3

    def test_is_not_the_one_that_counts_beside_another(self, connector, double, going, target, orders):
        del double.servers[going["id"]]
        carry(connector, target(2), orders)
        (built,) = double.servers
        double.servers = {"00": {**going, "id": "00"}, **double.servers}

        assert carry(connector, target(2), orders).found.markers == ("oc-first",) and built in double.servers


class TestAServerThatNeverRan(OnNova):
    def test_is_asked_for_by_the_name_of_its_hypervisor(self, connector, cloud, target, orders):
        """A compute service may have another name, by which Nova's ``host`` would go."""
        carry(connector, target(1), orders)

        (boot,) = [seen for seen in cloud.server.requests if seen.method == "POST" and seen.path.endswith("/servers")]
        asked = json.loads(boot.body)["server"]
        assert asked["hypervisor_hostname"] == "host-000" and "host" not in asked

    def test_and_is_not_as_ordered_by_now_gives_way_to_one_that_is(self, connector, double, target, orders, larger):
        double.builds_for = 4
        first = connector.apply(target(1), orders)
        (before,) = double.servers

        assert isinstance(first, Pending) and isinstance(connector.apply(target(2), larger), Pending)
        done = carry(connector, target(2), larger)

        (server,) = double.servers.values()
        assert server["id"] != before and server["flavor"]["vcpus"] == 4
        assert done.found.markers == ("oc-first",)

    def test_is_made_of_what_is_ordered_and_not_of_what_a_crash_left(
        self, connector, double, interrupting, target, orders, larger
    ):
        with interrupting(5, "before"), pytest.raises(Transient):
            connector.apply(target(1), orders)
        assert double.servers == {} and len(double.profiles) == 1 and double.flavors["oc-first"]["vcpus"] == 1

        carry(connector, target(2), larger)

        (server,), (profile,) = double.servers.values(), double.profiles
        assert server["flavor"] == {"vcpus": 4, "ram": 2048, "disk": 10}
        assert [group["resources:PGPU"] for group in profile["groups"]] == ["1"]

    def test_whose_left_flavor_is_of_another_allocation_is_made_of_its_own(
        self, connector, double, interrupting, target, orders
    ):
        with interrupting(5, "before"), pytest.raises(Transient):
            connector.apply(target(1), orders)

        carry(connector, target(2), [replace(orders[0], allocation="Z")])

        assert "/Z/" in double.flavors["oc-first"]["description"] and "/Z/" in double.profiles[0]["description"]


class TestACounter(OnNova):
    """Units of vGPUs on a host; Nova puts each group of the profile on one card."""

    @pytest.fixture
    def lived(self):
        with living(LiveWithNova(slots=8)) as both:
            yield both

    @pytest.fixture
    def units(self, connector):
        counter = nodes(connector)[0].counters[0]

        def units(count, ref="oc-first"):
            milli = count * counter.unit_milli
            return [Order(marker=ref, allocation="A", member=0, resource=counter.ref, milli=milli)]

        return units

    def fill(self, double):
        """Give every slot that is left to others."""
        for rp, (_, name) in double.cards.items():
            if left := double.slots - double.used(rp):
                taken = {rp: {"resources": {double.resource_class: left}}}
                double.take(rp, uuid_of(f"{STRANGER} {name}"), allocations=taken)

    def test_that_is_full_is_no_reason_to_refuse_a_server_that_has_its_units(self, connector, double, target, units):
        carry(connector, target(1), units(9))
        self.fill(double)

        again = carry(connector, target(2), units(9))

        assert again.found.generation == 2 and again.found.markers == ("oc-first",)
        assert connector.plan(target(2), units(9)).calls == ()

    def test_that_filled_up_while_nova_built_leaves_nothing(self, connector, double, target, units, made):
        double.loses_races = 1
        boot = double._boot

        def overtaken(wanted):
            self.fill(double)
            return boot(wanted)

        double._boot = overtaken

        with pytest.raises(NoCapacity):
            connector.apply(target(1), units(3))

        assert made() == {}

    def test_of_another_size_is_not_what_the_server_has(self, connector, target, units):
        carry(connector, target(1), units(3))

        with pytest.raises(Permanent) as caught:
            connector.apply(target(2), units(4))

        assert "3 cards, not 4" in str(caught.value)

    def test_that_the_order_does_not_name_is_refused(self, connector, target, units):
        carry(connector, target(1), units(3))
        nothing = replace(units(3)[0], resource="")

        assert refused(connector.apply, target(2), [nothing]).code == "invalid"


class TestAnOrderForNoHost(OnNova):
    def test_is_carried_by_the_server_wherever_it_is(self, connector, double, target, orders):
        anywhere = Target(kind="server", ref="oc-first", generation=1)
        carry(connector, anywhere, orders)
        (server,) = double.servers.values()
        server[HYPERVISOR] = "host-001"

        assert carry(connector, anywhere, orders).changes == () and server[LAUNCHED]
