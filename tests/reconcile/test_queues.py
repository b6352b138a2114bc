"""One queue and one time limit for each platform, as real messages and real workers show them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from celery import Celery
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from ocenter import addresses
from ocenter.celery import app
from pools import dispatch
from pools.domain import queues
from pools.models import Node, PoolSync, SyncRun
from tests.factories import pool
from tests.reconcile.far_end import Simulation

pytestmark = pytest.mark.django_db(transaction=True)

CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60


@pytest.fixture
def broker():
    """The broker of this test run, without messages."""
    url = addresses.cache_url(settings.BROKER_URL)
    server = redis.Redis.from_url(url.replace(f"db={url[-1]}", f"db={int(url[-1]) - 1}"))
    server.flushdb()
    yield server
    server.flushdb()


@pytest.fixture
def lab(tmp_path):
    return Simulation(tmp_path, timezone.now)


@pytest.fixture
def worker(broker, tmp_path):
    """Starts a real worker on the tests' database; all end with the test."""
    running = []

    def start(*served, processes=1):
        log = tmp_path / f"worker-{len(running)}.log"
        database = connection.settings_dict
        environment = os.environ | {
            "OCENTER_DATABASE_URL": addresses.postgres_url(
                Path(database["HOST"]), database["USER"], database["PASSWORD"], database["NAME"]
            ),
            "OCENTER_WORKER_QUEUES": ",".join(served),
            "OCENTER_WORKER_PROCESSES": str(processes),
        }
        del environment["OCENTER_OWNER_DATABASE_URL"]
        with log.open("wb") as output:
            running.append(
                subprocess.Popen(
                    [sys.executable, "-m", "ocenter.worker"], cwd=CHECKOUT, env=environment, stdout=output,
                    stderr=subprocess.STDOUT,
                )
            )  # fmt: skip
        until(lambda: " ready." in log.read_text(), log)
        return log, running[-1].pid

    yield start
    for process in running:
        process.kill()
        process.wait()


def until(condition, log):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def hint(lab):
    PoolSync.objects.filter(pool=lab.pool).update(next_at=timezone.now())
    with transaction.atomic():
        dispatch.observe(lab.pool.id, lab.pool.kind)


def has_run(lab, state):
    return SyncRun.objects.filter(pool=lab.pool, state=state).exists()


class TestAHint:
    @pytest.mark.parametrize(("kind", "limits"), [("kubernetes", [660, 600]), ("openstack", [1020, 960])])
    def test_goes_to_the_queue_of_its_platform_with_that_ones_time_limits(self, broker, kind, limits):
        made = pool(kind=kind)

        dispatch.observe(made.id, kind)

        (message,) = broker.lrange(f"observe.{kind}", 0, -1)
        assert json.loads(message)["headers"]["timelimit"] == limits

    def test_for_a_kind_that_this_version_no_longer_has_is_sent_all_the_same(self, broker):
        dispatch.observe(pool(kind="mainframe").id, "mainframe")

        assert broker.llen("observe.mainframe") == 1

    def test_holds_nobody_up_when_the_broker_is_not_there(self, monkeypatch):
        lost = Celery("lost", broker="redis+socket:///nowhere/valkey.sock?virtual_host=0", set_as_current=False)
        lost.conf.update(broker_transport_options=app.conf.broker_transport_options)
        monkeypatch.setattr(dispatch, "current_app", lost)
        began = time.monotonic()

        dispatch.observe(pool().id, "simulated")

        assert time.monotonic() - began < 1


@pytest.mark.slow
class TestAWorker:
    def test_serves_only_the_queues_it_is_kept_for(self, lab, worker, broker):
        other, _ = worker("default", "observe.kubernetes")
        hint(lab)
        time.sleep(3)
        assert broker.llen("observe.simulated") == 1 and not SyncRun.objects.exists(), other.read_text()

        log, _ = worker("observe.simulated")

        until(lambda: has_run(lab, "succeeded"), log)
        assert Node.objects.count() == 8 and broker.llen("observe.simulated") == 0

    def test_serves_every_queue_when_none_is_named(self, lab, worker):
        log, _ = worker()

        hint(lab)

        until(lambda: has_run(lab, "succeeded"), log)
        assert all(name in log.read_text() for name in queues.QUEUES)

    def test_kills_what_overruns_its_platforms_hard_limit_and_goes_on(self, lab, worker, tmp_path, monkeypatch):
        """A process that stands still, where neither the run's own alarm nor the soft limit reaches it."""
        short = {"observe.simulated": {"soft_time_limit": 2, "time_limit": 3}}
        monkeypatch.setattr(dispatch, "TIME_LIMITS", short)
        lab.knobs(latency_ms=60_000)
        log, parent = worker()
        hint(lab)
        until(lambda: has_run(lab, "running"), log)
        (child,) = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        os.kill(int(child), signal.SIGSTOP)
        until(lambda: "TimeLimitExceeded(3" in log.read_text(), log)

        monkeypatch.undo()
        good = Simulation(tmp_path, timezone.now, "good")
        hint(good)

        until(lambda: has_run(good, "succeeded"), log)
        assert has_run(lab, "running"), "its turn runs out; then it has failed and is tried again"
