"""A pool that died is removed by force: nothing is counted any more, and nobody forgets what it may have left."""

import threading
from datetime import timedelta

import pytest
from django.db import connection

from connectors.contract import Call, Plan
from pools.domain.errors import OrphanWithoutPool, PoolHasLeft, PoolInUse, PoolReachable
from pools.models import (
    Allocation,
    AuditEvent,
    Booking,
    Capacity,
    Claim,
    Member,
    Operation,
    Orphan,
    Pool,
    PoolSync,
    Target,
)
from pools.reconcile import allocations as binding_loop
from pools.reconcile import checks, targets
from pools.selectors import orphans as seen
from pools.selectors import targets as due
from pools.services import binding, drift, orphans, pools, quota_use, sql
from pools.services import targets as turns
from pools.services.targets import TurnLost
from tests.factories import ALICE, EVERYTHING, Clock
from tests.reconcile.binding import Lab, check_ledger
from tests.reconcile.far_end import TOKEN
from tests.reconcile.test_inventory import assert_sums_agree
from tests.reconcile.test_removal import until_one_waits
from tests.services import at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["node", "pool"])
def lab(request, tmp_path):
    return Lab(tmp_path, Clock(), mode=request.param)


@pytest.fixture
def vms(tmp_path):
    return Lab(tmp_path, Clock(), mode="node")


def die(lab):
    """The platform does not answer any more."""
    lab.store.fail("unreachable", times=-1)
    lab.clock.forward(minutes=10)


def remove(lab, force_name="lab"):
    pools.remove(pool_id=lab.pool.id, actor=ALICE, now=lab.clock.now, force_name=force_name)


def again(lab):
    """Register the same far end anew, as a draft that was checked."""
    given = {"fleet": "lab", "state_folder": lab.pool.settings["state_folder"], "nodes": 2, "devices_per_node": 4}
    draft = pools.register(
        name="lab", kind="simulated", settings=given | {"models": "NVIDIA H100 80GB HBM3"}, credential={"token": TOKEN},
        mode="node", actor=ALICE, now=lab.clock.now,
    )  # fmt: skip
    checks.run(pool_id=draft.id, clock=lab.clock)
    return Pool.objects.get(id=draft.id)


def left():
    return seen.page(params={}, cursor=None, limit=50, access=EVERYTHING).rows


class TestAForcedRemoval:
    def test_ends_allocations_as_lost_and_frees_what_they_held(self, lab):
        active = lab.ask(2)
        lab.advance()
        binding, leaving = lab.ask(1), active
        die(lab)
        lab.release(leaving)
        lab.advance()
        assert (lab.state(binding), lab.state(leaving)) == ("binding", "releasing")

        remove(lab)

        ended = Allocation.objects.all()
        assert {(each.state, each.reason) for each in ended} == {("released", "lost")}
        assert not Claim.objects.filter(released_at=None).exists()
        lab.quota.refresh_from_db()
        assert lab.quota.used_milli == 0
        assert sum(row.claimed_milli + row.total_milli for row in Capacity.objects.all()) == 0
        check_ledger(lab.pool.id)
        assert_sums_agree()
        told = AuditEvent.objects.filter(action="allocation.lost", object_id__in=[str(binding), str(leaving)])
        assert {row.before["state"] for row in told} == {"binding", "releasing"} and told.count() == 2
        assert not Operation.objects.filter(state__in=("planned", "sent", "unknown")).exists()

    def test_lists_what_may_be_left_and_not_what_was_never_sent(self, lab):
        sent = lab.ask(2)
        lab.advance()
        lab.ask(1)
        die(lab)

        remove(lab)

        (row,) = left()
        assert (row.allocation, row.origin, row.state, row.pool, row.milli) == (sent, "left", "open", "lab", 2000)
        assert not Member.objects.exclude(order_state__in=("gone", None)).filter(order_state__isnull=False).exists()
        assert not due.is_anything_due(lab.clock.now + timedelta(days=1)) and due.due_pools(lab.clock.now) == []

    def test_lists_what_was_sent_before_it_was_tried_again(self, vms):
        """Nobody knows of the first attempt whether it is gone, and the second one was never sent."""
        vms.store.fail("rejected", call="apply", when="after")
        id = vms.ask(1)
        vms.advance()
        assert vms.state(id) == "needs_attention"
        binding.retry(allocation_id=id, actor=ALICE, now=vms.clock.now)
        assert Operation.objects.latest("id").attempts == 0
        die(vms)

        remove(vms)

        assert [(row.allocation, row.milli) for row in left()] == [(id, 1000)]

    def test_sees_what_a_worker_is_about_to_send(self, vms, monkeypatch):
        """What is listed is read when nobody can write down any more that something is sent."""
        vms.ask(1)
        binding_loop.advance(clock=vms.clock)
        turn = turns.take_turn(pool_id=vms.pool.id, installation="i", now=vms.clock.now)
        die(vms)
        run, began = sql.run, []

        def beside(cursor, name, params=None):
            if name == "pool_left":
                began.append(name)
                for number, statement in enumerate(sql.statements(name)):
                    cursor.execute(statement, params)
                    if not number:
                        worker.start()
                        until_one_waits(worker)
            else:
                run(cursor, name, params)

        told = []

        def send():
            try:
                turns.note_sending(turn, Plan(calls=()), now=vms.clock.now)
            except TurnLost as lost:
                told.append(lost)
            finally:
                connection.close()

        worker = threading.Thread(target=send)
        monkeypatch.setattr(sql, "run", beside)

        remove(vms)

        worker.join(20)
        assert began and len(told) == 1 and not left()
        assert not Operation.objects.filter(attempts__gt=0).exists()

    def test_ends_what_was_claimed_while_it_began(self, vms, monkeypatch):
        """A claim that commits after the pool's allocations were read, and before its capacity is locked."""
        first, late = vms.ask(1), []
        die(vms)
        locked = quota_use.locked

        def overtaken(asks, **more):
            if not late:
                late.append(None)
                late[:] = at_once.run(lambda: (vms.ask(1), PoolSync.objects.update(observed_at=None))[0])
            return locked(asks, **more)

        monkeypatch.setattr(quota_use, "locked", overtaken)

        remove(vms)

        assert [vms.state(id) for id in (first, *late)] == ["released"] * 2
        assert not Claim.objects.filter(released_at=None).exists()
        assert sum(row.claimed_milli for row in Capacity.objects.all()) == 0
        vms.quota.refresh_from_db()
        assert vms.quota.used_milli == 0

    def test_ends_what_was_promised_of_it(self, vms):
        id = vms.ask(1, start_at=vms.clock.now + timedelta(hours=1), lease_seconds=3600)
        vms.ask(1)
        assert Booking.objects.exists()
        die(vms)

        remove(vms)

        assert vms.state(id) == "released" and not Booking.objects.exists()

    def test_lets_nobody_work_on_what_is_left(self, vms):
        """Neither on an orphan that was asked to be taken away, nor on what is compared at this moment."""
        vms.ask(1)
        vms.advance()
        Target.objects.create(pool=vms.pool, kind="vm", ref="oc-z", mode="node", created_at=vms.clock.now,
                              due_at=vms.clock.now)  # fmt: skip
        vms.clock.forward(minutes=20)
        vms.simulation.sync_now()
        compared = drift.next_target(pool_id=vms.pool.id, installation="i", now=vms.clock.now)
        die(vms)

        remove(vms)

        assert not Target.objects.filter(due_at__isnull=False).exists()
        assert not due.is_anything_due(vms.clock.now + timedelta(days=1))
        assert drift.store(compared, (Call(verb="PUT", object="x"),), now=vms.clock.now) is None

    def test_needs_its_name_and_a_platform_that_does_not_answer(self, vms):
        vms.ask(1)
        vms.advance()

        with pytest.raises(PoolInUse):
            remove(vms, None)
        with pytest.raises(PoolReachable):
            remove(vms)

        assert Allocation.objects.get().state == "active" and not Orphan.objects.exists()

    def test_takes_the_turn_from_a_worker_that_is_at_it(self, vms):
        vms.ask(1)
        binding_loop.advance(clock=vms.clock)
        turn = turns.take_turn(pool_id=vms.pool.id, installation="i", now=vms.clock.now)
        die(vms)

        remove(vms)

        assert Target.objects.get().turn_token is None and turn is not None
        assert targets.run(pool_id=vms.pool.id, clock=vms.clock) == 0


