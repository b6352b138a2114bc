"""What Placement and Cyborg do in their own way when cards are claimed and bound, and what ocenter makes of it."""

import pytest
from msgspec.structs import replace

from connectors.contract import Absent, Denied, Found, NoCapacity, Order, Permanent, Target, Transient
from connectors.openstack import consumers, marks
from tests.connectors.apply_contract import carry, our_use
from tests.connectors.contract import nodes, refused
from tests.connectors.openstack.live import Live, is_write, list_calls_of_a_look, living, uuid_of
from tests.connectors.openstack.test_apply import OnCloud, SingleOrders, order
from tests.connectors.server import Answer


class OneOrder(OnCloud):
    """A target for two cards of the first host."""

    target = SingleOrders.target
    orders = SingleOrders.orders


class TestBinding(OneOrder):
    def test_is_one_patch_for_all_cards_after_the_claim_with_a_service_token(self, connector, cloud, target, orders):
        carry(connector, target(1), orders)

        writes = [seen for seen in cloud.server.requests if is_write(seen)]
        assert [seen.method for seen in writes] == ["PUT", "POST", "POST", "PATCH"]
        assert writes[-1].headers["x-service-token"] == writes[-1].headers["x-auth-token"]

    def test_names_the_real_host_because_cyborg_believes_any(self, connector, double, target, orders):
        carry(connector, target(1), orders)

        assert {each["hostname"] for each in double.requests if each["device_profile_name"] == "oc-first"} == {
            "host-000"
        }

    def test_that_is_answered_400_and_done_counts_as_done(self, connector, double, target, orders):
        """With a real Nova that does not know the consumer."""
        double.refuses_patch = True

        assert carry(connector, target(1), orders).found.markers == ("oc-first",)

    def test_that_is_answered_202_and_not_done_is_not_believed(self, connector, cloud, target, orders):
        ask = cloud.server.handler
        cloud.server.handler = lambda seen: Answer(status=202) if seen.method == "PATCH" else ask(seen)

        with pytest.raises(Transient) as caught:
            connector.apply(target(1), orders)

        cloud.server.handler = ask
        assert caught.value.code == "unconfirmed" and connector.probe(target(1)).markers == ()
        assert carry(connector, target(1), orders).found.markers == ("oc-first",)

    def test_without_a_service_token_is_denied_and_leaves_nothing(self, connector, double, made, target, orders):
        double.take_role("service")

        with pytest.raises(Denied) as caught:
            connector.apply(target(1), orders)

        assert caught.value.code == "forbidden" and "service token" in caught.value.platform_words and made() == {}
        assert any("service token" in missing for missing in connector.check().manage.missing)

    def test_works_on_clouds_that_ask_for_no_service_token(self, connector, cloud, double, target, orders):
        double.needs_service_token = False
        double.take_role("service")

        assert carry(connector, target(1), orders).found.markers == ("oc-first",)
        carry(connector, target(2), [])
        assert not any("x-service-token" in seen.headers for seen in cloud.server.requests)

    def test_of_a_card_bound_behind_placements_back_is_no_capacity(self, connector, double, made, target, orders):
        """Cyborg leaves BindFailed requests that only a service may delete."""
        double.bind(next(iter(double.cards)), "somebody")

        with pytest.raises(NoCapacity) as caught:
            connector.apply(target(1), orders)

        assert "AttachHandle" in caught.value.platform_words and made() == {}
        assert connector.probe(target(1)) == Absent()

    def test_that_failed_leaves_a_hold_as_it_was(self, connector, double, target, orders):
        connector.hold(target(1), orders)
        double.bind(next(iter(double.cards)), "somebody")

        with pytest.raises(NoCapacity):
            connector.apply(target(1), orders)

        found = connector.probe(target(1))
        assert isinstance(found, Found) and found.markers == () and len(found.detail["providers"]) == 2

    def test_that_failed_after_a_lost_race_takes_the_claim_of_the_first_try_back(
        self, connector, cloud, double, made, target, orders
    ):
        """The claim that the second try finds is of the same apply, and no hold."""
        double.bind(next(iter(double.cards)), "somebody")
        ask, raced = cloud.server.handler, []

        def racing(seen):
            if seen.method == "POST" and seen.path.endswith("/accelerator_requests") and not raced:
                raced.append(seen)
                return Answer(status=409, body=b'{"faultstring": "changed"}')
            return ask(seen)

        cloud.server.handler = racing

        with pytest.raises(NoCapacity):
            connector.apply(target(1), orders)

        assert raced and made() == {} and connector.probe(target(1)) == Absent()

    def test_that_failed_and_was_overtaken_leaves_what_the_newer_one_made(
        self, connector, connect, cloud, double, target, orders, cards
    ):
        double.bind(next(iter(double.cards)), "somebody")
        other, ask, done = connect(), cloud.server.handler, []

        def overtaken(seen):
            answer = ask(seen)
            if seen.method == "PATCH" and not done:
                done.append(seen)
                other.apply(target(5), [replace(orders[0], devices=tuple(cards[1:3]))])
            return answer

        cloud.server.handler = overtaken

        assert refused(connector.apply, target(4), orders).code == "stale_generation"
        assert connector.probe(target(5)).markers == ("oc-first",)

    @pytest.mark.parametrize("state", ["BindStarted", "BindFailed", "Unbound"])
    def test_that_leaked_is_cleaned_and_done_again(self, connector, double, target, orders, state):
        """A crash of Cyborg, or a provider it did not know, leaves requests in the middle."""
        carry(connector, target(1), orders)
        for each in double.requests:
            if each["device_profile_name"] == "oc-first":
                each["state"] = state
                each["instance_uuid"] = None if state == "Unbound" else each["instance_uuid"]

        calls = connector.plan(target(1), orders).calls
        done = carry(connector, target(1), orders)

        assert [call.verb for call in calls] == ["DELETE", "POST", "PATCH"]
        assert done.found.markers == ("oc-first",) and len(double.requests) == 3

    @pytest.mark.parametrize("state", ["BindStarted", "BindFailed"])
    def test_that_leaked_without_a_claim_is_given_back(self, connector, double, made, target, orders, state):
        carry(connector, target(1), orders)
        double.consumers.pop(marks.consumer(target(1)))
        for each in double.requests:
            each["state"] = state

        carry(connector, target(2), [])

        assert made() == {}

    def test_to_other_cards_lets_go_of_the_old_ones_first(self, connector, double, cards, target, orders):
        """Cyborg binds once for a consumer; a second PATCH for it is refused."""
        carry(connector, target(1), orders)

        done = carry(connector, target(2), [replace(orders[0], devices=tuple(cards[1:3]))])

        assert [call.verb for call in done.changes] == ["PUT", "DELETE", "POST", "PATCH"]
        assert {place.device_ref for place in done.found.places["oc-first"]} == set(cards[1:3])

    def test_is_for_the_project_of_the_settings(self, double, cloud, open_session, target, orders):
        """Microversion 2.1 lets an admin bind for a tenant."""
        project = "7" * 32
        settings = {**cloud.settings, "delivery_project_id": project}
        connector = open_session("openstack", settings, cloud.credential)

        carry(connector, target(1), orders)

        assert double.consumers[marks.consumer(target(1))]["project_id"] == project
        bound = [each for each in double.requests if each["device_profile_name"] == "oc-first"]
        assert {each["project_id"] for each in bound} == {project}


