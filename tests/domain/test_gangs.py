"""Requests of several members: all of them or none, near to each other or far apart."""

from collections import Counter

import pytest

from pools.domain.decisions import Decision, Refusal
from pools.domain.planner import Draft, plan
from pools.domain.request import Level, Share, Topology
from tests.domain.views import A100, node, pool, view, want


def nodes_of(answer):
    assert isinstance(answer, Decision), answer
    return [member.node_name for member in answer.members]


def code(answer):
    assert isinstance(answer, Refusal), answer
    return answer.code


def near(level, *, required=True):
    return Topology(members=Level(level=level, required=required))


def far(level, *, required=True):
    return Topology(spread=Level(level=level, required=required))


def in_one_group(*, required=True):
    return Topology(devices=Level(level="link-group", required=required))


def racks(**free):
    """Nodes of 8 in racks: ``r1=2`` are two in rack r1."""
    names = [rack for rack, count in free.items() for _ in range(count)]
    return [node(number, domains={"rack": rack, "zone": "z"}) for number, rack in enumerate(names, start=1)]


class TestGang:
    def test_takes_all_its_members_or_nothing(self):
        draft = Draft(view(node(1), node(2)))

        assert code(draft.decide(want(members=3, devices_per_member=8))) == "no_capacity"
        assert sorted(nodes_of(draft.decide(want(members=2, devices_per_member=8)))) == ["n1", "n2"]

    def test_may_have_several_members_on_one_node(self):
        answer = plan(view(node(1)), want(members=4, devices_per_member=2))

        assert nodes_of(answer) == ["n1"] * 4
        assert sorted(position for member in answer.members for position in member.positions) == list(range(1, 9))

    def test_has_members_in_order_and_of_one_model_and_pool(self):
        read = view(node(1), node(2, model=A100), node(3, of=2), pools=(pool(1), pool(2)))

        assert code(plan(read, want(members=2, devices_per_member=8))) == "no_capacity"
        assert [member.index for member in plan(read, want(members=8)).members] == list(range(8))

    def test_that_fits_only_in_sum_is_too_big(self):
        read = view(*[node(number, (1000,) * 4) for number in (1, 2, 3, 4)])

        assert code(plan(read, want(members=2, devices_per_member=8))) == "too_big"

    def test_of_ten_thousand_members_is_planned_to_the_end(self):
        read = view(*[node(number, (1000,) * 20, host=False) for number in range(1, 501)])

        assert len(plan(read, want(members=10_000)).members) == 10_000
        assert code(plan(read, want(members=10_000, devices_per_member=2))) == "no_capacity"

    def test_of_shares_shares_cards(self):
        answer = plan(view(node(1, (1000,))), want(members=4, share=Share(milli=250)))

        assert answer.milli == 1000 and {member.positions for member in answer.members} == {(1,)}


class TestLinkGroups:
    def read(self, *groups):
        return view(node(1, (1000,) * len(groups), groups=list(groups)))

    def test_of_four_and_four_do_not_make_eight_in_one(self):
        read = self.read(*"aaaabbbb")

        assert code(plan(read, want(devices_per_member=8, topology=in_one_group()))) == "topology"
        assert plan(read, want(devices_per_member=4, topology=in_one_group()))
        assert nodes_of(plan(read, want(devices_per_member=8, topology=in_one_group(required=False)))) == ["n1"]

    def test_that_are_required_are_never_mixed_even_when_scattered(self):
        answer = plan(self.read(*"abababab"), want(devices_per_member=4, topology=in_one_group()))

        assert sorted(answer.members[0].positions) in ([1, 3, 5, 7], [2, 4, 6, 8])

    def test_that_are_unknown_promise_nothing(self):
        assert code(plan(self.read("", ""), want(devices_per_member=2, topology=in_one_group()))) == "topology"

    def test_that_are_preferred_are_kept_together_where_possible(self):
        answer = plan(self.read(*"aabbb"), want(devices_per_member=3, topology=in_one_group(required=False)))

        assert sorted(answer.members[0].positions) == [3, 4, 5]

    def test_that_are_whole_are_kept_whole(self):
        answer = plan(self.read(*"aaab"), want())

        assert answer.members[0].positions == (4,)

    def test_do_not_matter_to_one_device(self):
        assert plan(self.read(""), want(topology=in_one_group())).members


