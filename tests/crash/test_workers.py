"""Real Celery workers, beats and a real broker: who waits for whom, and what is lost when messages or processes are."""

import base64
import json
import os
import signal
import time
from datetime import timedelta
from itertools import pairwise

import pytest
from celery import Celery
from django.db import connection
from django.utils import timezone

from ocenter.beat import TICK_SECONDS
from pools.dispatch import Task, observe_queue
from pools.models import Node, Pool, PoolSync, SyncRun
from pools.reconcile import lanes
from pools.services import pools, sync_runs
from tests.crash.site import until
from tests.reconcile.far_end import ALICE, TOKEN, Simulation, picture

pytestmark = pytest.mark.crash

INTERVAL_SECONDS = 5
OFTEN_ENOUGH_SECONDS = INTERVAL_SECONDS * 1.1 + TICK_SECONDS + 2  # jitter, the tick that finds it, and the run itself


@pytest.fixture
def sender(site):
    app = Celery("tests", broker=site.environment["OCENTER_BROKER_URL"], set_as_current=False)
    yield app
    app.close()


def lab(folder, name="lab", **settings):
    """A pool that is observed every few seconds."""
    given = {"nodes": 20, "page_size": 5, "seed": sum(name.encode())} | settings
    made = Simulation(folder, timezone.now, name, **given)
    Pool.objects.filter(id=made.pool.id).update(sync_interval_seconds=INTERVAL_SECONDS)
    return made


def hint(sender, made, times=1, task=Task.OBSERVE_POOL):
    for _ in range(times):
        sender.send_task(task.value, kwargs={"pool_id": str(made.pool.id)}, queue=observe_queue(made.pool.kind))


def runs(made, *states):
    found = SyncRun.objects.filter(pool=made.pool)
    return found.filter(state__in=states) if states else found


def _arguments(message):
    """What a raw message of Celery's protocol carries for its task."""
    args, kwargs, _ = json.loads(base64.b64decode(json.loads(message)["body"]))
    assert args == []
    return kwargs


def ages(made, seconds):
    """The greatest age of the pool's last complete observation in this time, in seconds."""
    worst, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        worst = max(worst, (timezone.now() - made.sync.observed_at).total_seconds())
        time.sleep(0.2)
    return worst


def fall_silent(labs):
    """Let them fall silent between two runs and be due at once, so that one tick begins a run of each."""
    syncs = PoolSync.objects.filter(pool__in=[each.pool for each in labs])
    syncs.update(next_at=timezone.now() + timedelta(minutes=1))
    until(lambda: not any(runs(each, "running").exists() for each in labs))
    for each in labs:
        each.knobs(latency_ms=600_000)
    since = timezone.now()
    syncs.update(next_at=since)
    return since


