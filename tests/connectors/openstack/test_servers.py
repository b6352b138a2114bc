"""Orders on a cloud with Nova: a server for each, with a device profile and a flavor of its own."""

import json

import pytest
from msgspec.structs import replace

from connectors.contract import Absent, NoCapacity, Order, Permanent, Target, Transient
from connectors.openstack.manifest import MANIFEST
from tests.connectors.ability_contract import AccessContract
from tests.connectors.apply_contract import LongWorkContract, carry, our_use
from tests.connectors.contract import nodes, refused
from tests.connectors.openstack.live import living, uuid_of
from tests.connectors.openstack.nova import LiveWithNova
from tests.connectors.openstack.test_apply import STRANGER, OnCloud, SingleOrders
from tests.connectors.write_faults import WriteFaultContract

IMAGE = "11111111-2222-3333-4444-555555555555"
MODEL = "NVIDIA Corporation GH100 [H100 SXM5 80GB]"


class OnNova(OnCloud):
    """A cloud with Nova, and an order for a server with two cards of the first host."""

    orders = SingleOrders.orders

    @pytest.fixture
    def lived(self):
        with living(LiveWithNova()) as both:
            taken = list(both[0].cards)[3]
            both[0].take(taken, STRANGER)
            both[0].bind(taken, STRANGER)
            yield both

    @pytest.fixture
    def connect(self, cloud, open_session):
        settings = {**cloud.settings, "server_image": IMAGE}
        return lambda **more: open_session("openstack", settings, cloud.credential, **more)

    @pytest.fixture
    def target(self, node_ref):
        return lambda generation: Target(kind="server", ref="oc-first", generation=generation, node_ref=node_ref)

    @pytest.fixture
    def made(self, double):
        def made():
            found = {each["name"]: each["description"] for each in double.profiles}
            found |= {f"flavor {ref}": flavor["description"] for ref, flavor in double.flavors.items()}
            return found | {ref: str(server["metadata"]) for ref, server in double.servers.items()}

        return made


class TestServers(OnNova, SingleOrders, LongWorkContract, AccessContract, WriteFaultContract):
    @pytest.fixture
    def is_met(self):
        """The write that makes the server: what it is made of was written before."""
        return lambda seen: seen.path.endswith("/servers")

    @pytest.fixture
    def other_target(self, node_ref):
        return lambda generation: Target(kind="server", ref="oc-other", generation=generation, node_ref=node_ref)

    @pytest.fixture
    def impossible(self, orders, cards):
        return replace(orders[0], devices=tuple(cards), milli=4000)

    @pytest.fixture
    def foreign_target(self, double):
        server = {"id": "theirs", "name": "oc-theirs", "status": "ACTIVE", "metadata": {}, "reads": 0}
        double.servers["theirs"] = server
        return Target(kind="server", ref="oc-theirs", generation=9, node_ref=uuid_of("host-000"))

    @pytest.fixture
    def unmark(self, double):
        return lambda target: [server["metadata"].clear() for server in double.servers.values()]

    @pytest.fixture
    def losing_the_answer(self, cutting):
        """The answer to what makes the server, and to what removes the last of it."""

        def is_last(seen):
            return seen.path.endswith("/servers") or (seen.method == "DELETE" and "device_profiles" in seen.path)

        return lambda: cutting(is_last, "after")

    @pytest.fixture
    def answering_later(self, double):
        def later():
            double.builds_for = 3

        return later

    def test_c63_what_fits_nowhere_is_no_capacity_and_leaves_nothing(self, connector, target, impossible, made):
        """Nova takes the request, and the server ends in ERROR; it chooses the cards, so only their number counts."""
        before = nodes(connector)

        with pytest.raises(NoCapacity):
            connector.apply(target(1), [impossible])

        assert connector.probe(target(1)) == Absent() and nodes(connector) == before and made() == {}

    def test_a_lost_race_for_a_card_is_tried_again(self, connector, double, target, orders):
        """All of several servers at once claim the same first candidate; Nova does not try the next one."""
        double.loses_races = 1

        with pytest.raises(Transient) as caught:
            connector.apply(target(1), orders)

        assert caught.value.code == "conflict" and double.servers == {}
        assert carry(connector, target(1), orders).found.markers == ("oc-first",)

    def test_a_card_is_a_group_of_its_own(self, connector, double, target, orders):
        """All of a group come from one card, and a card has one slot."""
        carry(connector, target(1), orders)

        assert [group["resources:PGPU"] for group in double.profiles[0]["groups"]] == ["1", "1"]
        assert our_use(connector) == {"oc-first": 2000}

    def test_has_whole_cpus_and_not_fewer_than_ordered(self, connector, double, target, orders):
        carry(connector, target(1), [replace(orders[0], cpu_milli=1500, host_memory_mib=4000)])

        (server,) = double.servers.values()
        assert (server["flavor"]["vcpus"], server["flavor"]["ram"]) == (2, 4000)

    def test_two_servers_of_two_writers_become_one(self, connector, double, target, orders):
        carry(connector, target(1), orders)
        (server,) = double.servers.values()
        double.servers["zz"] = {**server, "id": "zz"}

        carry(connector, target(1), orders)

        assert len(double.servers) == 1

    def test_without_an_image_nothing_is_made(self, cloud, open_session, target, orders, made):
        connector = open_session("openstack", cloud.settings, cloud.credential)

        assert refused(connector.apply, target(1), orders).code == "invalid_settings" and made() == {}

    def test_a_server_is_not_held(self, connector, target, orders):
        with pytest.raises(Permanent) as caught:
            connector.hold(target(1), orders)

        assert caught.value.code == "not_supported"


