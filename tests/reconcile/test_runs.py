"""Runs: who asks for them, when they are due, whose turn it is, and how they end."""

import threading
import time
from datetime import timedelta
from itertools import pairwise

import pytest
from django.db import DataError, OperationalError, connection, connections

from connectors.contract import Last, Transient
from pools.domain import schedule
from pools.domain.errors import PoolMissing, PoolNotSynced, RunNotHeld
from pools.domain.observation import Sight
from pools.models import AuditEvent, InventoryChange, Node, PoolSync, SyncRun
from pools.reconcile import heartbeat, inventory, sweep
from pools.selectors import due
from pools.services import pools, sync_runs, turns
from pools.services.inventory import Merge
from pools.services.models import Resolver
from pools.services.turns import TurnLost
from tests.factories import NOW, Clock, Shows, holding, node, pool, synced
from tests.reconcile.far_end import ALICE, Simulation

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def lab(tmp_path, clock):
    return Simulation(tmp_path, clock)


def ask(pool_id, clock, **more):
    return sync_runs.request(pool_id=pool_id, actor=ALICE, now=clock(), **more)


def changes(of, action):
    return InventoryChange.objects.filter(pool_id=of.id, action=action)


def together(*works):
    """Run these at once, each in a thread with a connection of its own; return what they return."""
    results = [None] * len(works)
    start = threading.Barrier(len(works))

    def run(place, work):
        try:
            start.wait()
            results[place] = work()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


class TestARequest:
    def test_twice_while_one_waits_is_that_one(self, lab, clock):
        lab.sync_now()

        asked = {ask(lab.pool.id, clock) for _ in range(5)}

        assert len(asked) == 1 and SyncRun.objects.filter(state="queued").count() == 1
        assert AuditEvent.objects.filter(action="pool.sync", object_id=str(lab.pool.id)).count() == 6

    def test_of_many_people_at_once_is_one(self, lab, clock):
        asked = together(*[lambda: ask(lab.pool.id, clock)] * 6)

        assert len(set(asked)) == 1

    def test_for_a_dry_run_is_another_than_for_a_real_one(self, lab, clock):
        assert ask(lab.pool.id, clock) != ask(lab.pool.id, clock, is_dry_run=True)

    def test_during_a_run_makes_one_follow_up_that_then_runs(self, lab, clock):
        turn = turns.take(pool_id=lab.pool.id, now=clock())

        asked = {ask(lab.pool.id, clock) for _ in range(3)}
        during = lab.run_if_due()
        inventory.observe(turn, Shows(), clock=clock)
        after = lab.run_if_due()

        assert during is None, "the turn is taken"
        assert asked == {after.id} and (after.trigger, after.state) == ("follow_up", "succeeded")
        assert lab.run_if_due() is None, "and no other one follows"

    def test_passes_the_open_breaker(self, lab, clock):
        PoolSync.objects.update(consecutive_failures=5, next_at=NOW + timedelta(minutes=15),
                                breaker_open_until=NOW + timedelta(minutes=15))  # fmt: skip
        assert lab.run_if_due() is None

        run = lab.sync_now()

        assert run.state == "succeeded" and lab.sync.breaker_open_until is None
        assert lab.sync.consecutive_failures == 0

    def test_for_a_paused_pool_is_refused_unless_it_is_dry(self, lab, clock):
        pools.pause(pool_id=lab.pool.id, actor=ALICE, now=clock())

        with pytest.raises(PoolNotSynced):
            ask(lab.pool.id, clock)

        assert lab.sync_now(is_dry_run=True).state == "succeeded" and not Node.objects.exists()

    def test_for_a_draft_can_only_be_dry(self, tmp_path, clock):
        draft = Simulation(tmp_path, clock, is_active=False)

        with pytest.raises(PoolNotSynced):
            ask(draft.pool.id, clock)

        run = draft.sync_now(is_dry_run=True)
        assert run.state == "succeeded" and len(run.preview) == 8 and not Node.objects.exists()

    def test_for_a_removed_pool_finds_none(self, lab, clock):
        pools.remove(pool_id=lab.pool.id, actor=ALICE, now=clock())

        with pytest.raises(PoolMissing):
            ask(lab.pool.id, clock)

    def test_that_waits_when_the_pool_is_paused_ends_without_a_look(self, lab, clock):
        run_id = ask(lab.pool.id, clock)
        pools.pause(pool_id=lab.pool.id, actor=ALICE, now=clock())

        assert lab.run_if_due() is None

        run = SyncRun.objects.get(id=run_id)
        assert (run.state, run.error["code"]) == ("failed", "pool.not_synced")
        assert due.runs(clock()) == [] and not Node.objects.exists()