class TestTheSamePlatformRegisteredAgain:
    @pytest.fixture
    def back(self, vms):
        """It was removed while dead, and lives again with what it carried."""
        vms.lost = vms.ask(1)
        vms.advance()
        die(vms)
        remove(vms)
        vms.simulation.heal()
        return vms

    def test_is_refused_until_what_is_left_is_decided(self, back):
        draft = again(back)

        with pytest.raises(PoolHasLeft) as refused:
            pools.activate(pool_id=draft.id, actor=ALICE, now=back.clock.now)

        assert "1 things" in str(refused.value)
        orphans.reap(orphan_id=left()[0].id, actor=ALICE, now=back.clock.now)
        pools.activate(pool_id=draft.id, actor=ALICE, now=back.clock.now)
        assert not left() and Orphan.objects.get().outcome == "reaped"

    def test_takes_over_what_is_left_and_its_sync_sees_whether_it_is_there(self, back):
        with pytest.raises(OrphanWithoutPool):
            orphans.adopt(orphan_id=left()[0].id, actor=ALICE, now=back.clock.now)
        draft = again(back)
        orphans.adopt(orphan_id=left()[0].id, actor=ALICE, now=back.clock.now)
        assert left()[0].opened_at == back.clock.now, "with its time of grace anew"
        pools.activate(pool_id=draft.id, actor=ALICE, now=back.clock.now)

        back.simulation.pool = draft
        back.simulation.sync_now()

        (row,) = left()
        assert (row.pool_id, row.origin, row.allocation) == (draft.id, "seen", back.lost)
        assert sum(each.shadow_milli for each in Capacity.objects.filter(pool=draft, kind="cards")) == 1000
        back.clock.forward(minutes=20)
        orphans.reap(orphan_id=row.id, actor=ALICE, now=back.clock.now)
        for _ in range(2):
            targets.run(pool_id=draft.id, clock=back.clock)
        back.simulation.sync_now()
        assert not left() and not back.there()

    def test_sees_that_nothing_was_left(self, back):
        with back.store.changing() as state:
            state.targets.clear()
        draft = again(back)
        orphans.adopt(orphan_id=left()[0].id, actor=ALICE, now=back.clock.now)
        pools.activate(pool_id=draft.id, actor=ALICE, now=back.clock.now)

        back.simulation.pool = draft
        back.simulation.sync_now()

        assert not left() and Orphan.objects.get().outcome == "gone"
