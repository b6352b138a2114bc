"""A platform that goes away and comes back, hardware that dies in use, credentials that change meanwhile."""

import pytest

from connectors.contract import UseFact
from pools.domain.actors import Actor
from pools.models import (
    Allocation,
    AuditEvent,
    Capacity,
    Credential,
    Device,
    InventoryChange,
    Node,
    Operation,
    SyncRun,
    Target,
)
from pools.reconcile import checks
from pools.services import allocations, pools, sync_runs
from tests.factories import ALICE, Clock, granted
from tests.reconcile.binding import Lab, check_ledger
from tests.reconcile.far_end import Simulation

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["device", "node"])
def lab(request, tmp_path):
    return Lab(tmp_path, Clock(), mode=request.param)


def another_pool(lab, folder):
    """Make another pool that has room for everything."""
    more = Simulation(folder, lab.clock, "other", nodes=2, devices_per_node=4, models="NVIDIA H100 80GB HBM3")
    more.run_if_due()
    granted(more.pool, lab.project)


def go_away(lab):
    lab.store.fail("unreachable", times=-1)


def later(lab, **delta):
    lab.clock.forward(**delta)
    lab.advance()


class TestAPlatformThatIsAway:
    def test_leaves_what_was_sent_unknown_and_nothing_is_tried_elsewhere(self, lab, tmp_path):
        released = lab.ask(1)
        lab.advance()
        lab.store.fail("timeout", call="apply", when="after")
        sent = lab.ask(1)
        lab.advance()
        go_away(lab)
        another_pool(lab, tmp_path)
        lab.release(released)

        for _ in range(5):
            later(lab, minutes=20)

        assert Operation.objects.filter(allocation=sent, action="apply").latest("id").state == "unknown"
        assert (lab.state(sent), lab.state(released)) == ("binding", "releasing")
        assert set(Allocation.objects.values_list("pool_id", flat=True)) == {lab.pool.id}
        assert sum(row.claimed_milli for row in Capacity.objects.filter(kind="cards")) == 2000, "never counted free"

        lab.simulation.heal()
        for _ in range(2):
            later(lab, minutes=20)

        assert (lab.state(sent), lab.state(released)) == ("active", "released")
        assert lab.orders_there() == [str(sent)]
        check_ledger(lab.pool.id)

    def test_keeps_what_has_a_lease_that_ended_until_it_is_certain(self, lab):
        id = lab.ask(1, lease_seconds=600)
        lab.advance()
        go_away(lab)
        lab.clock.forward(minutes=11)
        allocations.end_leases(now=lab.clock.now)

        later(lab, minutes=20)

        assert lab.state(id) == "releasing"
        assert sum(row.claimed_milli for row in Capacity.objects.filter(kind="cards")) == 1000
        lab.simulation.heal()
        later(lab, minutes=20)
        assert lab.state(id) == "released" and lab.orders_there() == []
        lab.check()

    def test_comes_back_with_one_run_that_tells_what_became_different_and_deletes_nothing(self, lab):
        id = lab.ask(2)
        lab.advance()
        lab.simulation.sync_now()
        before = lab.there()
        go_away(lab)
        for _ in range(6):
            lab.clock.forward(minutes=20)
            lab.simulation.run_if_due()
        failed = SyncRun.objects.filter(pool=lab.pool, state="failed")
        assert failed.count() == 6 and lab.simulation.sync.health == "unknown"
        lab.simulation.heal()
        used = {placed.path for target in before.values() for places in target.placed.values() for placed in places}
        idle = next(
            f"{each.node.ref}/{each.ref}"
            for each in Device.objects.select_related("node").order_by("ref")
            if f"{each.node.ref}/{each.ref}" not in used
        )
        with lab.store.changing() as state:
            state.world.uses[idle] = UseFact(holder="somebody", milli=1000)
        runs = SyncRun.objects.count()

        lab.clock.forward(minutes=20)
        run = lab.simulation.run_if_due()
        later(lab, minutes=1)

        assert run.state == "succeeded" and SyncRun.objects.count() == runs + 1
        assert (run.missing, run.retired) == (0, 0)
        (change,) = InventoryChange.objects.filter(run_id=run.id)
        assert (change.action, change.after) == ("changed", {"shadow_milli": 1000})
        assert lab.there() == before and lab.state(id) == "active"
        assert Target.objects.filter(due_at__isnull=False).count() == 0
        lab.check()