class TestAHealthyPool:
    """Beside dead, slow and lying ones, on one worker with two processes."""

    def test_is_observed_as_often_beside_bad_ones_of_its_kind_as_alone(self, site, folder):
        good = lab(folder, "good")
        good.run_if_due()
        site.worker(processes=2)
        site.beat()
        until(lambda: runs(good, "succeeded").count() >= 2)
        alone = ages(good, 10)

        slow, dead, lying = (
            [lab(folder, f"slow{number}") for number in range(2)],
            lab(folder, "dead"),
            lab(folder, "lying"),
        )
        for each in slow:
            each.knobs(latency_ms=4000)  # before each of four pages
        dead.knobs(unreachable_after_observations=0)
        lying.run_if_due()
        lying.knobs(is_empty=True)
        until(lambda: runs(slow[0], "running").exists() or runs(slow[1], "running").exists())
        beside = ages(good, 30)

        print(f"worst age of a healthy pool: {alone:.1f} s alone, {beside:.1f} s beside four bad ones")
        assert max(alone, beside) <= OFTEN_ENOUGH_SECONDS, "it waits for none of them"
        until(lambda: runs(dead, "failed").exists() and runs(lying, "held").exists())
        until(lambda: all(runs(each, "succeeded").exists() for each in slow))
        assert Node.objects.filter(pool=lying.pool, missing_since=None).count() == 20

    def test_is_observed_as_often_while_four_that_were_fast_fall_silent_in_one_read(self, site, folder):
        good, *silent = [lab(folder, name) for name in ("good", *(f"silent{number}" for number in range(4)))]
        worker = site.worker(processes=4)
        site.beat()
        until(lambda: all(runs(each, "succeeded").exists() for each in (good, *silent)), worker.said)

        since = fall_silent(silent)
        until(lambda: all(runs(each).filter(started_at__gte=since).exists() for each in silent), worker.said)
        falling = ages(good, lanes.SLOW_SECONDS + 2)
        fallen = ages(good, 12)

        print(f"worst age of a healthy pool: {falling:.1f} s while they fall silent, {fallen:.1f} s after")
        assert falling <= OFTEN_ENOUGH_SECONDS + lanes.SLOW_SECONDS, "all four processes wait that long, once"
        assert fallen <= OFTEN_ENOUGH_SECONDS, "it waits for none of them"
        told = sorted(
            run.error["code"] if run.error else run.state for run in (runs(s).latest("queued_at") for s in silent)
        )
        assert told == ["running", "running", "slow", "slow"], "two may keep a process, two are known to be slow"
        assert [runs(each, "failed").count() for each in silent].count(1) == 2, "and do not take one again"

    def test_of_another_kind_does_not_wait_either(self, site, folder, sender):
        slow = [lab(folder, f"slow{number}") for number in range(4)]
        for each in slow:
            each.knobs(latency_ms=4000)
        site.worker(processes=2)
        site.beat()
        until(lambda: runs(slow[0]).exists() or runs(slow[1]).exists())
        other = pools.register(
            name="k8s", kind="kubernetes", settings={"api_url": "http://127.0.0.1:9"}, credential={"token": "t" * 20},
            actor=ALICE, now=timezone.now(),
        )  # fmt: skip
        pools.request_check(pool_id=other.id, actor=ALICE, now=timezone.now())
        asked = time.monotonic()

        until(lambda: PoolSync.objects.get(pool=other).check_state == "done")

        assert time.monotonic() - asked < 12
        assert PoolSync.objects.get(pool=other).check_result["error"]["code"] == "unreachable"


class TestMessages:
    def test_repeated_ten_times_make_one_run(self, site, folder, sender):
        made = lab(folder)
        Pool.objects.update(sync_interval_seconds=3600)
        site.worker()

        hint(sender, made, times=10)
        until(lambda: runs(made, "succeeded").exists())
        until(lambda: site.broker().llen(observe_queue("simulated")) == 0)
        time.sleep(1)

        assert runs(made).count() == 1 and Node.objects.count() == 20

    def test_that_are_lost_are_not_missed(self, site, folder):
        made = lab(folder)
        site.worker()
        site.broker().flushall()

        site.beat()

        until(lambda: runs(made, "succeeded").exists(), seconds=30)

    def test_flushed_in_mid_sync_change_nothing(self, site, folder):
        made = lab(folder)
        made.knobs(latency_ms=500)
        worker = site.worker()
        site.beat()
        until(lambda: runs(made, "running").exists())

        site.broker().flushall()

        until(lambda: runs(made, "succeeded").count() >= 2, worker.said, 60)
        assert not runs(made, "failed").exists() and Node.objects.count() == 20

    def test_of_two_beats_and_two_workers_make_no_run_twice(self, site, folder):
        made = [lab(folder, f"lab{number}") for number in range(5)]
        for _ in range(2):
            site.worker()
            site.beat()

        until(lambda: all(runs(each, "succeeded").count() >= 3 for each in made))

        for each in made:
            times = list(runs(each).order_by("started_at").values_list("started_at", "ended_at"))
            for (_, ended), (started, _) in pairwise(times):
                assert ended is not None and ended <= started, "one after another"
            assert all(run.unchanged == 20 * 5 for run in runs(each, "succeeded").order_by("started_at")[1:])

    def test_carry_ids_and_nothing_else(self, site, folder, sender):
        made = lab(folder)
        site.beat()
        until(lambda: site.broker().llen("default") > 0)
        hint(sender, made)

        raw = [site.broker().lrange(queue, 0, -1) for queue in ("default", observe_queue("simulated"))]

        (tick, *_), (observe,) = raw
        assert [_arguments(message) for message in (tick, observe)] == [{}, {"pool_id": str(made.pool.id)}]
        for message in (tick, observe):
            assert TOKEN.encode() not in message and str(folder).encode() not in message


