"""A pool is removed while a worker observes it: nothing of the pool is left, and the run has an end."""

import threading
import time
from dataclasses import dataclass, field

import pytest
from django.db import connection, connections
from django.utils import timezone

from pools.models import CapacityRollup, Credential, Device, DeviceTwin, Node, Pool, PoolSync, SyncRun
from pools.reconcile import inventory
from pools.services import credentials, pools, sql, turns
from pools.services.inventory import Merge
from tests.reconcile.far_end import ALICE, Simulation
from tests.reconcile.test_inventory import assert_sums_agree

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE_SECONDS = 20


@dataclass
class Meeting:
    """Two threads, each with a connection of its own, that meet where a test says."""

    errors: list[BaseException] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self, work) -> threading.Thread:
        def told():
            try:
                work()
            except BaseException as error:
                self.errors.append(error)
            finally:
                connections.close_all()

        thread = threading.Thread(target=told)
        self.threads.append(thread)
        thread.start()
        return thread

    def end(self) -> None:
        for thread in self.threads:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive(), "each waits for the other"
        assert self.errors == []


@pytest.fixture
def meeting():
    return Meeting()


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A pool with an inventory, all of which changes in its next run, in several transactions."""
    monkeypatch.setattr(inventory, "BATCH_NODES", 2)
    lab = Simulation(tmp_path, timezone.now)
    lab.run_if_due()
    with lab.changing() as state:
        state.world.cordoned = dict.fromkeys(lab.refs(), "by hand")
        state.world.gone = {lab.refs()[0]}
    PoolSync.objects.update(next_at=timezone.now())
    return lab


def remove(lab):
    pools.remove(pool_id=lab.pool.id, actor=ALICE, now=timezone.now())


def until_one_waits(thread):
    """Return when somebody waits for what this session has locked, or when the other thread is through."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with connection.cursor() as cursor:
        while thread.is_alive():
            cursor.execute(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
            )
            if cursor.fetchone() != (0,):
                return
            assert time.monotonic() < deadline
            time.sleep(0.01)


def assert_gone(lab):
    pool = Pool.objects.get(id=lab.pool.id)
    assert pool.state == "removed" and pool.removed_at is not None
    assert not Node.objects.filter(pool=pool, retired_at=None).exists()
    assert not Device.objects.filter(pool=pool, retired_at=None).exists()
    assert not DeviceTwin.objects.exists()
    assert set(CapacityRollup.objects.filter(pool=pool).values_list("units", "total_milli", "free_milli")) <= {
        (0, 0, 0)
    }
    assert {bytes(row.ciphertext) for row in Credential.objects.filter(pool=pool)} == {b""}
    assert_sums_agree()
    sync = lab.sync
    assert (sync.turn_token, sync.turn_until, sync.next_at) == (None, None, None)
    assert lab.run_if_due() is None, "and nobody observes it any more"


def at(point, monkeypatch, here):
    """Call ``here`` once when a run of the pool comes to a point."""
    reached = threading.Event()

    def once():
        if not reached.is_set():
            reached.set()
            here()

    def before(where, name, is_it=lambda *_: True):
        real = getattr(where, name)

        def wrapped(*args, **more):
            if is_it(*args):
                once()
            return real(*args, **more)

        monkeypatch.setattr(where, name, wrapped)

    if point == "between pages":
        before(Merge, "batch")
    elif point == "inside a merge":
        before(sql, "run", lambda _cursor, name, *_: name == "refresh_hosts")
    elif point == "before the conclusion":
        before(inventory, "conclude")
    elif point == "inside the conclusion":
        before(sql, "run", lambda _cursor, name, *_: name == "settle")
    elif point == "before the end":
        before(turns, "finish")
    elif point == "inside the end":
        before(turns, "_overrule_held")


class TestARemoval:
    @pytest.mark.parametrize(
        ("point", "outcome"),
        [
            ("between pages", "failed"),
            ("inside a merge", "failed"),
            ("before the conclusion", "failed"),
            ("inside the conclusion", "failed"),
            ("before the end", "failed"),
            ("inside the end", "succeeded"),
        ],
    )
    def test_that_comes_during_a_run_waits_for_its_transaction_at_most(self, lab, meeting, monkeypatch, point, outcome):
        at(point, monkeypatch, lambda: until_one_waits(meeting.start(lambda: remove(lab))))

        run = lab.run_if_due()

        meeting.end()
        run.refresh_from_db()
        assert (run.state, (run.error or {}).get("code")) == (outcome, "pool.removed" if run.error else None)
        assert run.ended_at is not None
        assert_gone(lab)

    @pytest.mark.parametrize("point", ["between pages", "before the conclusion", "before the end"])
    def test_that_a_run_comes_upon_ends_the_run(self, lab, meeting, monkeypatch, point):
        is_there, has_locked = threading.Event(), threading.Event()
        at(point, monkeypatch, lambda: (is_there.set(), has_locked.wait(PATIENCE_SECONDS)))
        running = meeting.start(lab.run_if_due)
        assert is_there.wait(PATIENCE_SECONDS)
        wipe = credentials.wipe

        def wipe_while_the_run_waits(*args):
            has_locked.set()
            until_one_waits(running)
            wipe(*args)

        monkeypatch.setattr(credentials, "wipe", wipe_while_the_run_waits)

        remove(lab)

        meeting.end()
        run = SyncRun.objects.filter(pool=lab.pool).latest("queued_at")
        assert (run.state, run.error["code"]) == ("failed", "pool.removed")
        assert_gone(lab)

    def test_that_is_on_lets_no_run_begin(self, lab, meeting, monkeypatch):
        ran = []
        wipe = credentials.wipe

        def meanwhile(*args):
            meeting.start(lambda: ran.append(lab.run_if_due())).join(PATIENCE_SECONDS)
            return wipe(*args)

        monkeypatch.setattr(credentials, "wipe", meanwhile)

        remove(lab)

        meeting.end()
        assert ran == [None] and SyncRun.objects.filter(pool=lab.pool).count() == 1
        assert_gone(lab)

    def test_that_comes_during_a_first_run_finds_what_its_transaction_writes(self, tmp_path, meeting, monkeypatch):
        fresh = Simulation(tmp_path, timezone.now)
        at("inside a merge", monkeypatch, lambda: until_one_waits(meeting.start(lambda: remove(fresh))))

        run = fresh.run_if_due()

        meeting.end()
        run.refresh_from_db()
        assert (run.state, run.error["code"]) == ("failed", "pool.removed")
        assert Node.objects.filter(pool=fresh.pool).exists()
        assert_gone(fresh)

    def test_of_a_draft_ends_its_preview(self, tmp_path, meeting, monkeypatch):
        draft = Simulation(tmp_path, timezone.now, "draft", is_active=False)
        at("inside a merge", monkeypatch, lambda: until_one_waits(meeting.start(lambda: remove(draft))))

        run = draft.sync_now(is_dry_run=True)

        meeting.end()
        run.refresh_from_db()
        assert (run.state, run.error["code"]) == ("failed", "pool.removed")
        assert_gone(draft)
