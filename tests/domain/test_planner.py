"""Where a single request goes: whole devices, pieces, shares, units of counters, and hosts alone."""

from decimal import Decimal
from uuid import UUID

import pytest

from pools.domain import planner
from pools.domain.decisions import Decision, Refusal
from pools.domain.planner import Draft, plan
from pools.domain.profiles import Piece
from pools.domain.request import Avoid, Choice, PerMember, PoolSelector, Share, Topology
from pools.domain.shapes import Shape
from tests.domain.views import A100, ASCEND, H100, MIB, counter, node, pool, view, want


def placed(answer):
    assert isinstance(answer, Decision), answer
    return answer.members


def refused(answer):
    assert isinstance(answer, Refusal), answer
    return answer.code


class TestWholeDevices:
    def test_go_to_the_node_that_is_open_already(self):
        read = view(node(1), node(2, (1000, 1000, 0, 0, 0, 0, 0, 0)))

        (member,) = placed(plan(read, want()))

        assert member.node_name == "n2" and (member.milli, member.mib) == (1000, MIB)

    def test_take_positions_that_are_free_as_a_whole(self):
        read = view(node(1, (0, 1000, 500, 1000)))

        (member,) = placed(plan(read, want(devices_per_member=2)))

        assert sorted(member.positions) == [2, 4]

    def test_do_not_fit_in_parts_of_devices(self):
        read = view(node(1, (500,) * 8))

        assert refused(plan(read, want(devices_per_member=4))) == "too_big"

    def test_take_cpu_and_memory_of_their_host_with_them(self):
        read = view(node(1))

        (member,) = placed(plan(read, want(per_member=PerMember(cpu_milli=8000, memory_mib=1024))))

        assert member.host_id == UUID(int=3001) and (member.cpu_milli, member.memory_mib) == (8000, 1024)

    def test_need_a_host_whose_cpu_is_known_when_they_ask_for_cpu(self):
        assert refused(plan(view(node(1, host=False)), want(per_member=PerMember(cpu_milli=1)))) == "host_full"
        assert placed(plan(view(node(1, host=False)), want()))

    def test_of_a_static_piece_are_asked_for_by_its_profile(self):
        read = view(node(1, (1000, 1000), profile="1g.10gb"))

        assert refused(plan(read, want())) == "no_model"
        assert placed(plan(read, want(any_of=(Choice(model=H100, profile="1g.10gb"),))))


class TestChoices:
    def test_are_taken_in_their_order(self):
        read = view(node(1), node(2, model=A100))

        assert plan(read, want(A100, H100)).model == A100

    def test_that_do_not_fit_give_way_to_the_next(self):
        read = view(node(1), node(2, (0,), model=A100))

        decision = plan(read, want(A100, H100))

        assert (decision.model, decision.explanation.rank) == (H100, 1)

    def test_by_properties_mean_every_model_that_has_them(self):
        read = view(node(1, model=ASCEND, mib=65_536), node(2, model=A100))
        choice = Choice(vendor="nvidia", memory_mib_min=40_000, interconnect="nvlink", runtime="cuda")

        assert plan(read, want(any_of=(choice,))).model == A100

    def test_by_properties_are_compared_by_their_score_and_not_by_their_order(self):
        read = view(node(1), node(2, (1000,), model=A100))

        assert plan(read, want(any_of=(Choice(vendor="nvidia"),))).model == A100


class TestPieces:
    def test_lie_at_places_that_the_layout_leaves(self):
        cut = node(1, (1000,))
        card = cut.cards[0]._replace(free_milli=858, pieces=(Piece(profile="1g.10gb", start=0),))
        read = view(node(1, (1000,), cards=(card,)))

        (member,) = placed(plan(read, want(any_of=(Choice(model=H100, profile="1g.10gb"),))))

        assert member.positions == (1,) and member.starts != (0,) and member.milli == 142

    def test_never_go_beside_a_share(self):
        read = view(node(1, (750,)))

        assert refused(plan(read, want(any_of=(Choice(model=H100, profile="1g.10gb"),)))) == "too_big"

    def test_fill_a_card_and_no_more(self):
        draft = Draft(view(node(1, (1000,))))
        request = want(any_of=(Choice(model=H100, profile="1g.10gb"),))

        answers = [draft.decide(request) for _ in range(8)]

        assert sorted(answer.members[0].starts[0] for answer in answers[:7]) == list(range(7))
        assert refused(answers[7]) != ""

    def test_of_vgpu_have_one_size_a_card(self):
        draft = Draft(view(node(1, (1000,))))
        draft.decide(want(any_of=(Choice(model=H100, profile="h100-20c"),)))

        assert isinstance(draft.plan(want(any_of=(Choice(model=H100, profile="h100-40c"),))), Refusal)
        assert placed(draft.plan(want(any_of=(Choice(model=H100, profile="grid_h100-20c"),))))

    def test_that_the_platform_counts_are_units_of_its_counter(self):
        read = view(counter(1, 3, unit_milli=142, profile="1g.10gb", node_id=UUID(int=2001), node_name="n1"))

        (member,) = placed(plan(read, want(any_of=(Choice(model=H100, profile="1g.10gb"),), devices_per_member=2)))

        assert member.positions == (1,) and member.milli == 2 * 142
        assert refused(plan(read, want(any_of=(Choice(model=H100, profile="1g.20gb"),)))) == "no_model"