class TestTheSchedule:
    def test_runs_a_new_pool_at_once_and_then_every_interval(self, lab, clock):
        first, too_soon = lab.run_if_due(), lab.run_if_due()

        assert first.state == "succeeded" and too_soon is None
        wait = (lab.sync.next_at - clock()).total_seconds()
        assert 54 <= wait <= 66, "a minute, give or take the jitter"
        clock.forward(seconds=wait)
        assert lab.run_if_due().trigger == "schedule"

    def test_backs_off_opens_the_breaker_after_five_failures_and_closes_it_on_success(self, lab, clock):
        lab.knobs(unreachable_after_observations=0)
        waits, opened = [], []

        for _ in range(6):
            run = lab.run_if_due()
            assert (run.state, run.error["code"]) == ("failed", "unreachable")
            waits.append((lab.sync.next_at - clock()).total_seconds())
            opened.append(lab.sync.breaker_open_until is not None)
            clock.now = lab.sync.next_at

        assert waits == [pytest.approx(seconds, rel=0.11) for seconds in (60, 120, 240, 480, 900, 900)]
        assert opened == [False] * 4 + [True] * 2
        lab.heal()
        assert lab.run_if_due().state == "succeeded"
        assert (lab.sync.consecutive_failures, lab.sync.breaker_open_until, lab.sync.health) == (0, None, "online")

    def test_tells_health_by_failures(self, lab, clock):
        lab.knobs(unreachable_after_observations=0)
        healths = []

        for _ in range(3):
            lab.run_if_due()
            healths.append(lab.sync.health)
            clock.now = lab.sync.next_at

        assert healths == ["degraded", "degraded", "unknown"] and "cannot be reached" in lab.sync.health_reason

    def test_waits_as_long_as_the_platform_asks(self, clock):
        made = pool()
        throttled = Shows(node("a"))
        throttled.error = Transient("Slow down.", code="throttled", after_seconds=700)
        turn = turns.take(pool_id=made.id, now=clock())

        inventory._end_badly(turn, clock(), throttled.error)

        assert PoolSync.objects.get(pool=made).next_at == clock() + timedelta(seconds=700)

    def test_leaves_a_paused_pool_alone_and_takes_it_up_again(self, lab, clock):
        pools.pause(pool_id=lab.pool.id, actor=ALICE, now=clock())
        clock.forward(hours=1)
        assert due.runs(clock()) == [] and lab.run_if_due() is None

        pools.resume(pool_id=lab.pool.id, actor=ALICE, now=clock())

        assert due.runs(clock()) == [(lab.pool.id, "simulated")] and lab.run_if_due().state == "succeeded"

    @pytest.mark.parametrize("state", ["drain", "maintenance"])
    def test_goes_on_while_a_pool_takes_nothing_new(self, lab, clock, state):
        getattr(pools, state)(pool_id=lab.pool.id, actor=ALICE, now=clock())

        assert lab.run_if_due().state == "succeeded"

    def test_forgets_what_it_planned_when_the_pool_is_edited_during_a_run(self, lab, clock):
        turn = turns.take(pool_id=lab.pool.id, now=clock())
        clock.forward(seconds=5)
        pools.edit(pool_id=lab.pool.id, changes={"settings": {"nodes": 3}}, generation=None, actor=ALICE, now=clock())

        inventory.observe(turn, Shows(node("a"), last=Last(complete=True, cursor={"of": "before"})), clock=clock)

        assert lab.sync.cursor is None, "the cursor of the old settings is not kept"
        assert due.runs(clock()) == [(lab.pool.id, "simulated")], "what was edited is looked at now"

    def test_does_not_put_a_pool_back_that_was_paused_during_a_run(self, lab, clock):
        turn = turns.take(pool_id=lab.pool.id, now=clock())
        pools.pause(pool_id=lab.pool.id, actor=ALICE, now=clock())

        inventory.observe(turn, Shows(node("a")), clock=clock)

        assert lab.sync.next_at is None


