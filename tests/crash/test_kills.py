"""A worker killed at any line, a database restarted at any line: the next run ends as if nothing had been."""

import signal
import threading
from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.utils import timezone
from psycopg import _copy_base

from connectors.contract import UseFact
from pools.models import Device, InventoryChange, PoolSync, SyncRun
from pools.reconcile import inventory
from pools.services import inventory as merges
from pools.services import sql, turns
from tests.crash.dying import POINTS, another, in_copy
from tests.reconcile.far_end import Simulation, picture
from tests.reconcile.test_inventory import assert_sums_agree

pytestmark = pytest.mark.crash


def simulation(folder, name, **settings):
    return Simulation(folder, timezone.now, name, nodes=40, devices_per_node=4, page_size=5, **settings)


def trouble(of):
    """Let something of every kind happen to a fleet, alike for each of the same seed."""
    refs = of.refs()

    def path(number, index=0):
        return f"{refs[number]}/{Device.objects.get(node__ref=refs[number], pool=of.pool, index=index).ref}"

    with of.changing() as state:
        state.world.gone.update(refs[:3])
        state.world.moved |= {path(5): refs[35], path(36): refs[6], path(7, 1): "nowhere", path(22): "nowhere"}
        state.world.health |= {path(10): "XID 79", path(30, 3): "over temperature"}
        state.world.uses |= {path(12, 2): UseFact(holder="a/job", milli=250, memory_mib=1000)}
        state.world.cordoned[refs[15]] = "by hand"


def told(pool):
    """What the change log says of a pool, without ids and times."""
    columns = ("object_kind", "object_name", "action", "before", "after")
    return Counter(map(str, InventoryChange.objects.filter(pool_id=pool.id).values_list(*columns)))


def free_the_turn(pool):
    """Let the turn of a dead worker run out, which it does within 45 seconds."""
    sync = PoolSync.objects.get(pool=pool)
    if sync.turn_until is not None:
        assert sync.turn_until - timezone.now() <= timedelta(seconds=turns.TURN_SECONDS)
    PoolSync.objects.filter(pool=pool, turn_until__isnull=False).update(turn_until=timezone.now())


def due(pool):
    """Let the pool be due, without the back-off that comes with run after run lost."""
    PoolSync.objects.filter(pool=pool).update(next_at=timezone.now(), consecutive_failures=0)


def kept(pool):
    """Return what is told of a pool, whose cards say no more who they are: the next pool shows the same ones."""
    found = picture(pool), told(pool)
    Device.objects.filter(pool=pool).update(uuid=None, serial=None)
    return found


@pytest.fixture
def undisturbed(folder):
    """What is told of a pool that went through the same in peace."""
    other = simulation(folder, "undisturbed")
    other.run_if_due()
    trouble(other)
    due(other.pool)
    assert other.run_if_due().state == "succeeded"
    return kept(other.pool)


@pytest.fixture
def lab(folder, undisturbed):
    """A pool that is due, with all the trouble still to be seen."""
    lab = simulation(folder, "lab")
    lab.run_if_due()
    trouble(lab)
    due(lab.pool)
    return lab


def assert_as_undisturbed(lab, undisturbed):
    free_the_turn(lab.pool)
    due(lab.pool)
    run = lab.run_if_due()
    assert run.state == "succeeded", run.error
    assert (picture(lab.pool), told(lab.pool)) == undisturbed, "nothing told twice, nothing left out"
    assert not SyncRun.objects.filter(state="running").exists()
    assert_sums_agree()
    due(lab.pool)
    assert (lab.run_if_due().changed, lab.sync.consecutive_failures) == (0, 0), "and then nothing is written"


class TestAWorkerKilled:
    @pytest.mark.parametrize("point", POINTS)
    def test_in_any_phase_leaves_what_the_next_run_completes(self, site, lab, undisturbed, point):
        dying = site.run("tests.crash.dying", str(lab.pool.id), point, OCENTER_DATABASE_ROLE="app")

        assert dying.wait() == -signal.SIGKILL, dying.said()

        last = SyncRun.objects.filter(pool=lab.pool).latest("queued_at")
        assert last.state == ("running" if point not in ("before the turn", "after the end") else "succeeded")
        if last.state == "running":
            assert lab.run_if_due() is None, "nobody else merges while its turn lasts"
        assert_as_undisturbed(lab, undisturbed)

    @pytest.mark.parametrize("point", ["inside a copy", "before a merge commits", "before it concludes"])
    def test_in_a_first_run_leaves_what_the_next_run_completes(self, site, folder, point):
        other = simulation(folder, "undisturbed")
        other.run_if_due()
        undisturbed = kept(other.pool)
        fresh = simulation(folder, "lab")

        dying = site.run("tests.crash.dying", str(fresh.pool.id), point)

        assert dying.wait() == -signal.SIGKILL, dying.said()
        assert_as_undisturbed(fresh, undisturbed)

    def test_again_and_again_leaves_what_the_next_run_completes(self, site, lab, undisturbed):
        for point in ("between pages", "inside a copy", "before a merge commits", "before losses commit"):
            free_the_turn(lab.pool)
            due(lab.pool)
            dying = site.run("tests.crash.dying", str(lab.pool.id), point)
            assert dying.wait() == -signal.SIGKILL, dying.said()

        assert_as_undisturbed(lab, undisturbed)