class TestShares:
    def test_take_their_part_and_not_the_whole_card(self):
        decision = plan(view(node(1)), want(share=Share(milli=250, memory_mib=10_240)))

        assert decision.milli == 250 and decision.members[0].mib == 10_240

    def test_have_memory_in_proportion_unless_they_say(self):
        assert plan(view(node(1)), want(share=Share(milli=250))).members[0].mib == MIB // 4

    def test_are_never_split_over_cards(self):
        read = view(node(1, (400, 400, 400)))

        assert refused(plan(read, want(share=Share(milli=500)))) == "too_big"

    def test_need_memory_on_the_same_card(self):
        cards = tuple(card._replace(free_mib=5000) for card in node(1, (1000, 1000)).cards)
        read = view(node(1, (1000, 1000), cards=cards))

        assert refused(plan(read, want(share=Share(milli=100, memory_mib=6000)))) != ""
        assert placed(plan(read, want(share=Share(milli=100, memory_mib=5000))))

    def test_of_several_devices_lie_on_as_many_cards_and_count_each(self):
        decision = plan(view(node(1, (1000, 600, 500, 400))), want(share=Share(milli=500), devices_per_member=3))

        assert decision.milli == 1500 and sorted(decision.members[0].positions) == [1, 2, 3]

    def test_never_go_on_a_card_that_is_cut(self):
        card = node(1, (1000,)).cards[0]._replace(free_milli=858, pieces=(Piece(profile="1g.10gb", start=0),))

        assert refused(plan(view(node(1, (1000,), cards=(card,))), want(share=Share(milli=100)))) != ""


class TestHostsAlone:
    def test_are_given_without_a_device(self):
        (member,) = placed(
            plan(view(node(1)), want(devices_per_member=0, per_member=PerMember(cpu_milli=4000, memory_mib=1024)))
        )

        assert member.capacity_id is None and member.host_id == UUID(int=3001) and member.positions == ()

    def test_are_rather_those_that_have_no_devices_to_waste(self):
        host = node(2, (), kind="host", model=None)
        read = view(node(1), host, mix={Shape(32_000, 0, 4, 1000): 1})

        (member,) = placed(plan(read, want(devices_per_member=0, per_member=PerMember(cpu_milli=40_000))))

        assert member.node_name == "n2"

    def test_share_their_cpu_with_all_rows_of_their_node(self):
        first, second = node(1), node(2, model=A100, node_id=UUID(int=2001), host_id=UUID(int=3001))
        draft = Draft(view(first, second))
        draft.decide(want(per_member=PerMember(cpu_milli=40_000)))

        assert refused(draft.decide(want(A100, per_member=PerMember(cpu_milli=40_000)))) == "host_full"


class TestBookings:
    def booked(self, later_milli=0, later_mib=10**6):
        cards = [
            card._replace(booked_in_seconds=3600, later_milli=later_milli, later_mib=later_mib)
            for card in node(1).cards
        ]
        return view(node(1, cards=tuple(cards)))

    def test_do_not_matter_to_a_lease_that_ends_before(self):
        assert placed(plan(self.booked(), want(lease_seconds=3600)))

    def test_bind_a_lease_that_runs_into_them_and_one_without_an_end(self):
        assert refused(plan(self.booked(), want(lease_seconds=3601))) != ""
        assert refused(plan(self.booked(), want())) != ""

    def test_leave_what_they_do_not_take(self):
        assert placed(plan(self.booked(later_milli=500), want(share=Share(milli=500))))
        assert refused(plan(self.booked(later_milli=500, later_mib=999), want(share=Share(milli=500, memory_mib=1000))))

    def test_of_a_host_bind_in_the_same_way(self):
        host = {"host_booked_in_seconds": 3600, "cpu_later_milli": 4000, "memory_later_mib": 0}
        draft = Draft(view(node(1, **host)))

        assert refused(draft.plan(want(per_member=PerMember(cpu_milli=4001)))) == "host_full"
        assert refused(draft.plan(want(per_member=PerMember(memory_mib=1)))) == "host_full"
        assert placed(draft.plan(want(per_member=PerMember(cpu_milli=4001), lease_seconds=3600)))
        assert placed(draft.decide(want(per_member=PerMember(cpu_milli=4000))))
        assert refused(draft.plan(want(per_member=PerMember(cpu_milli=1)))) == "host_full"
        assert placed(draft.decide(want(per_member=PerMember(cpu_milli=1), lease_seconds=60)))