class TestClaim(OneOrder):
    @pytest.mark.parametrize("times", [consumers.TRIES - 1, consumers.TRIES])
    def test_that_loses_races_is_tried_a_few_times(self, connector, cloud, target, orders, times):
        body = b'{"errors": [{"code": "placement.concurrent_update", "detail": "changed"}]}'
        ask, left = cloud.server.handler, [times]

        def racing(seen):
            if seen.method == "PUT" and left[0]:
                left[0] -= 1
                return Answer(status=409, body=body)
            return ask(seen)

        cloud.server.handler = racing

        if times < consumers.TRIES:
            assert carry(connector, target(1), orders).found.markers == ("oc-first",)
        else:
            with pytest.raises(Transient) as caught:
                connector.apply(target(1), orders)
            assert caught.value.code == "conflict"

    def test_of_a_newer_generation_stops_an_older_one_in_its_middle(self, connector, connect, cloud, target, orders):
        other, ask, done = connect(), cloud.server.handler, []

        def overtaken(seen):
            if seen.method == "PUT" and not done:
                done.append(seen)
                other.apply(target(5), orders)
            return ask(seen)

        cloud.server.handler = overtaken

        assert refused(connector.apply, target(4), orders).code == "stale_generation"
        assert connector.probe(target(5)).generation == 5

    def test_is_kept_in_placement_with_installation_allocation_and_generation(self, connector, double, target, orders):
        carry(connector, target(7), orders)

        kept = double.consumers[marks.consumer(target(7))]
        assert kept["consumer_type"] == "OCENTER" and len(kept["user_id"]) <= 255
        mark = marks.read(kept["user_id"])
        assert (mark.allocation, mark.marker, mark.generation) == ("A", "oc-first", 7)

    def test_of_an_id_that_does_not_fit_is_refused(self, connector, target, orders):
        for allocation in ("a/b", "a" * 250):
            wrong = replace(orders[0], allocation=allocation)
            assert refused(connector.apply, target(1), [wrong]).code == "invalid"

    def test_of_two_orders_is_refused(self, connector, target, orders):
        assert refused(connector.apply, target(1), [*orders, *orders]).code == "invalid"

    def test_of_nothing_in_particular_is_refused(self, connector, target):
        assert refused(connector.apply, target(1), [Order(marker="oc-first", allocation="A", member=0)]).code == (
            "invalid"
        )

    def test_of_a_card_on_another_host_is_no_capacity(self, connector, double, target):
        elsewhere = uuid_of(f"deployable {list(double.cards)[-1]}")

        with pytest.raises(NoCapacity):
            connector.apply(target(1), [order("oc-first", [elsewhere])])

    def test_on_a_placement_without_consumer_types_is_refused_with_a_sentence(self, connector, double, target, orders):
        double.newest["placement"] = (1, 36)

        with pytest.raises(Permanent) as caught:
            connector.apply(target(1), orders)

        assert caught.value.code == "rejected" and connector.check().manage.missing

    def test_of_a_card_that_nova_manages_is_held_and_not_bound(self, connector, double, target):
        provider = next(iter(double.cards))
        found = double._deployable
        double._deployable = lambda rp: {**found(rp), **({"uuid": "hidden"} if rp == provider else {})}
        wanted = [order("oc-first", [provider])]

        assert refused(connector.apply, target(1), wanted).code == "not_supported"
        assert connector.hold(target(1), wanted).found.generation == 1


