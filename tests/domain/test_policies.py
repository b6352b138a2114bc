"""Policies: of all places where a request fits, the one that each of them takes."""

from decimal import Decimal

import pytest

from pools.domain import policies
from pools.domain.planner import Draft, plan
from pools.domain.request import PoolSelector
from tests.domain.views import H100, node, pool, view, want


def names(read, request, count):
    draft = Draft(read)
    return [draft.decide(request).members[0].node_name for _ in range(count)]


class TestPack:
    def test_fills_an_open_node_before_it_opens_another(self):
        assert names(view(node(1), node(2, (1000,) * 7 + (0,))), want(policy="pack"), 3) == ["n2"] * 3


class TestSpread:
    def test_goes_where_most_is_free(self):
        assert names(view(node(1), node(2, (1000,) * 7 + (0,))), want(policy="spread"), 3) == ["n1", "n1", "n2"]


class TestCheapest:
    def read(self, *prices):
        pools = tuple(
            pool(number, prices={} if price is None else {(H100, None): Decimal(price)})
            for number, price in enumerate(prices, start=1)
        )
        return view(*[node(number, of=number) for number in range(1, len(prices) + 1)], pools=pools)

    def test_takes_the_lowest_price_and_unknown_ones_last(self):
        read = self.read(None, "3.50", "3.49")

        assert names(read, want(policy="cheapest", devices_per_member=8), 3) == ["n3", "n2", "n1"]

    def test_packs_among_equal_prices(self):
        read = view(node(1), node(2, (1000,)), pools=(pool(prices={(H100, None): Decimal(1)}),))

        assert names(read, want(policy="cheapest"), 1) == ["n2"]


class TestPreferred:
    def read(self):
        return view(*[node(number, of=number) for number in (1, 2, 3)], pools=(pool(1), pool(2), pool(3)))

    def test_takes_the_pools_as_the_request_names_them(self):
        request = want(policy="preferred", devices_per_member=8, pools=PoolSelector(names=("pool-3", "pool-1")))

        assert names(self.read(), request, 2) == ["n3", "n1"]

    def test_takes_the_pools_as_the_project_likes_them_and_others_last(self):
        policy = policies.find("preferred", ["pool-2"])
        draft = Draft(self.read())

        decisions = [draft.decide(want(devices_per_member=8), policy) for _ in range(3)]

        assert decisions[0].members[0].node_name == "n2" and decisions[0].explanation.policy == "preferred"
        assert len({decision.pool_id for decision in decisions}) == 3


class TestPolicy:
    def test_of_no_known_name_is_an_error(self):
        with pytest.raises(KeyError):
            policies.find("random")

    @pytest.mark.parametrize("name", policies.NAMES)
    def test_never_refuses_what_fits(self, name):
        assert plan(view(node(1)), want(policy=name, members=8)).milli == 8000
