"""A platform without room where the plan saw some: the next place is tried, a bounded number of times."""

import pytest

from pools.models import Allocation, Capacity, Claim, LedgerEvent, Member, Node, Operation
from pools.reconcile import allocations
from tests.factories import Clock
from tests.reconcile.binding import Lab

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def make(tmp_path):
    return lambda **fields: Lab(tmp_path, Clock(), **fields)


def nodes_of(id):
    return set(Claim.objects.filter(allocation_id=id, released_at=None).values_list("capacity__node_id", flat=True))


def refuse(lab):
    """Let the platform have no room for what it is asked first; all of that is taken off again."""
    lab.store.fail("no_capacity", call="apply", when="before")
    for _ in range(2):
        lab.one_turn()
        lab.clock.forward(seconds=20)


def until_settled(lab, id):
    for _ in range(12):
        lab.advance()
        lab.clock.forward(seconds=20)
    return Allocation.objects.get(id=id)


class TestNoRoom:
    @pytest.mark.parametrize("mode", ["device", "node"])
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_at_one_place_leads_to_another(self, make, mode, when):
        lab = make(mode=mode, nodes=3)
        lab.store.fail("no_capacity", call="apply", when=when)
        id = lab.ask(2)
        first = nodes_of(id)

        found = until_settled(lab, id)

        assert (found.state, found.reason) == ("active", "")
        assert nodes_of(id).isdisjoint(first) and lab.orders_there() == [str(id)]
        assert Member.objects.filter(allocation_id=id).count() == 1
        kinds = list(LedgerEvent.objects.filter(allocation_id=id).order_by("id").values_list("kind", "milli"))
        assert kinds == [("reserve", 2000), ("reserve", 0), ("reserve", 2000), ("reserve", 0), ("use", 2000)]
        assert list(Operation.objects.filter(allocation_id=id).order_by("id").values_list("state", flat=True)) == [
            "failed",
            "confirmed",
        ]
        lab.check()

    def test_keeps_what_it_had_until_the_platform_confirmed_that_nothing_is_left(self, make):
        lab = make(mode="node", nodes=2)
        lab.store.fail("no_capacity", call="apply", when="after")
        id = lab.ask(2)
        lab.one_turn()
        assert lab.orders_there() == [str(id)], "the platform did it and said otherwise"

        lab.store.fail("timeout", call="apply")
        lab.one_turn()

        assert Capacity.objects.get(claimed_milli__gt=0, kind="cards").node_id in nodes_of(id)
        assert until_settled(lab, id).state == "active"
        lab.check()

    def test_for_one_of_a_gang_moves_all_of_it(self, make):
        lab = make(mode="node", nodes=5)
        lab.store.fail("no_capacity", call="apply", when="before")
        id = lab.ask(4, members=2)

        found = until_settled(lab, id)

        assert found.state == "active" and lab.orders_there() == [str(id)] * 2
        lab.check()

    def test_anywhere_ends_with_people_and_holds_nothing(self, make):
        lab = make(mode="node", nodes=2)
        id = lab.ask(2)
        for _ in range(2):
            refuse(lab)

        found = until_settled(lab, id)

        assert (found.state, found.reason, found.pool_id) == ("needs_attention", "no_capacity", None)
        assert lab.there() == {} and not Claim.objects.filter(released_at=None).exists()
        lab.check()
        lab.release(id)
        lab.advance()
        assert lab.state(id) == "released"

    def test_is_tried_three_times_at_most(self, make):
        lab = make(mode="node", nodes=6)
        id = lab.ask(1)
        for _ in range(3):
            refuse(lab)

        assert lab.state(id) == "needs_attention"
        assert Operation.objects.filter(allocation_id=id, state="failed").count() == 3
        assert Node.objects.count() == 6 and lab.there() == {}
        lab.release(id)
        lab.advance()
        assert lab.state(id) == "released"
        lab.check()

    def test_is_given_up_when_it_is_released_meanwhile(self, make):
        lab = make(mode="node", nodes=3)
        lab.store.fail("no_capacity", call="apply", when="after")
        id = lab.ask(2)
        lab.one_turn()
        assert Allocation.objects.get(id=id).reason == "next_candidate"

        lab.release(id)
        allocations.advance(clock=lab.clock)
        assert lab.state(id) == "releasing"

        assert until_settled(lab, id).state == "released"
        lab.check()