class TestNear:
    def test_required_takes_one_rack_that_holds_all(self):
        answer = plan(view(*racks(r1=1, r2=2)), want(members=2, devices_per_member=8, topology=near("rack")))

        assert sorted(nodes_of(answer)) == ["n2", "n3"]

    def test_required_is_refused_where_racks_are_too_small(self):
        read = view(*racks(r1=1, r2=1))

        assert code(plan(read, want(members=2, devices_per_member=8, topology=near("rack")))) == "topology"

    def test_preferred_takes_few_racks(self):
        read = view(*racks(r1=1, r2=2, r3=1))

        answer = plan(read, want(members=3, devices_per_member=8, topology=near("rack", required=False)))

        assert Counter(nodes_of(answer)).keys() >= {"n2", "n3"}

    def test_knows_racks_of_one_name_in_two_zones_apart(self):
        one = node(1, domains={"zone": "a", "rack": "1"})
        other = node(2, domains={"zone": "b", "rack": "1"})

        answer = plan(view(one, other), want(members=2, devices_per_member=8, topology=near("rack")))

        assert code(answer) == "topology"

    def test_one_node_holds_all_members(self):
        read = view(node(1, (1000,) * 3), node(2, (1000,) * 4))

        assert nodes_of(plan(read, want(members=4, topology=near("node")))) == ["n2"] * 4

    def test_one_pool_is_always_so(self):
        assert plan(view(node(1)), want(members=2, topology=near("pool"))).members

    def test_a_level_that_nothing_tells_is_refused(self):
        assert code(plan(view(node(1)), want(members=2, topology=near("spine")))) == "topology"


class TestFar:
    def test_required_takes_another_domain_for_each_member(self):
        read = view(*racks(r1=2, r2=2, r3=1))

        answer = plan(read, want(members=3, topology=far("rack")))

        assert {name in ("n1", "n2") for name in nodes_of(answer)} == {True, False}
        assert "n5" in nodes_of(answer)
        assert code(plan(read, want(members=4, topology=far("rack")))) == "topology"

    def test_preferred_is_as_even_as_possible(self):
        answer = plan(view(*racks(r1=1, r2=1)), want(members=6, topology=far("node", required=False)))

        assert sorted(Counter(nodes_of(answer)).values()) == [3, 3]

    def test_goes_with_near(self):
        topology = Topology(members=Level(level="rack", required=True), spread=Level(level="node", required=True))

        answer = plan(view(*racks(r1=1, r2=2)), want(members=2, topology=topology))

        assert sorted(nodes_of(answer)) == ["n2", "n3"]

    def test_required_holds_also_where_near_is_only_preferred(self):
        topology = Topology(members=Level(level="rack"), spread=Level(level="node", required=True))

        answer = plan(view(*racks(r1=1, r2=1)), want(members=2, topology=topology))

        assert sorted(nodes_of(answer)) == ["n1", "n2"]
        assert code(plan(view(node(1)), want(members=2, topology=topology))) == "topology"


class TestGrain:
    @pytest.mark.parametrize(
        ("grain", "topology", "fits"),
        [
            ("device", in_one_group(), True),
            ("node", in_one_group(), False),
            ("node", in_one_group(required=False), True),
            ("node", near("node"), True),
        ],
    )
    def test_bounds_what_can_be_required(self, grain, topology, fits):
        read = view(node(1, groups=["a"] * 8), pools=(pool(1, grain=grain),))

        answer = plan(read, want(members=2, devices_per_member=2, topology=topology))

        assert isinstance(answer, Decision) == fits
        if not fits:
            assert answer.code == "topology"