class TestATurn:
    def test_is_taken_once_by_many_at_once(self, lab, clock):
        taken = together(*[lambda: turns.take(pool_id=lab.pool.id, now=clock())] * 8)

        assert sum(turn is not None for turn in taken) == 1 and SyncRun.objects.count() == 1

    def test_lets_one_of_two_runs_merge(self, lab, clock):
        ran = together(*[lambda: inventory.run(pool_id=lab.pool.id, clock=clock)] * 2)

        assert sum(run_id is not None for run_id in ran) == 1
        assert SyncRun.objects.get().state == "succeeded"
        assert changes(lab.pool, "created").count() == 8

    def test_of_a_dead_worker_is_free_after_45_seconds_and_its_run_has_failed(self, lab, clock):
        dead = turns.take(pool_id=lab.pool.id, now=clock())
        clock.forward(seconds=44)
        assert lab.run_if_due() is None and due.runs(clock()) == []

        clock.forward(seconds=1)
        assert due.runs(clock()) == [(lab.pool.id, "simulated")]
        run = lab.run_if_due()

        left = SyncRun.objects.get(id=dead.run_id)
        assert (left.state, left.error["code"], left.ended_at) == ("failed", "worker_lost", clock())
        assert "next run goes on" in left.error["message"] and run.state == "succeeded"

    @pytest.mark.parametrize("is_dry_run", [True, False])
    def test_of_a_dead_worker_ends_also_when_nothing_else_is_due(self, lab, clock, is_dry_run):
        lab.sync_now()
        run_id = ask(lab.pool.id, clock, is_dry_run=is_dry_run)
        turns.take(pool_id=lab.pool.id, now=clock())
        PoolSync.objects.update(next_at=clock() + timedelta(hours=1))
        clock.forward(seconds=45)

        assert due.runs(clock()) == [(lab.pool.id, "simulated")]
        again = lab.run_if_due()

        assert SyncRun.objects.get(id=run_id).error["code"] == "worker_lost"
        assert (again is None) == is_dry_run, "a real one is repeated at once, a dry one when somebody asks"
        assert due.runs(clock()) == [] and lab.sync.turn_token is None

    def test_of_a_pool_that_kills_its_workers_is_taken_less_and_less_often(self, lab, clock):
        deaths = []

        for _ in range(90):
            if turns.take(pool_id=lab.pool.id, now=clock()) is not None:
                deaths.append(clock())
            clock.forward(minutes=1)

        pauses = [(later - earlier).total_seconds() / 60 for earlier, later in pairwise(deaths)]
        assert pauses[0] == 1 and pauses[:4] == sorted(pauses[:4]) and min(pauses[4:]) >= 14
        assert lab.sync.consecutive_failures >= schedule.FAILURES_TO_OPEN

    def test_is_kept_by_heartbeats_while_a_platform_is_slow(self, lab, monkeypatch):
        monkeypatch.setattr(turns, "TURN_SECONDS", 1.0)
        monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.1)
        lab.knobs(latency_ms=500)  # before each of four pages
        began = time.monotonic()
        running = threading.Thread(
            target=lambda: (inventory.run(pool_id=lab.pool.id, clock=_now), connections.close_all())
        )

        running.start()
        while not SyncRun.objects.filter(state="running").exists():
            time.sleep(0.02)
        others = []
        while running.is_alive():
            others.append(turns.take(pool_id=lab.pool.id, now=_now()))
            time.sleep(0.1)

        assert time.monotonic() - began > 1.5 and len(others) > 10, "the run outlived the turn it took"
        assert not any(others) and SyncRun.objects.get().state == "succeeded"

    def test_that_is_lost_writes_nothing_more(self, clock):
        made = pool()
        fleet = [node(f"n{number}") for number in range(8)]
        synced(made, Shows(*fleet), clock)
        PoolSync.objects.update(next_at=clock())
        slow = turns.take(pool_id=made.id, now=clock())
        clock.forward(seconds=46)
        other = turns.take(pool_id=made.id, now=clock())
        inventory.observe(other, Shows(*fleet), clock=clock)
        before = _rows()

        with pytest.raises(TurnLost):
            inventory.observe(slow, Shows(node("n0", devices=3), node("new")), clock=clock)
        with pytest.raises(TurnLost):
            inventory.observe(slow, Shows(), clock=clock)

        assert _rows() == before
        assert SyncRun.objects.get(id=slow.run_id).error["code"] == "worker_lost"

    def test_is_not_made_shorter_by_what_the_run_writes_last(self, clock, monkeypatch):
        made, real, instants = pool(), turns.keep, []
        fleet = [node(f"n{number:02}") for number in range(40)]
        synced(made, Shows(*fleet), clock)

        def kept(turn, *, now):
            real(turn, now=now)
            instants.append(now)
            clock.forward(seconds=20)

        monkeypatch.setattr(turns, "keep", kept)
        monkeypatch.setattr("pools.services.inventory.BATCH_NODES", 1)

        run = synced(made, Shows(*fleet[:36]), clock)

        assert run.missing == 12 and len(instants) == 4
        assert instants == [NOW + timedelta(seconds=20 * number) for number in range(4)] and run.ended_at == clock()

    def test_of_a_removed_pool_is_lost(self, clock):
        made = pool()
        turn = turns.take(pool_id=made.id, now=clock())
        pools.remove(pool_id=made.id, actor=ALICE, now=clock())

        with pytest.raises(TurnLost):
            inventory.observe(turn, Shows(node("a")), clock=clock)

        assert not Node.objects.exists() and SyncRun.objects.get().error["code"] == "pool.removed"


