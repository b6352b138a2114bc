"""Watches: what platforms tell by themselves goes into the same merge, beside polling and never against it."""

import asyncio
import threading
import time

import pytest
from django.db import connection, connections
from django.utils import timezone

from connectors.contract import Last, Page
from pools.models import Device, InventoryChange, Node, PoolSync, SyncRun
from pools.reconcile import watching
from pools.reconcile.watcher import Watcher
from pools.reconcile.watching import Over, Watch
from pools.selectors import watched
from pools.services import credentials, pools, turns
from pools.services.watch_locks import WatchLocks
from tests.reconcile.far_end import ALICE, TOKEN, Simulation, picture

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr("connectors.simulated.connector.WATCH_SECONDS", 0.05)
    monkeypatch.setattr("pools.reconcile.watcher.LOOK_SECONDS", 0.05)
    monkeypatch.setattr(watching, "BUSY_SECONDS", 0.02)


@pytest.fixture
def lab(tmp_path):
    made = Simulation(tmp_path, timezone.now)
    made.sync_now()
    return made


@pytest.fixture
def watching_of():
    """Watch pools, each in a thread, until the test is over."""
    begun = []

    def begin(simulation):
        watch = Watch(watched.pools()[simulation.pool.id], timezone.now)
        told = []
        thread = threading.Thread(target=lambda: (told.append(watch.run()), connections.close_all()))
        thread.start()
        begun.append((watch, thread))
        return watch, thread, told

    yield begin
    for watch, thread in begun:
        watch.stop()
        thread.join(10)
        assert not thread.is_alive()