class TestSelectors:
    def read(self):
        return view(
            node(1),
            node(2, of=2),
            pools=(
                pool(1, kind="kubernetes", region="eu", labels={"tier": "prod"}),
                pool(2, kind="openstack", region="us", labels={"tier": "test"}),
            ),
        )

    @pytest.mark.parametrize(
        "selector",
        [
            PoolSelector(names=("pool-2",)),
            PoolSelector(names=(str(UUID(int=2)),)),
            PoolSelector(kinds=("openstack",)),
            PoolSelector(regions=("us",)),
            PoolSelector(labels="tier=test"),
            PoolSelector(labels="tier!=prod,tier"),
        ],
    )
    def test_leave_the_pools_that_meet_them(self, selector):
        assert placed(plan(self.read(), want(pools=selector)))[0].pool_id == UUID(int=2)

    def test_keep_off_what_is_to_be_avoided(self):
        avoid = Avoid(nodes=("n1",))

        assert placed(plan(self.read(), want(topology=Topology(avoid=avoid))))[0].node_name == "n2"
        avoid = Avoid(nodes=("n1",), pools=("pool-2",))
        assert refused(plan(self.read(), want(topology=Topology(avoid=avoid)))) == "avoid"


class TestPrices:
    def read(self, **fields):
        return view(
            node(1), pools=(pool(prices={(H100, None): Decimal(4), (H100, "1g.10gb"): Decimal("0.9")}, **fields),)
        )

    def test_are_per_device_piece_and_share(self):
        read = self.read()

        assert plan(read, want(devices_per_member=2)).price_per_hour == 8
        assert plan(read, want(share=Share(milli=250))).price_per_hour == 1
        assert plan(read, want(any_of=(Choice(model=H100, profile="1g.10gb"),))).price_per_hour == Decimal("0.9")

    def test_of_a_flavor_go_before_all_others(self):
        read = self.read(flavor_prices={"small": Decimal(3)})

        assert plan(read, want(flavor="small")).price_per_hour == 3

    def test_above_the_limit_are_refused_and_so_are_unknown_ones(self):
        assert refused(plan(self.read(), want(max_price_per_hour=Decimal("3.99")))) == "price"
        assert refused(plan(view(node(1)), want(max_price_per_hour=Decimal(100)))) == "price"
        assert placed(plan(self.read(), want(max_price_per_hour=Decimal(4))))


class TestExplanation:
    def test_names_whose_room_is_taken_and_what_the_pool_promises(self):
        decision = plan(view(node(1), prices_version=7), want())

        assert decision.explanation.losses[0].kind == "8 x any model"
        assert decision.explanation.losses[0].share == pytest.approx(1)
        assert (decision.explanation.promised, decision.explanation.prices_version) == ("device", 7)

    def test_names_what_was_not_chosen(self):
        read = view(node(1), node(2, (1000,), of=2), pools=(pool(1), pool(2)))

        decision = plan(read, want())

        (other,) = decision.explanation.chosen_over

        assert (other.pool_id, other.nodes) == (UUID(int=1), 1)
        assert other.score > decision.score

    def test_names_nodes_of_the_same_pool_that_were_not_chosen(self):
        decision = plan(view(node(1), node(2), node(3, (1000,))), want())

        (other,) = decision.explanation.chosen_over
        assert (decision.members[0].node_name, other.nodes) == ("n3", 2)


class TestDraft:
    def test_gives_each_request_what_the_ones_before_left(self):
        draft = Draft(view(node(1, (1000,) * 2)))

        answers = [draft.decide(want()) for _ in range(3)]

        assert [answer.members[0].positions for answer in answers[:2]] == [(1,), (2,)]
        assert refused(answers[2]) == "no_capacity"

    def test_plans_without_taking(self):
        draft = Draft(view(node(1, (1000,))))

        assert draft.plan(want()) == draft.plan(want()) == draft.decide(want()) == planner.plan(draft.view, want())