class TestASoftStop:
    def test_ends_a_run_between_two_pages_and_keeps_what_was_merged(self, lab, clock, monkeypatch):
        monkeypatch.setattr(inventory, "BATCH_NODES", 2)
        asked = iter([False, False, True])

        inventory.run(pool_id=lab.pool.id, clock=clock, should_stop=lambda: next(asked))

        run = SyncRun.objects.get()
        assert (run.state, run.error["code"]) == ("failed", "stopped") and Node.objects.count() == 4
        assert (lab.sync.next_at, lab.sync.consecutive_failures, lab.sync.health) == (clock(), 0, "unknown")
        again = lab.run_if_due()
        assert (again.state, again.created, again.unchanged) == ("succeeded", 20, 20)


class TestAHeldRun:
    @pytest.fixture
    def fleet(self):
        return [node(f"n{number:02}") for number in range(40)]

    @pytest.fixture
    def made(self, clock, fleet):
        made = pool()
        synced(made, Shows(*fleet), clock)
        return made

    def held(self, made, clock, *rest):
        run = synced(made, Shows(*rest), clock)
        assert run.state == "held"
        return run

    def test_that_is_approved_marks_its_nodes_missing_and_later_runs_retire_them(self, made, clock, fleet):
        run = self.held(made, clock, *fleet[:10])

        done = sync_runs.approve(run_id=run.id, actor=ALICE, now=clock())

        assert (done.state, done.decided_by, done.missing) == ("succeeded", "alice", 90)
        assert Node.objects.exclude(missing_since=None).count() == 30
        for _ in range(3):
            clock.forward(minutes=6)
            again = synced(made, Shows(*fleet[:10]), clock)
            assert again.state == "succeeded", "what was approved is not asked again"
        assert Node.objects.filter(retired_at=None).count() == 10

    def test_of_many_cards_that_is_approved_is_not_held_again(self, made, clock, fleet):
        less = [holding(fact.name, fact.devices[0]) for fact in fleet]
        run = self.held(made, clock, *less)
        assert run.hold == {"reason": "many_devices", "nodes": 0, "devices": 40}
        assert not changes(made, "missing").exists()

        sync_runs.approve(run_id=run.id, actor=ALICE, now=clock())
        again = synced(made, Shows(*less), clock)

        assert again.state == "succeeded" and changes(made, "missing").count() == 40

    def test_of_many_cards_stays_held_though_their_nodes_look_the_same_at_the_next_run(self, made, clock, fleet):
        less = [holding(fact.name, fact.devices[0]) for fact in fleet]
        run = self.held(made, clock, *less)

        again = synced(made, Shows(*less), clock)

        run.refresh_from_db()
        assert run.state == "held" and str(run.id) in again.warnings[0]
        assert PoolSync.objects.get().health == "degraded"

    def test_that_is_rejected_leaves_everything_as_it_was(self, made, clock, fleet):
        run = self.held(made, clock)

        done = sync_runs.reject(run_id=run.id, actor=ALICE, now=clock())

        assert (done.state, done.decided_by) == ("rejected", "alice")
        assert Node.objects.filter(missing_since=None).count() == 40
        sync = PoolSync.objects.get()
        assert (sync.held_run_id, sync.unseen, sync.health) == (None, None, "online")

    def test_is_decided_once(self, made, clock):
        run = self.held(made, clock)
        sync_runs.approve(run_id=run.id, actor=ALICE, now=clock())

        with pytest.raises(RunNotHeld):
            sync_runs.reject(run_id=run.id, actor=ALICE, now=clock())

    def test_is_decided_once_by_two_people_at_once(self, made, clock):
        run = self.held(made, clock)

        def decide(how):
            try:
                return how(run_id=run.id, actor=ALICE, now=clock()).state
            except RunNotHeld:
                return None

        decided = together(lambda: decide(sync_runs.approve), lambda: decide(sync_runs.reject))

        assert len([state for state in decided if state]) == 1
        assert SyncRun.objects.get(id=run.id).state in decided

    def test_that_is_approved_marks_only_what_no_run_has_seen_since(self, made, clock, fleet):
        run = self.held(made, clock, *fleet[:10])
        synced(made, Shows(*fleet[:25], last=Last(complete=False, incomplete_because="the rest timed out")), clock)

        sync_runs.approve(run_id=run.id, actor=ALICE, now=clock())

        names = Node.objects.exclude(missing_since=None).values_list("name", flat=True)
        assert set(names) == {fact.name for fact in fleet[25:]}

    def test_that_is_approved_while_a_run_goes_on_is_not_held_again_by_it(self, made, clock, fleet):
        held = self.held(made, clock, *fleet[:10])
        PoolSync.objects.update(next_at=clock())
        turn = turns.take(pool_id=made.id, now=clock())

        class ApprovedMeanwhile(Shows):
            def observe(self, cursor):
                for page in super().observe(cursor):
                    yield page
                    if page.nodes and page.nodes[0].name == "n00":
                        sync_runs.approve(run_id=held.id, actor=ALICE, now=clock())

        inventory.observe(turn, ApprovedMeanwhile(*fleet[:10]), clock=clock)

        assert SyncRun.objects.get(id=turn.run_id).state == "succeeded"
        assert set(Node.objects.exclude(missing_since=None).values_list("misses", flat=True)) == {2}

    def test_is_approved_while_merges_go_on_without_waiting_in_a_ring(self, made, clock, fleet):
        held = self.held(made, clock, *fleet[:10])
        PoolSync.objects.update(next_at=clock())
        turn = turns.take(pool_id=made.id, now=clock())
        merge = Merge(turn=turn, sight=Sight(recorded={}), resolver=Resolver(now=clock()))
        has_lock, may_go_on = threading.Event(), threading.Event()

        def merging():
            with merge._transaction(clock()):
                has_lock.set()
                may_go_on.wait()

        def approving():
            has_lock.wait()
            threading.Timer(0.3, may_go_on.set).start()
            return sync_runs.approve(run_id=held.id, actor=ALICE, now=clock()).state

        decided, _ = together(approving, merging)

        assert decided == "succeeded"

    def test_of_a_far_end_that_tells_only_changes_waits_though_it_is_not_told_again(self, made, clock, fleet):
        first = Shows(is_full=False)
        first.gone = tuple(fact.ref for fact in fleet[10:])
        held = synced(made, first, clock)
        assert held.state == "held"

        synced(made, Shows(is_full=False), clock)
        assert SyncRun.objects.get(id=held.id).state == "held"
        sync_runs.approve(run_id=held.id, actor=ALICE, now=clock())
        for _ in range(3):
            clock.forward(minutes=6)
            synced(made, Shows(is_full=False), clock)

        assert Node.objects.filter(retired_at=None).count() == 10

    def test_that_is_rejected_has_such_a_far_end_read_in_full(self, made, clock, fleet):
        first = Shows(is_full=False, last=Last(complete=True, cursor={"version": 7}))
        first.gone = tuple(fact.ref for fact in fleet)
        held = synced(made, first, clock)
        assert PoolSync.objects.get().cursor == {"version": 7}

        sync_runs.reject(run_id=held.id, actor=ALICE, now=clock())

        assert PoolSync.objects.get().cursor is None


