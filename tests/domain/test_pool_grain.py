"""Pools that promise a sum and no node: claims take the pool's counter, nodes only show whether the shape fits now."""

from uuid import UUID

import pytest

from pools.domain import overlays
from pools.domain.candidates import Unobserved
from pools.domain.decisions import Decision, Refusal
from pools.domain.planner import Draft, plan
from pools.domain.request import Choice, Level, PerMember, Share, Topology
from tests.domain.views import ASCEND, H100, MIB, counter, node, pool, view, want

POOL = pool(1, grain="pool")


def read(units, *free, unobserved=(), **fields):
    """A pool that has so many units free, and nodes with so many free devices."""
    nodes = [node(number, (1000,) * count, is_advisory=True) for number, count in enumerate(free, start=1)]
    return view(counter(90, units, total=100, **fields), *nodes, pools=(POOL,), unobserved=tuple(unobserved))


def code(answer):
    assert isinstance(answer, Refusal), answer
    return answer.code


class TestPoolGrain:
    def test_claims_the_counter_and_names_no_node(self):
        answer = plan(read(16, 8, 8), want(members=2, devices_per_member=8))

        assert {(m.capacity_id, m.node_id, m.positions) for m in answer.members} == {(UUID(int=1090), None, (1,))}
        assert [(m.milli, m.mib) for m in answer.members] == [(8000, 8 * MIB)] * 2
        assert answer.explanation.promised == "pool"

    def test_refuses_a_shape_that_no_node_can_take_now(self):
        assert code(plan(read(16, 4, 4, 4, 4), want(devices_per_member=8))) == "too_big"

    def test_refuses_what_the_sum_has_not(self):
        assert code(plan(read(4, 8, 8), want(devices_per_member=8))) == "no_capacity"

    def test_first_packs_claims_that_no_node_shows_yet(self):
        seen = read(8, 8, 8)
        behind = read(8, 8, 8, unobserved=[Unobserved(pool_id=POOL.id, model=H100, devices=1, count=8)])
        late = read(8, 8, 8, unobserved=[Unobserved(pool_id=POOL.id, model=H100, devices=5, count=2)])

        assert plan(seen, want(devices_per_member=8)).members
        assert plan(behind, want(devices_per_member=8)).members
        assert code(plan(late, want(devices_per_member=4))) == "too_big"

    def test_remembers_what_it_gave_out_itself(self):
        draft = Draft(read(16, 8, 8))

        answers = [draft.decide(want(devices_per_member=6)) for _ in range(3)]

        assert [isinstance(answer, Decision) for answer in answers] == [True, True, False]
        assert code(answers[2]) == "no_capacity"

    def test_takes_a_row_that_stands_for_several_nodes_several_times(self):
        alike = view(counter(90, 24), node(1, is_advisory=True, alike=3), pools=(POOL,))

        assert len(plan(alike, want(members=3, devices_per_member=8)).members) == 3
        assert code(plan(alike, want(members=4, devices_per_member=8))) == "no_capacity"

    def test_is_the_same_on_the_read_after_a_decision_as_later_in_one_draft(self):
        before, request = read(16, 8, 8), want(devices_per_member=5)
        draft = Draft(before)

        first, second = draft.decide(request), draft.decide(request)

        assert plan(overlays.after(before, first), request).members == second.members
        assert code(plan(overlays.after(overlays.after(before, first), second), request)) == code(draft.decide(request))

    def test_shares_take_their_part_of_the_sum(self):
        answer = plan(read(16, 8), want(share=Share(milli=250), devices_per_member=2))

        assert answer.milli == 500 and answer.members[0].milli == 500

    @pytest.mark.parametrize("level", ["rack", "node", "zone"])
    def test_promises_no_level_within_the_pool(self, level):
        topology = Topology(members=Level(level=level, required=True))

        assert code(plan(read(16, 8, 8), want(members=2, topology=topology))) == "topology"

    def test_offers_no_host_alone(self):
        assert code(plan(read(16, 8), want(devices_per_member=0, per_member=PerMember(cpu_milli=1)))) == "not_offered"

    def test_cuts_no_card_since_nobody_there_could(self):
        piece = (Choice(model=H100, profile="1g.10gb"),)
        cut = counter(91, 7, unit_milli=142, profile="1g.10gb")

        assert code(plan(read(16, 8), want(any_of=piece))) == "no_model"
        (member,) = plan(view(counter(90, 16), cut, pools=(POOL,)), want(any_of=piece)).members
        assert (member.capacity_id, member.milli) == (UUID(int=1091), 142)

    def test_asks_no_node_where_none_is_shown(self):
        assert plan(view(counter(90, 16), pools=(POOL,)), want(devices_per_member=8)).members[0].mib == 8 * MIB


class TestAmbiguity:
    def test_a_resource_of_several_models_takes_no_claim_by_model(self):
        mixed = view(counter(90, 16, model=None, resource="nvidia.com/gpu"), pools=(POOL,))

        assert code(plan(mixed, want())) == "grain_ambiguous"
        assert code(plan(mixed, want(ASCEND))) == "no_model"


class TestPoolState:
    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"is_stale": True}, "stale_pool"),
            ({"state": "draining"}, "not_active"),
            ({"is_granted": False}, "not_granted"),
            ({"forms": frozenset({"profile"})}, "not_offered"),
        ],
    )
    def test_that_does_not_allow_it_is_told(self, fields, expected):
        answer = plan(view(node(1), node(2), pools=(pool(1, **fields),)), want())

        assert code(answer) == expected and answer.pools[0].nodes == 2