class TestSlots(OnCloud):
    """vGPUs are taken as units of their host's counter."""

    @pytest.fixture
    def lived(self):
        with living(Live(slots=8)) as both:
            yield both

    def test_are_taken_from_as_many_cards_as_it_needs(self, connector, double):
        node = nodes(connector)[0]
        counter = node.counters[0]
        target = Target(kind="consumer", ref="oc-slots", generation=1, node_ref=node.ref)
        wanted = Order(marker="oc-slots", allocation="A", member=0, resource=counter.ref, milli=9 * counter.unit_milli)

        done = carry(connector, target, [wanted])

        assert sorted(done.found.detail["providers"].values()) == [1, 8]
        assert our_use(connector) == {"oc-slots": 9 * counter.unit_milli}
        assert connector.plan(target, [wanted]).calls == ()
        carry(connector, replace(target, generation=2), [])
        assert (double.consumers, double.requests, double.profiles) == ({}, [], [])

    def test_beyond_what_the_host_has_are_no_capacity(self, connector):
        node = nodes(connector)[0]
        target = Target(kind="consumer", ref="oc-slots", generation=1, node_ref=node.ref)
        wanted = Order(marker="oc-slots", allocation="A", member=0, resource=node.counters[0].ref, milli=33 * 125)

        with pytest.raises(NoCapacity):
            connector.apply(target, [wanted])


class TestLook:
    def test_costs_as_many_calls_for_508_cards_as_for_34(self):
        assert list_calls_of_a_look(508, 64) == list_calls_of_a_look(34, 4) <= 6