class TestWhatAnUnfinishedRunSaw:
    def test_of_a_card_that_is_gone_is_concluded_by_the_next_complete_one(self, clock):
        made = pool()
        fleet = [node(f"n{number}", devices=4) for number in range(4)]
        synced(made, Shows(*fleet), clock)
        less = holding("n0", *fleet[0].devices[:3])

        synced(made, Shows(less, *fleet[1:], last=Last(complete=False)), clock)
        run = synced(made, Shows(less, *fleet[1:]), clock)

        assert run.missing == 1
        assert changes(made, "missing").get().object_name == "n0 n0-3"
        assert synced(made, Shows(less, *fleet[1:]), clock).unchanged == 4 + 15, "and then nothing is written"

    def test_keeps_the_cursor_when_it_was_incomplete(self, clock):
        made = pool()
        synced(made, Shows(node("a"), last=Last(complete=True, cursor={"version": 1})), clock)

        synced(made, Shows(node("a"), last=Last(complete=False, cursor={"version": 2})), clock)

        assert PoolSync.objects.get().cursor == {"version": 1}


class TestASweep:
    def test_hints_at_what_is_due_and_nothing_else(self, tmp_path, clock, monkeypatch):
        due_pool = Simulation(tmp_path, clock, "due", seed=1)
        done = Simulation(tmp_path, clock, "done", seed=2)
        done.sync_now()
        waiting = Simulation(tmp_path, clock, "waiting", is_active=False, seed=3)
        pools.request_check(pool_id=waiting.pool.id, actor=ALICE, now=clock())
        hints = []
        monkeypatch.setattr("pools.dispatch._send", lambda task, queue, ids, *_: hints.append((task.name, queue, ids)))

        sweep.sweep(clock=clock)
        sweep.sweep(clock=clock)

        observe = ("OBSERVE_POOL", "observe.simulated", {"pool_id": str(due_pool.pool.id)})
        check = ("CHECK_POOL", "observe.simulated", {"pool_id": str(waiting.pool.id)})
        verify = ("VERIFY_LOGS", "default", {})  # nobody ever checked the logs
        telemeter = ("TELEMETER_POOL", "observe.simulated", {"pool_id": str(done.pool.id)})
        assert hints == [observe, check, telemeter, verify] * 2

    def test_lets_go_of_drafts_that_nobody_took_up(self, tmp_path, clock):
        draft = Simulation(tmp_path, clock, is_active=False)
        clock.forward(hours=23)
        sweep.sweep(clock=clock)
        draft.pool.refresh_from_db()
        assert draft.pool.state == "registering"

        clock.forward(hours=1)
        sweep.sweep(clock=clock)

        draft.pool.refresh_from_db()
        assert draft.pool.state == "removed" and draft.pool.credentials.get().ciphertext in (b"", memoryview(b""))