def until(condition, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def cordon(simulation, number, words="by hand"):
    ref = simulation.refs()[number]
    with simulation.changing() as state:
        state.world.cordoned[ref] = words
    return ref


def is_cordoned(ref):
    return Node.objects.filter(ref=ref, is_available=False).exists()


class TestAWatch:
    def test_merges_a_change_that_nobody_asked_for(self, lab, watching_of):
        watching_of(lab)

        ref = cordon(lab, 3)

        until(lambda: is_cordoned(ref) and lab.sync.turn_token is None)
        run = SyncRun.objects.get(trigger="watch")
        assert (run.state, run.kind, run.changed) == ("succeeded", "incremental", 1)
        assert InventoryChange.objects.get(run_id=run.id).object_name == Node.objects.get(ref=ref).name

    def test_undoes_no_fault_that_a_look_has_read_since(self, lab):
        watch = Watch(watched.pools()[lab.pool.id], timezone.now)
        page = Page(is_full=False, last=Last(complete=True, cursor=dict(lab.sync.cursor)))
        PoolSync.objects.update(cursor={**lab.sync.cursor, "telemetry": {"http://exporter": [{"reason": "XID 79"}]}})

        with pytest.raises(Over):
            watch._merge(page)

        assert lab.sync.turn_token is None and lab.sync.cursor["telemetry"]

    def test_stores_the_cursor_with_the_rows(self, lab, watching_of):
        before = lab.sync.cursor["version"]
        watching_of(lab)

        ref = cordon(lab, 3)

        until(lambda: is_cordoned(ref) and lab.sync.turn_token is None)
        assert lab.sync.cursor["version"] > before

    def test_leaves_the_inventory_that_a_look_at_all_would_have_left(self, lab, watching_of):
        watching_of(lab)
        cordon(lab, 1)
        path = f"{lab.refs()[2]}/{Device.objects.filter(node__ref=lab.refs()[2]).first().ref}"
        with lab.changing() as state:
            state.world.health[path] = "XID 79"
        until(lambda: Device.objects.filter(health_reason="XID 79").exists() and lab.sync.turn_token is None)
        by_watch = picture(lab.pool)

        run = lab.sync_now()

        assert (run.changed, picture(lab.pool)) == (0, by_watch)

    def test_marks_a_node_that_is_gone_and_counts_no_miss_for_what_others_do(self, lab, watching_of):
        watching_of(lab)
        gone = lab.refs()[0]
        with lab.changing() as state:
            state.world.gone.add(gone)
        until(lambda: Node.objects.get(ref=gone).missing_since is not None)

        refs = [cordon(lab, number) for number in (2, 3, 4)]

        until(lambda: all(map(is_cordoned, refs)))
        assert Node.objects.get(ref=gone).misses == 1

    def test_holds_a_large_loss_for_a_person(self, lab, watching_of):
        watching_of(lab)

        with lab.changing() as state:
            state.world.gone.update(lab.refs()[:7])

        until(lambda: SyncRun.objects.filter(trigger="watch", state="held").exists())
        assert not Node.objects.exclude(missing_since=None).exists()
        assert (lab.sync.health, lab.sync.held_run.trigger) == ("degraded", "watch")

    def test_makes_one_run_an_hour_of_many_changes(self, lab, watching_of):
        watching_of(lab)

        for number in range(4):
            ref = cordon(lab, number)
            until(lambda ref=ref: is_cordoned(ref))

        until(lambda: SyncRun.objects.get(trigger="watch").changed == 4)
        assert SyncRun.objects.get(trigger="watch").pages >= 4

    def test_moves_neither_the_next_look_at_all_nor_the_last(self, lab, watching_of):
        before = lab.sync
        watching_of(lab)

        ref = cordon(lab, 3)

        until(lambda: is_cordoned(ref) and lab.sync.turn_token is None)
        after = lab.sync
        for column in ("next_at", "observed_at", "last_run_id", "complete_runs", "consecutive_failures"):
            assert getattr(after, column) == getattr(before, column), column

    def test_waits_while_a_run_has_the_turn_and_loses_nothing(self, lab, watching_of):
        PoolSync.objects.update(next_at=timezone.now())
        turn = turns.take(pool_id=lab.pool.id, now=timezone.now())
        watching_of(lab)
        ref = cordon(lab, 3)
        time.sleep(0.3)
        assert not is_cordoned(ref), "the run has the turn"

        turns.finish(turn, now=timezone.now(), run={"state": "failed"}, sync={})

        until(lambda: is_cordoned(ref))

    def test_and_a_run_at_once_end_with_the_same_picture(self, lab, watching_of):
        watching_of(lab)
        for number in range(6):
            cordon(lab, number)
            assert lab.sync_now_patiently().state == "succeeded"
        last = cordon(lab, 6)
        until(lambda: is_cordoned(last) and lab.sync.turn_token is None)

        by_both = picture(lab.pool)

        assert lab.sync_now_patiently().changed == 0 and picture(lab.pool) == by_both

    def test_ends_for_a_look_at_all_when_the_platform_wants_one(self, lab, watching_of):
        watch, thread, told = watching_of(lab)
        until(lambda: watch._connector is not None)

        lab.knobs(identity="somebody-else")

        thread.join(10)
        assert watch.is_full_wanted and told == [0.0] and lab.sync.next_at <= timezone.now()

    def test_ends_when_the_pool_was_edited(self, lab, watching_of):
        watch, thread, told = watching_of(lab)
        pools.pause(pool_id=lab.pool.id, actor=ALICE, now=timezone.now())

        cordon(lab, 3)

        thread.join(10)
        assert told == [0.0] and not watch.is_full_wanted and not SyncRun.objects.filter(trigger="watch").exists()

    def test_backs_off_from_a_platform_that_fails(self, lab):
        lab.store.fail("unreachable", call="watch", times=-1)
        watch = Watch(watched.pools()[lab.pool.id], timezone.now)

        pauses = [watch.run() for _ in range(8)]

        assert 0.7 < pauses[0] < 1.3 and 5 < pauses[3] < 11 and pauses[7] <= 75

    def test_ends_soon_when_it_is_stopped(self, lab, watching_of):
        watch, thread, told = watching_of(lab)
        until(lambda: watch._connector is not None)

        watch.stop()

        thread.join(5)
        assert told == [0.0] and not watch.is_full_wanted

    def test_gives_the_turn_back_when_the_database_refuses(self, lab, monkeypatch):
        cordon(lab, 3)
        monkeypatch.setattr("pools.reconcile.inventory.conclude", refuse)

        pause = Watch(watched.pools()[lab.pool.id], timezone.now).run()

        assert pause > 0 and lab.sync.turn_token is None


def refuse(*_args, **_more):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")


class TestPoolsToWatch:
    def test_are_those_observed_on_schedule_once_all_was_seen(self, tmp_path, lab):
        Simulation(tmp_path, timezone.now, "fresh")
        draft = Simulation(tmp_path, timezone.now, "draft", is_active=False)
        paused = Simulation(tmp_path, timezone.now, "paused")
        paused.sync_now()
        pools.pause(pool_id=paused.pool.id, actor=ALICE, now=timezone.now())

        found = watched.pools()

        assert [pool.name for pool in found.values()] == ["lab"] and draft.pool.id not in found


class TestLocks:
    def test_are_of_one_process_and_free_when_its_session_ends(self, lab):
        ours, theirs = WatchLocks(), WatchLocks()
        assert ours.take(lab.pool.id) and not theirs.take(lab.pool.id) and theirs.processes() == 2

        ours.close()

        until(lambda: theirs.take(lab.pool.id))
        assert theirs.processes() == 1
        theirs.close()


class Running:
    """A watcher in a thread of its own, as in a process of its own."""

    def __init__(self):
        self.watcher = Watcher(timezone.now)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self.is_done = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        self.is_done = self._loop.run_until_complete(self.watcher.run(self._stop))
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def watches(self):
        return {watch.pool.name for pool_id, watch in list(self.watcher._watches.items()) if self.is_on(pool_id)}

    def is_on(self, pool_id):
        return pool_id in self.watcher._running

    def end(self):
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(15)
        assert not self._thread.is_alive()


@pytest.fixture
def process():
    begun = []

    def begin():
        begun.append(Running())
        return begun[-1]

    yield begin
    for each in begun:
        each.end()


class TestProcesses:
    def test_share_the_pools_and_take_over_from_one_that_ends(self, tmp_path, process):
        names = {f"lab-{number}" for number in range(4)}
        for name in sorted(names):
            Simulation(tmp_path, timezone.now, name).sync_now()
        first = process()
        until(lambda: first.watches() == names)

        second = process()

        until(lambda: len(first.watches()) == len(second.watches()) == 2)
        assert first.watches() | second.watches() == names
        first.end()
        until(lambda: second.watches() == names)

    def test_begin_anew_when_the_credential_or_the_settings_change(self, lab, process):
        running = process()
        until(lambda: running.watches() == {"lab"})
        before = running.watcher._watches[lab.pool.id]

        credentials.store(lab.pool, {"token": TOKEN}, state="active", now=timezone.now())

        until(lambda: running.watcher._watches.get(lab.pool.id) not in (None, before) and running.watches() == {"lab"})
        ref = cordon(lab, 3)
        until(lambda: is_cordoned(ref))

    def test_let_go_of_a_paused_pool(self, lab, process):
        running = process()
        until(lambda: running.watches() == {"lab"})

        pools.pause(pool_id=lab.pool.id, actor=ALICE, now=timezone.now())

        until(lambda: not running.watches() and not running.watcher._locks.held)

    def test_begin_anew_after_the_database_closed_their_sessions(self, lab, process):
        running = process()
        until(lambda: running.watches() == {"lab"})

        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                           "WHERE datname = current_database() AND pid <> pg_backend_pid()")  # fmt: skip

        ref = cordon(lab, 3)
        until(lambda: is_cordoned(ref))

    def test_end_within_seconds(self, lab, process):
        running = process()
        until(lambda: running.watches() == {"lab"})
        began = time.monotonic()

        running.end()

        assert running.is_done and time.monotonic() - began < 5