class TestTwoProcesses:
    def test_at_once_on_one_pool_let_one_merge(self, site, lab, undisturbed):
        both = [site.run("tests.crash.dying", str(lab.pool.id), "never") for _ in range(4)]

        assert [each.wait() for each in both] == [0] * 4

        assert SyncRun.objects.filter(pool=lab.pool).count() == 2, "the first one, and one of four"
        assert_as_undisturbed(lab, undisturbed)


class Restarting:
    """Lets the main thread restart the server when the thread of a run comes to a point."""

    def __init__(self, site, ask, *, stays_down=False):
        self.site, self.ask, self.stays_down = site, ask, stays_down
        self.reached, self.done = threading.Event(), threading.Event()

    def here(self):
        if not self.reached.is_set():
            self.reached.set()
            self.done.wait()

    def run(self, pool):
        """Run an observation in a thread, and restart the server where it comes to the point."""
        thread = threading.Thread(
            target=lambda: (inventory.run(pool_id=pool.id, clock=timezone.now), connections.close_all())
        )
        thread.start()
        assert self.reached.wait(30)
        self.site.stop_postgres(self.ask)
        if not self.stays_down:
            self.site.start_postgres()
        self.done.set()
        thread.join()
        if self.stays_down:
            self.site.start_postgres()
        connection.close()


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(inventory, "BATCH_NODES", 5)


@pytest.mark.usefixtures("small_batches")
class TestAnEndedServerProcess:
    def test_in_the_middle_of_a_copy_ends_the_run_with_a_word_and_the_next_one_completes_it(
        self, site, lab, undisturbed, monkeypatch
    ):
        with monkeypatch.context() as once:
            _interrupt_copy(once, _terminate)
            run = lab.run_if_due()

        assert (run.state, run.error["code"]) == ("failed", "database") and "next run goes on" in run.error["message"]
        assert InventoryChange.objects.filter(run_id=run.id).exists(), "a first batch was merged"
        assert lab.sync.turn_token is None and lab.sync.next_at <= timezone.now(), "due at once"
        assert_as_undisturbed(lab, undisturbed)

    def test_in_the_first_copy_of_a_first_run_leaves_no_half_of_it(self, site, folder, monkeypatch):
        other = simulation(folder, "undisturbed")
        other.run_if_due()
        undisturbed = kept(other.pool)
        fresh = simulation(folder, "lab")
        with monkeypatch.context() as once:
            once.setattr(inventory, "BATCH_NODES", 40)
            _interrupt_copy(once, _terminate, number=1)
            run = fresh.run_if_due()

        assert (run.state, run.error["code"]) == ("failed", "database")
        assert not Device.objects.filter(pool=fresh.pool).exists() and not told(fresh.pool)
        assert_as_undisturbed(fresh, undisturbed)


def _interrupt_copy(monkeypatch, then, number=2):
    monkeypatch.setattr(_copy_base, "BUFFER_SIZE", 0)
    monkeypatch.setattr(merges, "_copy", in_copy(number, merges._copy, then))


def _terminate():
    """What an administrator does with a session, and the kernel with a server process that takes too much memory."""
    with another(connection.connection) as admin:
        gone = admin.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid])
        assert gone.fetchone() == (True,)


@pytest.mark.usefixtures("small_batches")
class TestADatabaseRestarted:
    def at(self, point, restarting, monkeypatch):
        if point == "between pages":
            monkeypatch.setattr(inventory.Watch, "page", _after(inventory.Watch.page, restarting.here, lambda *_: True))
        if point == "inside a copy":
            _interrupt_copy(monkeypatch, restarting.here)
        if point == "inside a merge":
            monkeypatch.setattr(sql, "run", _after(sql.run, restarting.here, _runs("refresh_new_cards")))
        if point == "inside the conclusion":
            monkeypatch.setattr(sql, "run", _after(sql.run, restarting.here, _runs("settle")))
        if point == "before the end":
            real = turns.finish
            monkeypatch.setattr(turns, "finish", lambda *args, **more: (restarting.here(), real(*args, **more)))

    @pytest.mark.parametrize(
        "point", ["between pages", "inside a copy", "inside a merge", "inside the conclusion", "before the end"]
    )
    @pytest.mark.parametrize("ask", [signal.SIGINT, signal.SIGQUIT], ids=["orderly", "crashing"])
    def test_in_mid_sync_ends_the_run_with_a_word_and_the_next_one_completes_it(
        self, site, lab, undisturbed, monkeypatch, point, ask
    ):
        restarting = Restarting(site, ask)
        with monkeypatch.context() as once:
            self.at(point, restarting, once)
            restarting.run(lab.pool)

        run = SyncRun.objects.filter(pool=lab.pool).latest("queued_at")
        assert (run.state, run.error["code"]) == ("failed", "database") and "next run goes on" in run.error["message"]
        assert lab.sync.turn_token is None and lab.sync.next_at <= timezone.now(), "due at once"
        assert_as_undisturbed(lab, undisturbed)

    def test_that_stays_away_leaves_the_run_to_its_turn(self, site, lab, undisturbed, monkeypatch):
        restarting = Restarting(site, signal.SIGINT, stays_down=True)
        with monkeypatch.context() as once:
            self.at("inside a merge", restarting, once)
            restarting.run(lab.pool)

        assert SyncRun.objects.filter(pool=lab.pool).latest("queued_at").state == "running"
        assert_as_undisturbed(lab, undisturbed)


def _runs(wanted):
    """Return what tells whether a call of sql.run is of the wanted statements."""
    return lambda cursor, name, *more: name == wanted


def _after(real, then, is_it):
    def wrapped(*args, **kwargs):
        result = real(*args, **kwargs)
        if is_it(*args):
            then()
        return result

    return wrapped