class TestAWorker:
    def test_killed_in_mid_sync_is_made_up_for_by_another_within_its_turn(self, site, folder):
        made = lab(folder)
        made.knobs(latency_ms=1500)
        first = site.worker()
        site.beat()
        until(lambda: runs(made, "running").exists())
        killed = time.monotonic()
        os.killpg(first.pid, signal.SIGKILL)
        made.knobs(latency_ms=0)

        site.worker()
        until(lambda: runs(made, "succeeded").exists(), seconds=70)

        print(f"made up for after {time.monotonic() - killed:.0f} s")
        assert runs(made, "failed").get().error["code"] == "worker_lost" and time.monotonic() - killed < 60
        assert len(picture(made.pool)["nodes"]) == 20

    def test_whose_processes_are_killed_makes_new_ones(self, site, folder):
        made, other = lab(folder), lab(folder, "other")
        made.knobs(latency_ms=600_000)
        worker = site.worker()
        site.beat()
        until(lambda: runs(made, "running").exists())

        for process in worker.children():
            os.kill(process, signal.SIGKILL)
        made.knobs(latency_ms=0)
        PoolSync.objects.filter(pool=made.pool).update(turn_until=timezone.now())  # 45 seconds pass, as they do above

        until(lambda: runs(made, "succeeded").exists() and runs(other, "succeeded").exists(), worker.said)
        assert runs(made, "failed").get().error["code"] == "worker_lost"

    def test_asked_to_stop_ends_softly_and_soon(self, site, folder):
        made = lab(folder, page_size=1)
        made.knobs(latency_ms=400)  # eight seconds for all
        worker = site.worker()
        site.beat()
        until(lambda: runs(made, "running").exists())
        time.sleep(1)
        asked = time.monotonic()

        worker.ask(signal.SIGTERM)
        worker.wait(20)

        took = time.monotonic() - asked
        run = runs(made).latest("queued_at")
        print(f"stopped after {took:.1f} s: {run.state} {run.error}")
        assert took < 8 and (run.state, run.error["code"]) == ("failed", "stopped")
        assert made.sync.next_at <= timezone.now() and made.sync.turn_token is None

    def test_says_nothing_secret_and_leaves_nothing_secret(self, site, folder):
        made, wrong = lab(folder), lab(folder, "wrong")
        pools.replace_credential(
            pool_id=wrong.pool.id, values={"token": "wrong-and-secret"}, actor=ALICE, now=timezone.now()
        )
        made.store.fail("unauthorized", call="observe", when="during")
        worker = site.worker()
        beat = site.beat()
        sync_runs.request(pool_id=made.pool.id, actor=ALICE, now=timezone.now())
        until(lambda: runs(made, "failed").exists())
        until(lambda: wrong.pool.credentials.filter(state="refused").exists())

        said = worker.said() + beat.said()
        assert "connector.call" in said and "and-secret" not in said
        with connection.cursor() as cursor:
            for table in ("pool", "pool_sync", "sync_run", "audit_event", "inventory_change"):
                cursor.execute(f"SELECT count(*) FROM {table} t WHERE t::text LIKE '%and-secret%'")
                assert cursor.fetchone()[0] == 0, table
