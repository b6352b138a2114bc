"""A claim becomes real on its platform, and is given back there before it is free."""

import pytest

from pools.models import Allocation, AuditEvent, Capacity, Device, LedgerEvent, Member, Operation, Pool, Target
from pools.reconcile import allocations, targets
from pools.selectors import targets as carried
from tests.factories import Clock
from tests.reconcile.binding import Lab

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=["device", "node"])
def lab(request, tmp_path, clock):
    return Lab(tmp_path, clock, mode=request.param)


@pytest.fixture
def hosts(tmp_path, clock):
    """A pool where the object of a node carries the orders of all."""
    return Lab(tmp_path, clock, mode="device", nodes=1)


def ledger(allocation_id):
    events = LedgerEvent.objects.filter(allocation_id=allocation_id).order_by("id")
    return list(events.values_list("kind", "milli"))


class TestAClaim:
    def test_is_claimed_until_its_target_is_known_and_binding_until_the_platform_confirmed(self, lab):
        id = lab.ask(2)
        assert lab.state(id) == "claimed" and not lab.there()

        allocations.advance(clock=lab.clock)

        assert lab.state(id) == "binding" and lab.target().due_at == lab.clock.now and not lab.there()

        targets.run(pool_id=lab.pool.id, clock=lab.clock)
        allocations.advance(clock=lab.clock)

        assert lab.state(id) == "active" and lab.orders_there() == [str(id)]
        assert ledger(id) == [("reserve", 2000), ("reserve", 0), ("use", 2000)]
        lab.check()

    def test_waits_where_the_platform_may_be_sent_so_many_changes_a_minute_only(self, lab):
        Pool.objects.update(changes_per_minute=1)
        first, second = lab.ask(4), lab.ask(4)

        lab.advance()
        assert sorted([lab.state(first), lab.state(second)]) == ["active", "binding"]

        lab.clock.forward(seconds=59)
        lab.advance()
        assert Operation.objects.filter(state="confirmed").count() == 1

        lab.clock.forward(seconds=2)
        lab.advance()
        assert lab.state(first) == lab.state(second) == "active"

    def test_is_followed_to_its_end_whatever_the_limit_of_changes(self, lab):
        Pool.objects.update(changes_per_minute=1)
        lab.simulation.knobs(pending_calls=2)
        id = lab.ask(4)

        for _ in range(4):
            lab.advance()
            lab.clock.forward(seconds=1)

        assert lab.state(id) == "active"

    def test_leaves_the_exact_calls_and_the_answer(self, lab):
        id = lab.ask(1)

        lab.advance()

        operation = Operation.objects.get()
        assert (operation.state, operation.attempts, operation.generation) == ("confirmed", 1, 1)
        assert [call["verb"] for call in operation.calls] == ["create", "place"]
        member = Member.objects.get(allocation_id=id)
        assert member.binding["marker"] == operation.target_ref and member.binding["places"][0]["node_ref"]
        target = lab.target()
        assert (target.applied_generation, target.due_at, target.is_unknown, target.trouble) == (1, None, False, None)
        assert AuditEvent.objects.filter(action="allocation.activated", object_id=str(id)).count() == 1

    def test_has_the_very_devices_that_were_chosen_where_the_platform_keeps_to_them(self, hosts):
        id = hosts.ask(3)

        hosts.advance()

        (placed,) = next(iter(hosts.there().values())).placed.values()
        claim = Capacity.objects.get(kind="cards")
        from pools.models import Claim

        of = Claim.objects.get(allocation_id=id)
        devices = Device.objects.in_bulk(claim.device_ids)
        assert [part.path.split("/")[1] for part in placed] == [
            devices[claim.device_ids[position - 1]].ref for position in of.positions
        ]

    def test_joins_others_on_the_object_of_its_node(self, hosts):
        first = hosts.ask(1)
        hosts.advance()
        second = hosts.ask(2)

        hosts.advance()

        target = hosts.target()
        assert (target.generation, target.applied_generation) == (2, 2)
        assert hosts.orders_there() == sorted([str(first), str(second)])
        assert hosts.state(first) == hosts.state(second) == "active"
        hosts.check()

    def test_as_a_gang_is_active_when_every_member_is_carried(self, lab):
        id = lab.ask(4, members=2)

        lab.advance()

        assert lab.state(id) == "active" and lab.orders_there() == [str(id)] * 2 and Target.objects.count() == 2
        lab.check()

    def test_is_ordered_by_the_name_that_its_own_node_tells_the_model_by(self, lab):
        """One pci.ids is older than the other."""
        lab.ask(4, members=2)
        allocations.advance(clock=lab.clock)
        (first, second) = Member.objects.select_related("node")
        Device.objects.filter(node=first.node).update(model_text="H100 by its old name")
        Device.objects.filter(node=second.node).update(model_text="H100 by its new name")

        told = [carried.orders(member.target_id, "installation")[0].model for member in (first, second)]

        assert told == ["H100 by its old name", "H100 by its new name"]