class TestHardwareUnderAnAllocation:
    def path(self, lab, id):
        (places,) = [
            placed
            for target in lab.there().values()
            for marker, placed in target.placed.items()
            if target.orders[marker].allocation == str(id)
        ]
        return places[0].path

    def told(self, id):
        found = AuditEvent.objects.filter(object_id=str(id), action__in=("allocation.faulty", "allocation.well_again"))
        return [(row.action.partition(".")[2], row.after["reason"]) for row in found.order_by("id")]

    def observed(self, lab):
        lab.clock.forward(minutes=1)
        return lab.simulation.sync_now()

    @pytest.fixture
    def two(self, lab):
        """Two allocations in use, seen by a sync."""
        ids = [lab.ask(1), lab.ask(1)]
        lab.advance()
        self.observed(lab)
        return ids

    def test_that_fails_is_told_to_whoever_has_it_once_and_when_it_is_well_again(self, lab, two):
        id, untouched = two
        path = self.path(lab, id)
        with lab.store.changing() as state:
            state.world.health[path] = "XID 79"

        for _ in range(3):
            self.observed(lab)

        found = Allocation.objects.get(id=id)
        assert (found.state, found.reason) == ("active", "device_faulty")
        assert self.told(id) == [("faulty", "device_faulty")]
        assert self.told(untouched) == [] and Allocation.objects.get(id=untouched).reason == ""
        row = AuditEvent.objects.get(object_id=str(id), action="allocation.faulty")
        assert row.project_id == lab.project.pk and row.after == {"reason": "device_faulty", "places": 1}

        with lab.store.changing() as state:
            state.world.health[path] = ""
        for _ in range(2):
            self.observed(lab)

        assert self.told(id) == [("faulty", "device_faulty"), ("well_again", "")]
        assert Allocation.objects.get(id=id).reason == ""

    def test_whose_node_is_down_is_told_with_that(self, lab, two):
        id = two[0]
        with lab.store.changing() as state:
            state.world.off = {self.path(lab, id).partition("/")[0]}

        self.observed(lab)

        assert self.told(id) == [("faulty", "node_unavailable")]

    def test_that_is_gone_waits_for_a_person_and_is_told_then(self, lab, two):
        id = two[0]
        ref = self.path(lab, id).partition("/")[0]
        with lab.store.changing() as state:
            state.world.gone = {ref}
        run = self.observed(lab)
        assert run.state == "held" and run.hold["reason"] == "claimed" and self.told(id) == []

        sync_runs.approve(run_id=run.id, actor=ALICE, now=lab.clock.now)
        self.observed(lab)

        assert self.told(id) == [("faulty", "node_missing")]
        assert Node.objects.get(ref=ref).retired_at is None, "a claim is on it"

    def test_says_nothing_to_what_is_over_and_goes_with_the_release(self, lab, two):
        id = two[0]
        with lab.store.changing() as state:
            state.world.health[self.path(lab, id)] = "XID 79"
        self.observed(lab)

        lab.release(id)
        lab.advance()
        self.observed(lab)

        found = Allocation.objects.get(id=id)
        assert (found.state, found.reason) == ("released", "user") and len(self.told(id)) == 1


class TestANewCredential:
    def give(self, lab, token):
        pools.replace_credential(
            pool_id=lab.pool.id, values={"token": token}, actor=Actor(name="alice"), now=lab.clock.now
        )

    def test_takes_over_between_two_calls_while_operations_are_in_flight(self, lab):
        lab.store.fail("timeout", call="apply", when="after")
        id = lab.ask(1)
        lab.advance()
        assert lab.target().is_unknown

        self.give(lab, "another-and-secret")
        later(lab, minutes=1)
        assert lab.state(id) == "active", "with the one that is still active"
        released = lab.ask(1)
        lab.advance()
        checks.run(pool_id=lab.pool.id, clock=lab.clock)
        assert Credential.objects.filter(pool=lab.pool, state="pending").count() == 0
        lab.release(released)
        lab.advance()

        assert lab.state(released) == "released" and lab.orders_there() == [str(id)]
        lab.check()

    def test_that_is_refused_disturbs_nothing(self, lab):
        lab.store.fail("timeout", call="apply", when="after")
        id = lab.ask(1)
        lab.advance()

        self.give(lab, "wrong-and-secret")
        checks.run(pool_id=lab.pool.id, clock=lab.clock)
        later(lab, minutes=1)

        assert lab.state(id) == "active" and lab.orders_there() == [str(id)]
        assert Credential.objects.get(pool=lab.pool, state="refused").problem
        lab.check()
