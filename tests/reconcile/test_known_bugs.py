"""Bugs that other control planes had in public while they carried things out, one test each."""

import pytest

from pools.models import Allocation, Capacity, Claim, Member, Node, Operation, SyncRun
from pools.services import allocations as services
from tests.api.tenants import caller
from tests.factories import Clock, person
from tests.reconcile.binding import Lab
from tests.reconcile.far_end import Simulation
from tests.reconcile.invariants import check_sums
from tests.services import at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lab(tmp_path):
    """Two nodes of four cards, and an object for each member."""
    return Lab(tmp_path, Clock(), mode="node", nodes=2)


def later(lab, **delta):
    lab.clock.forward(**(delta or {"seconds": 30}))
    lab.advance()


class TestACreate:
    @pytest.mark.parametrize("code", ["timeout", "truncated", "server_error"])
    def test_that_timed_out_and_succeeded_is_not_made_twice(self, lab, code):
        id = lab.ask(2)
        lab.store.fail(code, call="apply", when="after", times=3)

        lab.advance()
        for _ in range(5):
            later(lab, minutes=2)

        assert lab.state(id) == "active" and lab.orders_there() == [str(id)] and len(lab.there()) == 1
        lab.check()

    def test_elsewhere_comes_only_when_the_old_one_is_gone(self, lab):
        """The new one was made while the old one still ran, and both were billed."""
        id = lab.ask(2)
        lab.store.fail("no_capacity", call="apply", when="after")
        for _ in range(8):
            later(lab)

            assert len(lab.there()) <= 1 and Claim.objects.filter(released_at=None).count() <= 1

        assert lab.state(id) == "active" and Member.objects.filter(allocation_id=id).count() == 1
        lab.check()


class TestADelete:
    def test_of_a_workload_behind_our_back_leaves_no_devices_behind_when_it_is_given_back(self, lab):
        id = lab.ask(2)
        lab.advance()
        with lab.store.changing() as state:
            state.targets.clear()

        lab.release(id)
        lab.advance()

        assert lab.state(id) == "released"
        assert all(row.free_milli == row.total_milli for row in Capacity.objects.filter(kind="cards"))
        lab.check()

    def test_that_timed_out_leaves_no_ghost_beside_the_next_one(self, lab):
        first = lab.ask(4)
        lab.advance()
        lab.release(first)
        lab.store.fail("timeout", call="apply", when="before")
        lab.advance()
        second = lab.ask(4)
        assert Capacity.objects.filter(kind="cards", free_milli=0).count() == 2, "not free while nobody knows"

        for _ in range(4):
            later(lab)

        assert (lab.state(first), lab.state(second)) == ("released", "active")
        assert lab.orders_there() == [str(second)]
        lab.check()


class TestAMessage:
    def test_that_is_delivered_again_after_an_hour_does_nothing(self, lab):
        id = lab.ask(1)
        lab.advance()
        attempts = list(Operation.objects.values_list("id", "attempts", "calls"))

        later(lab, hours=1)

        assert list(Operation.objects.values_list("id", "attempts", "calls")) == attempts
        lab.release(id)
        lab.advance()
        later(lab, hours=1)
        assert lab.state(id) == "released" and lab.there() == {}
        lab.check()


class TestAPlatformThatComesBack:
    def test_finds_nothing_deleted(self, lab):
        """Whoever rejoined was told to carry nothing, because nothing was known of it meanwhile."""
        ids = [lab.ask(1), lab.ask(2)]
        lab.advance()
        before = lab.there()
        lab.store.fail("unreachable", call="identity", times=-1)
        for _ in range(6):
            later(lab, hours=4)
            assert lab.there() == before and {lab.state(id) for id in ids} == {"active"}
        assert Capacity.objects.filter(claimed_milli__gt=0, kind="cards").exists(), "never counted free"

        lab.simulation.heal()
        for _ in range(3):
            later(lab)

        assert lab.orders_there() == sorted(map(str, ids)) and {lab.state(id) for id in ids} == {"active"}
        lab.check()


class TestALease:
    def test_that_ended_while_the_platform_was_away_is_taken_off_when_it_is_back(self, lab):
        id = lab.ask(1, lease_seconds=60)
        lab.advance()
        lab.store.fail("unreachable", call="identity", times=-1)
        lab.clock.forward(seconds=61)
        services.end_leases(now=lab.clock.now)
        lab.advance()
        assert lab.state(id) == "releasing" and lab.orders_there() == [str(id)]
        assert Allocation.objects.get(id=id).ended_at is None

        lab.simulation.heal()
        for _ in range(3):
            later(lab, minutes=1)

        assert lab.state(id) == "released" and lab.there() == {}
        lab.check()


class TestSyncs:
    def test_at_the_same_time_lose_no_hosts(self, tmp_path):
        """Two runs of one platform each took for gone what the other was just writing."""
        clock = Clock()
        both = [Simulation(tmp_path, clock, name, nodes=8) for name in ("one", "two")]
        for _ in range(4):
            at_once.run(*[simulation.run_if_due for simulation in both for _ in range(2)])
            clock.forward(minutes=5)

        assert [len(simulation.refs()) for simulation in both] == [8, 8]
        assert not Node.objects.exclude(missing_since=None).exists()
        assert {run.state for run in SyncRun.objects.all()} == {"succeeded"}
        for simulation in both:
            check_sums(simulation.pool.id)


class TestAPoolThatNobodySaw:
    def test_is_unknown_and_not_empty(self, tmp_path):
        """Until the first observation its status was 0, as if nothing were there."""
        Simulation(tmp_path, Clock())
        root = caller(person("root", "admin"))

        told = root.get("/pools/lab").data

        assert (told["health"], told["observed_at"]) == ("unknown", None)
        assert told["capacity"] == [] and told["stale"]
