"""What a refused request could change, and what else would do."""

from decimal import Decimal
from uuid import UUID

import pytest

from pools.domain import changes, what_if
from pools.domain.candidates import End
from pools.domain.decisions import Decision, Refusal
from pools.domain.planner import plan
from pools.domain.request import Avoid, Level, PoolSelector, Share, Topology
from tests.domain.views import A100, ASCEND, H100, MIB, chips, counter, node, pool, view, want

IN_ONE_RACK = Topology(members=Level(level="rack", required=True))


def told(read, wanted, **fields):
    """The changes by code, each of which was applied and fits."""
    assert fields or isinstance(plan(read, wanted), Refusal)
    found = changes.smallest(read, wanted, **fields)
    for change in found:
        if change.patch:
            patched = changes.patched(wanted, change.patch)
            assert change.code == "wait" or isinstance(plan(read, patched), Decision), change
    return {change.code: change for change in found}


class TestSmallestChange:
    def test_is_to_prefer_what_was_required(self):
        read = view(*[node(number, domains={"rack": f"r{number}"}) for number in (1, 2)])

        change = told(read, want(members=2, devices_per_member=8, topology=IN_ONE_RACK))["topology"]

        assert change.patch == {"topology": {"members": {"required": False}}}

    def test_is_as_many_members_as_fit(self):
        change = told(view(node(1), node(2), node(3)), want(members=7, devices_per_member=8))["members"]

        assert change.patch == {"members": 3}

    def test_is_the_same_sum_in_smaller_members(self):
        read = view(*[node(number, (1000,) * 4) for number in (1, 2)])

        assert told(read, want(devices_per_member=8))["devices"].patch == {"devices_per_member": 4, "members": 2}

    def test_is_the_largest_member_where_the_sum_is_not_there(self):
        read = view(node(1, (1000,) * 5))

        assert told(read, want(members=1, devices_per_member=7))["devices"].patch == {"devices_per_member": 5}

    def test_is_a_smaller_share(self):
        read = view(node(1, (333,)))

        change = told(read, want(share=Share(milli=500, memory_mib=MIB // 2)))["share"]

        assert change.patch["share"]["milli"] == 333

    def test_is_another_model(self):
        read = view(node(1, (0,)), node(2, model=A100))

        assert told(read, want())["model"].patch["any_of"][-1] == {"model": A100}

    def test_is_a_higher_price(self):
        read = view(node(1), pools=(pool(prices={(H100, None): Decimal(4)}),))

        change = told(read, want(devices_per_member=2, max_price_per_hour=Decimal(5)))["price"]

        assert Decimal(change.patch["max_price_per_hour"]) == 8

    def test_is_a_wider_choice_of_pools(self):
        read = view(node(1))

        assert told(read, want(pools=PoolSelector(regions=("mars",))))["selector"].patch == {"pools": {"regions": None}}
        assert "avoid" in told(read, want(topology=Topology(avoid=Avoid(nodes=("n1",)))))

    def test_is_to_wait_for_a_lease_that_ends(self):
        ends = (
            End(capacity_id=UUID(int=1001), in_seconds=50, positions=(1,), milli=1000, mib=MIB),
            End(capacity_id=UUID(int=1001), in_seconds=600, positions=(2,), milli=1000, mib=MIB),
            End(capacity_id=UUID(int=1001), in_seconds=900, positions=(3,), milli=1000, mib=MIB),
        )
        read = view(node(1, (0, 0, 0)), ends=ends)

        change = told(read, want(devices_per_member=2))["wait"]

        assert "600 s" in change.detail and change.patch == {"queue": True}

    def test_knows_that_what_is_booked_is_nearer_when_the_lease_has_ended(self):
        cards = (node(1, (0,)).cards[0]._replace(booked_in_seconds=700, later_milli=-1000),)
        read = view(
            node(1, cards=cards), ends=(End(capacity_id=UUID(int=1001), in_seconds=600, positions=(1,), milli=1000),)
        )

        assert "wait" in told(read, want(lease_seconds=100))
        assert "wait" not in told(read, want(lease_seconds=101))

    def test_names_no_node_where_that_is_not_told(self):
        read = view(node(1, (1000,) * 2 + (0,) * 6))

        assert "free" not in told(read, want(devices_per_member=8), tells_nodes=False)

    def test_is_to_free_devices_on_the_node_that_lacks_fewest(self):
        read = view(node(1, (1000,) * 2 + (0,) * 6), node(2, (1000,) * 6 + (0,) * 2))

        assert told(read, want(devices_per_member=8))["free"].detail == "Free 2 more on node n2."

    def test_knows_of_devices_that_the_read_leaves_out_because_nothing_of_them_is_free(self):
        read = view(node(1, (1000,) * 6, units=8), node(2, (1000,) * 3, units=3))

        assert told(read, want(devices_per_member=8))["free"].detail == "Free 2 more on node n1."

    def test_is_more_quota_or_what_the_quota_holds(self):
        found = told(view(node(1), node(2)), want(members=2, devices_per_member=8), short=changes.Short(5000))

        assert found["quota"].patch == {} and "5 more devices" in found["quota"].detail
        assert found["members"].patch == {"members": 1}

    def test_stays_within_a_quota_of_compute_units(self):
        read = view(node(1), node(2, model=ASCEND))
        factor = chips()[H100].compute_unit_milli
        short = changes.Short(2 * factor, is_units=True)

        found = told(read, want(devices_per_member=8), short=short)

        assert "compute units" in found["quota"].detail and found["devices"].patch["devices_per_member"] <= 6

    def test_is_nothing_where_nothing_helps(self):
        assert told(view(node(1), pools=(pool(1, is_granted=False),)), want()) == {}


class TestRefusal:
    def test_names_the_reason_of_every_pool_and_the_nearest_to_a_fit(self):
        read = view(
            node(1, (1000,) * 4),
            node(2, (1000,) * 4),
            node(3, of=2),
            node(4, of=3),
            pools=(pool(1), pool(2, is_stale=True), pool(3, is_granted=False)),
        )

        answer = plan(read, want(devices_per_member=8))

        assert answer.code == "too_big"
        assert [(refusal.pool_id.int, refusal.code, refusal.nodes) for refusal in answer.pools] == [
            (2, "stale_pool", 1),
            (3, "not_granted", 1),
            (1, "too_big", 2),
        ]

    def test_counts_the_nodes_that_a_row_stands_for(self):
        assert plan(view(node(1, (0,), alike=12)), want()).pools[0].nodes == 12

    def test_says_when_there_is_more_to_read(self):
        assert not plan(view(node(1, (0,)), is_exhausted=False), want()).is_exhausted


class TestWhatIf:
    def test_answers_as_the_decision_does(self):
        read = view(node(1), node(2, (1000,)))

        asked = what_if.ask(read, want())

        assert asked.answer == plan(read, want()) and asked.changes == ()

    def test_lists_everything_that_would_do_in_the_order_in_which_it_would_be_taken(self):
        read = view(
            node(1, alike=3),
            node(2, (1000,), of=2),
            node(3, model=A100),
            pools=(pool(1, prices={(H100, None): Decimal(4)}), pool(2)),
        )

        asked = what_if.ask(read, want(H100, A100))

        assert [(each.pool_id.int, each.model, each.nodes) for each in asked.possible] == [
            (2, H100, 1),
            (1, H100, 3),
            (1, A100, 1),
        ]
        assert [each.price_per_hour for each in asked.possible] == [None, 4, None]
        assert asked.possible[0].score == asked.answer.score

    def test_tells_the_changes_where_nothing_fits(self):
        assert [
            change.code for change in what_if.ask(view(node(1)), want(members=2, devices_per_member=8)).changes
        ] == [
            "members",
            "devices",
        ]

    @pytest.mark.parametrize("units", [3, 20])
    def test_counts_a_counter_of_a_node_as_one_node(self, units):
        read = view(counter(1, units, node_id=UUID(int=2001), node_name="n1"))

        assert [each.nodes for each in what_if.ask(read, want()).possible] == [1]
