"""Real workers, beats and a real broker carry orders while they are killed, flushed, stopped and led astray."""

import os
import signal
from collections import Counter
from datetime import timedelta

import pytest
from celery import Celery
from django.db import connection
from django.utils import timezone

from pools import dispatch
from pools.models import Allocation, Capacity, Drift, Operation, Orphan, Pool, PoolSync, SyncRun, Target
from pools.services import targets as turns
from tests.crash.site import until
from tests.reconcile.binding import Lab
from tests.reconcile.invariants import check_sums
from tests.services.asking import check_claims

pytestmark = pytest.mark.crash

LATENCY_MS = 60
SIZES = (1, 2, 1, 3, 1, 2, 1, 4)
SYNC_SECONDS = 5


@pytest.fixture
def mode():
    """How the platform carries orders: those of a host in one document (or, ``node``, each in a VM of its own)."""
    return "device"


@pytest.fixture
def lab(site, folder, mode, monkeypatch):
    """A pool that answers slowly and is looked at often; what this process tells goes to the site's broker."""
    made = Lab(folder, timezone.now, mode=mode, nodes=4, devices_per_node=8, latency_ms=LATENCY_MS)
    Pool.objects.update(sync_interval_seconds=SYNC_SECONDS)
    PoolSync.objects.update(next_at=timezone.now())
    app = Celery("tests", broker=site.environment["OCENTER_BROKER_URL"], set_as_current=False)
    monkeypatch.setattr(dispatch, "current_app", app)
    yield made
    app.close()


class Life:
    """Allocations that come and go, and the workers that let their platform know."""

    def __init__(self, site, lab):
        self._site = site
        self._lab = lab
        self._wanted = {}
        self.workers = []

    def work(self, count=1, **odd):
        """So many workers and beats."""
        for _ in range(count):
            self.workers.append(self._site.worker(**odd))
            self._site.beat()

    def live(self, during=lambda: None):
        """Make, make and give back while it happens, give back; nothing is left, on the platform and in the rows."""
        self._ask(*SIZES)
        self._ask(1, members=2)
        self._meanwhile(during)

        self._release(5)
        self._ask(1, 2, 1)
        self._meanwhile(during)

        self._release(len(self._wanted))
        self._arrive()
        assert self._lab.there() == {} and not Target.objects.filter(due_at__isnull=False).exists()
        self._look()
        assert not Orphan.objects.exists() and not Drift.objects.filter(closed_at=None).exists()
        assert all(row.free_milli == row.total_milli for row in Capacity.objects.all())

    def _ask(self, *sizes, **fields):
        self._wanted |= {self._lab.ask(size, lease_seconds=1800, **fields): "active" for size in sizes}

    def _release(self, number):
        for id in [id for id, state in self._wanted.items() if state == "active"][:number]:
            self._lab.release(id)
            self._wanted[id] = "released"

    def _meanwhile(self, during):
        until(is_at_work, self._said)
        during()
        self._arrive()

    def _arrive(self):
        """Everything comes to where it shall; then all that there is says the same."""
        until(lambda: self._states() == self._wanted, self._said)
        until(lambda: not Operation.objects.filter(state__in=("planned", "sent", "unknown")).exists(), self._said)
        self._lab.check()
        check_claims()
        check_sums(self._lab.pool.id)

    def _look(self):
        """The schedule looks once more."""
        since = timezone.now()
        until(lambda: SyncRun.objects.filter(state="succeeded", started_at__gte=since).exists(), self._said)

    def _states(self):
        return dict(Allocation.objects.filter(id__in=self._wanted).values_list("id", "state"))

    def _said(self):
        return "\n".join([str(Counter(self._states().values())), *(worker.said() for worker in self.workers)])


@pytest.fixture
def life(site, lab):
    return Life(site, lab)


def is_at_work():
    """Whether a call is on its way."""
    return Operation.objects.filter(state="sent").exists()


def attempts():
    return set(Operation.objects.values_list("attempts", flat=True))


def free_the_turns():
    """Let the turns of those who are gone run out, which they do within minutes."""
    held = Target.objects.filter(turn_until__isnull=False)
    assert all(each.turn_until - timezone.now() <= timedelta(seconds=turns.TURN_SECONDS) for each in held)
    held.update(turn_until=timezone.now())


class TestEverythingReachesItsEnd:
    @pytest.mark.parametrize("mode", ["node"])
    def test_once_with_two_workers_and_two_beats(self, life):
        life.work(count=2)

        life.live()

        assert attempts() == {1}

    @pytest.mark.parametrize("mode", ["node"])
    def test_though_the_broker_forgets_everything(self, site, life):
        life.work()

        life.live(site.broker().flushall)

    def test_though_the_database_restarts(self, site, life):
        life.work()

        def restart():
            site.stop_postgres()
            connection.close()
            site.start_postgres()
            free_the_turns()

        life.live(restart)

    def test_once_though_each_message_comes_ten_times(self, life, monkeypatch):
        send = dispatch._send
        monkeypatch.setattr(dispatch, "_send", lambda *message: [send(*message) for _ in range(10)])
        life.work(count=2, module="tests.crash.odd", words=("10", "0"))

        life.live()

        assert attempts() == {1}

    @pytest.mark.parametrize("mode", ["node"])
    def test_though_workers_are_killed_in_the_middle(self, site, life):
        life.work()

        def replace():
            worker = life.workers.pop()
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
            life.workers.append(site.worker())
            free_the_turns()

        life.live(replace)

    def test_once_while_workers_are_replaced_one_after_the_other(self, site, life):
        """Whoever is asked to stop ends its turn first, so nobody has to find out what came of it."""
        life.work(count=2)

        def roll():
            for _ in range(2):
                worker = life.workers.pop(0)
                worker.ask(signal.SIGTERM)
                life.workers.append(site.worker())
                worker.wait()

        life.live(roll)

        assert attempts() == {1}

    def test_by_the_time_of_the_database_whatever_the_clocks_of_workers_say(self, life):
        """One would end all leases at once and take the turns of others, the other would find nothing due."""
        for ahead_seconds in ("3600", "-3600"):
            life.work(module="tests.crash.odd", words=("1", ahead_seconds))

        life.live()

        assert PoolSync.objects.get().observed_at <= timezone.now()