class TestARelease:
    def test_is_free_when_the_platform_confirmed_and_not_before(self, lab):
        id = lab.ask(2)
        lab.advance()

        lab.release(id)

        assert lab.state(id) == "releasing" and lab.orders_there() == [str(id)]
        assert Capacity.objects.filter(claimed_milli__gt=0).exists()

        lab.advance()

        assert lab.state(id) == "released" and lab.there() == {}
        assert Allocation.objects.get(id=id).reason == "user"
        assert ledger(id)[-1] == ("use", 0)
        assert set(Operation.objects.values_list("action", "state")) == {
            ("apply", "confirmed"),
            ("release", "confirmed"),
        }
        lab.check()

    def test_of_one_leaves_the_others_of_its_node_alone(self, hosts):
        kept, given = hosts.ask(1), hosts.ask(1)
        hosts.advance()

        hosts.release(given)
        hosts.advance()

        assert hosts.orders_there() == [str(kept)] and hosts.state(kept) == "active"
        assert hosts.state(given) == "released"
        hosts.check()

    def test_of_what_was_never_ordered_asks_nobody(self, lab):
        id = lab.ask(1)

        lab.release(id)
        allocations.advance(clock=lab.clock)

        assert lab.state(id) == "released" and not Target.objects.exists()
        assert ledger(id) == [("reserve", 1000), ("reserve", 0)]
        lab.check()

    def test_of_what_is_gone_behind_our_back_works(self, lab):
        id = lab.ask(1)
        lab.advance()
        with lab.store.changing() as state:
            state.targets.clear()

        lab.release(id)
        lab.advance()

        assert lab.state(id) == "released"
        lab.check()

    def test_wins_while_the_platform_is_still_at_work(self, lab):
        lab.simulation.knobs(pending_calls=2)
        id = lab.ask(1)
        lab.advance()
        assert lab.state(id) == "binding"

        lab.release(id)
        lab.advance()

        assert lab.state(id) == "released" and lab.there() == {}
        assert ledger(id) == [("reserve", 1000), ("reserve", 0)]
        lab.check()


class TestAPlatformThatTakesNoTimeAnyMore:
    """A simulated pool without latency is asked nothing: what is claimed of it is had at once."""

    @staticmethod
    def takes(lab, latency_ms):
        Pool.objects.update(settings={**lab.pool.settings, "latency_ms": latency_ms})

    def test_is_asked_to_give_back_what_it_was_asked_for(self, lab):
        id = lab.ask(1)
        lab.advance()
        self.takes(lab, 0)

        lab.release(id)
        assert lab.state(id) == "releasing" and lab.orders_there() == [str(id)]

        lab.advance()
        assert lab.state(id) == "released" and not lab.there()
        lab.check()

    def test_is_not_asked_for_what_comes_now_nor_later_to_give_that_back(self, lab):
        self.takes(lab, 0)
        id = lab.ask(1)
        assert lab.state(id) == "active"

        self.takes(lab, 1)
        lab.release(id)
        lab.advance()

        assert lab.state(id) == "released" and not lab.there() and not Target.objects.exists()