def _now():
    from django.utils import timezone

    return timezone.now()


def _rows():
    """Every row of the inventory with the transaction that wrote it."""
    found = {}
    with connection.cursor() as cursor:
        for table in ("node", "device", "capacity", "inventory_change", "sync_run", "capacity_rollup"):
            cursor.execute(f"SELECT id::text, xmin::text FROM {table} ORDER BY 1")
            found[table] = cursor.fetchall()
    return found


class TestADatabaseThat:
    def broken_by(self, tmp_path, monkeypatch, error):
        lab = Simulation(tmp_path, Clock())

        def fails(*_args, **_more):
            raise error

        monkeypatch.setattr(inventory.Merge, "batch", fails)
        return lab, lab.run_if_due()

    def test_went_away_leaves_the_pool_due_at_once(self, tmp_path, monkeypatch):
        lab, run = self.broken_by(tmp_path, monkeypatch, OperationalError("gone"))

        assert (run.state, run.error["code"]) == ("failed", "database")
        assert lab.sync.consecutive_failures == 0 and lab.sync.next_at == lab.clock()

    def test_refuses_what_is_written_makes_the_pool_wait(self, tmp_path, monkeypatch):
        lab, run = self.broken_by(tmp_path, monkeypatch, DataError("out of range"))

        assert (run.state, run.error["code"]) == ("failed", "database")
        assert lab.sync.consecutive_failures == 1 and lab.sync.next_at > lab.clock()
