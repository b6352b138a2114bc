"""Slow pools share a part of a worker's processes, and the rest stays for those that answer soon."""

import os
import signal
import time
from datetime import timedelta

import msgspec
import pytest

from connectors import catalog
from pools.models import Node, PoolSync, SyncRun
from pools.reconcile import inventory, lanes
from pools.reconcile.lanes import Lane
from pools.selectors import due
from tests.factories import Clock
from tests.reconcile.far_end import Simulation

pytestmark = pytest.mark.django_db(transaction=True)


def process(lane):
    """Fork a process that takes a place and keeps it. Return its pid and whether it got one."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        lane._taken = None  # a worker forks its processes before any of them works
        os.write(writing, b"y" if lane.enter() else b"n")
        signal.pause()
    os.close(writing)
    got = os.read(reading, 1) == b"y"
    os.close(reading)
    return pid, got


@pytest.fixture
def forked():
    """Forks a process for a lane; all are gone in the end."""
    pids = []

    def fork(lane):
        pid, got = process(lane)
        pids.append(pid)
        return pid, got

    yield fork
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def allow(monkeypatch, *, observe_seconds):
    """Let simulated pools take so long to be observed."""
    short = msgspec.structs.replace(catalog.MANIFESTS["simulated"], observe_seconds=observe_seconds)
    monkeypatch.setattr(catalog, "MANIFESTS", {**catalog.MANIFESTS, "simulated": short})


class TestALane:
    def test_has_so_many_places_for_all_processes_of_a_worker(self, forked):
        lane = Lane(2)

        assert [forked(lane)[1] for _ in range(4)] == [True, True, False, False]

    def test_has_a_free_place_when_a_process_is_killed(self):
        lane = Lane(1)
        pid, got = process(lane)
        assert got and not lane.enter()

        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

        assert lane.enter()

    def test_gives_a_process_one_place_and_takes_it_back(self, forked):
        lane = Lane(1)

        with lanes.place(lane, is_needed=True) as first:
            assert first and lane.enter(), "it has one already"
            assert not forked(lane)[1]

        assert forked(lane)[1]

    def test_is_not_asked_for_work_that_is_soon_done(self):
        with lanes.place(Lane(0), is_needed=False) as may_begin:
            assert may_begin

    @pytest.mark.parametrize(
        ("processes", "places"), [(1, (1, 1)), (2, (1, 1)), (3, (1, 1)), (4, (2, 1)), (8, (4, 2)), (16, (8, 4))]
    )
    def test_leaves_room_for_others_from_three_processes_on(self, processes, places):
        assert lanes.share(processes) == places and (processes < 3 or sum(places) < processes)


class TestAPool:
    @pytest.fixture
    def clock(self):
        return Clock()

    @pytest.fixture
    def lab(self, tmp_path, clock):
        return Simulation(tmp_path, clock)

    def run(self, lab, lane):
        return inventory.run(pool_id=lab.pool.id, clock=lab.clock, lane=lane)

    def test_that_nobody_has_observed_may_be_slow(self, lab):
        assert due.is_slow(lab.pool.id, lanes.SLOW_SECONDS)
        assert self.run(lab, Lane(0)) is None and not SyncRun.objects.exists(), "it stays due"

        assert self.run(lab, Lane(1)) is not None

    def test_that_answered_soon_needs_no_place(self, lab, clock):
        lab.run_if_due()
        PoolSync.objects.update(next_at=clock())

        assert not due.is_slow(lab.pool.id, lanes.SLOW_SECONDS) and self.run(lab, Lane(0)) is not None

    def test_that_failed_or_took_long_needs_one(self, lab, clock):
        lab.store.fail("unreachable")
        lab.run_if_due()
        assert due.is_slow(lab.pool.id, lanes.SLOW_SECONDS)

        lab.sync_now()
        assert not due.is_slow(lab.pool.id, lanes.SLOW_SECONDS)
        SyncRun.objects.filter(id=lab.sync.last_run_id).update(started_at=clock() - timedelta(seconds=11))
        assert due.is_slow(lab.pool.id, lanes.SLOW_SECONDS)

    def test_that_turns_out_to_be_slow_moves_over_or_ends_its_run(self, lab, clock, monkeypatch):
        lab.run_if_due()
        PoolSync.objects.update(next_at=clock())
        monkeypatch.setattr(lanes, "SLOW_SECONDS", 0)
        monkeypatch.setattr(due, "is_slow", lambda *_: False)

        ended = SyncRun.objects.get(id=self.run(lab, Lane(0)))
        went_on = SyncRun.objects.get(id=self.run(lab, Lane(1)))

        assert (ended.state, ended.error["code"]) == ("failed", "slow")
        assert "goes on when they are through" in ended.error["message"]
        assert went_on.state == "succeeded" and lab.sync.consecutive_failures == 0

    def test_that_falls_silent_in_the_middle_of_a_read_moves_over_or_ends_its_run(
        self, lab, clock, monkeypatch, forked
    ):
        lab.run_if_due()
        monkeypatch.setattr(lanes, "SLOW_SECONDS", 0.3)
        monkeypatch.setattr(due, "is_slow", lambda *_: False)  # it was fast until now
        with lab.store.changing() as state:
            state.knobs.latency_ms = 700  # before each of four pages: longer than is allowed below
        full = Lane(1)
        forked(full)
        PoolSync.objects.update(next_at=clock())

        began = time.monotonic()
        broken_off = SyncRun.objects.get(id=self.run(lab, full))
        took_seconds = time.monotonic() - began
        went_on = SyncRun.objects.get(id=self.run(lab, Lane(1)))

        assert (broken_off.state, broken_off.error["code"]) == ("failed", "slow") and took_seconds < 1.5
        assert went_on.state == "succeeded" and lab.sync.consecutive_failures == 0
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)

    @pytest.mark.parametrize("has_lane", [True, False])
    def test_that_cannot_be_read_in_the_time_of_its_kind_is_given_up(self, lab, monkeypatch, has_lane):
        allow(monkeypatch, observe_seconds=-1)

        run = SyncRun.objects.get(id=self.run(lab, Lane(1) if has_lane else None))

        assert run.error["code"] == "too_slow" and "how loaded the platform is" in run.error["message"]
        assert lab.sync.consecutive_failures == 1 and not Node.objects.exists()

    def test_that_falls_silent_for_longer_than_its_kind_allows_is_given_up_in_the_middle_of_the_read(
        self, lab, monkeypatch
    ):
        """It has its place in the lane, so nothing but the time limit ends it; Celery's would look like a bug."""
        monkeypatch.setattr(lanes, "SLOW_SECONDS", 0.2)
        allow(monkeypatch, observe_seconds=1)
        lab.knobs(latency_ms=30_000)

        began = time.monotonic()
        run = SyncRun.objects.get(id=self.run(lab, Lane(1)))

        assert run.error["code"] == "too_slow" and "in 1 s" in run.error["message"]
        assert time.monotonic() - began < 5 and signal.getitimer(signal.ITIMER_REAL) == (0, 0)
        assert lab.sync.consecutive_failures == 1 and lab.sync.next_at > lab.clock()