class TestServersOfAModel(TestServers):
    """What ocenter orders in the mode ``nova``: so many cards of a model on a host, and not which."""

    @pytest.fixture
    def orders(self):
        return [Order(marker="oc-first", allocation="A", member=0, model=MODEL, milli=2000)]

    @pytest.fixture
    def other_orders(self, orders):
        """Two of the three cards that are free."""
        return [replace(orders[0], marker="oc-other", allocation="B")]

    @pytest.fixture
    def impossible(self, orders):
        return replace(orders[0], milli=4000)

    def test_that_the_host_has_not_is_no_capacity(self, connector, target, orders, made):
        with pytest.raises(NoCapacity, match="H200"):
            connector.apply(target(1), [replace(orders[0], model="NVIDIA Corporation GH100 [H200]")])

        assert made() == {}

    @pytest.mark.parametrize("milli", [0, 500, 1500])
    def test_in_parts_of_a_card_is_refused(self, connector, target, orders, milli):
        assert refused(connector.apply, target(1), [replace(orders[0], milli=milli)]).code == "invalid"

    def test_that_two_kinds_of_cards_are_called_is_refused(self, connector, double, target, orders, made):
        """Hosts with an old pci.ids call every new card the same."""
        known, first = double._deployable, next(iter(double.cards))

        def deployable(rp):
            traits = [{"rc": "PGPU"}, {"trait0": "CUSTOM_NVIDIA_26B9"}]
            return {**known(rp), **({"attributes_list": json.dumps(traits)} if rp == first else {})}

        device = double._device
        board = '{"product_id": "26b9"}'
        double._deployable = deployable
        double._device = lambda rp: {**device(rp), **({"std_board_info": board} if rp == first else {})}

        error = refused(connector.apply, target(1), orders)

        assert error.code == "not_supported" and "26B9" in str(error) and "pci.ids" in str(error) and made() == {}


class TestTheMode(OnNova):
    def test_is_offered_with_a_server_for_each_member(self):
        mode = next(mode for mode in MANIFEST.modes if mode.name == "nova")

        assert (mode.grain, mode.target, mode.per) == ("node", "server", "member")

    def test_is_checked_only_where_an_image_is_named(self, connector, cloud, double, open_session):
        """Without one the pool delivers no servers, and a cloud without Nova may still bind."""
        double.take_role("admin")

        plain = open_session("openstack", cloud.settings, cloud.credential).check().manage.missing
        missing = set(connector.check().manage.missing) - set(plain)

        assert not any("os_compute_api" in each for each in plain)
        assert [each.split(" ")[0] for each in sorted(missing)] == [
            "os_compute_api:os-flavor-access:add_tenant_access",
            "os_compute_api:os-flavor-extra-specs:create",
            "os_compute_api:os-flavor-manage:delete",
            "os_compute_api:servers:create",
            "the",
        ]
        assert sorted(missing)[-1].startswith("the role admin")

    def test_needs_nova_in_the_catalog(self, connector, double):
        double.without("compute")

        assert not connector.check().manage.ok and "compute" in connector.check().manage.missing[0]

    def test_changes_nothing_by_being_checked(self, connector, double, made):
        assert connector.check().manage.ok and made() == {} and double.servers == {}


class TestAServerOfATenant(OnNova):
    """Nova attaches accelerators only while it builds a server: a bound card would never get into it."""

    @pytest.mark.parametrize("kind", ["server", "consumer"])
    @pytest.mark.parametrize("call", ["plan", "apply", "hold", "access"])
    def test_is_refused_before_anything_is_sent(self, connector, cloud, orders, node_ref, kind, call):
        theirs = Target(kind=kind, ref="their-server", generation=1, node_ref=node_ref, is_tenants=True)

        error = refused(getattr(connector, call), theirs, orders)

        assert error.code == "not_supported" and "their-server" in str(error) and "mode nova" in str(error)
        assert cloud.server.requests == []
        assert refused(connector.probe, theirs).code == "not_supported"
