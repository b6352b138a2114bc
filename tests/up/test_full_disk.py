"""A disk that fills up while ocenter works: it says so, waits longer each time, and goes on when there is space."""

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import redis
from celery import Celery

from ocenter import addresses, embedded, home, wheels
from ocenter.celery import app
from pools import dispatch
from pools.models import Device, Node
from tests.factories import Clock
from tests.reconcile.far_end import Simulation
from tests.up import server
from tests.up.running import Installation

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="not root, so no small disk can be mounted and filled"),
]

QUEUE = "observe.simulated"
LEFT_BYTES = 2**20
"""Enough to note how a run ended, too little for what the run would merge."""


@pytest.fixture
def folder():
    made = Path(tempfile.mkdtemp(prefix="ocfull-", dir=addresses.SOCKETS))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def disk(folder):
    """A small disk of its own for the data of both servers."""
    place = folder / "disk"
    place.mkdir()
    with mounted(place, "256m") as made:
        yield made


@contextmanager
def mounted(place, size):
    """Put a disk of that size there. Skip the test where this machine does not allow it."""
    options = f"size={size},mode=0711"
    ran = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, text=True)
    if ran.returncode != 0:
        pytest.skip(f"SKIPPED: no disk can be filled, since this machine allows no mount: {ran.stderr.strip()}")
    try:
        yield Disk(place)
    finally:
        subprocess.run(["umount", place], check=True)
        place.rmdir()


class Disk:
    """A disk that a test fills and empties."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._ballast = place / "ballast"

    def fill(self, *, but_bytes: int = 0) -> None:
        with self._ballast.open("wb") as ballast:
            while (free := shutil.disk_usage(self.place).free) > but_bytes:
                ballast.write(bytes(min(free - but_bytes, 2**20)))
                ballast.flush()

    def free(self) -> None:
        self._ballast.unlink()


@pytest.fixture
def secrets(folder):
    return home.ensure_secrets(folder)


@pytest.fixture
def on_disk(folder, disk, secrets, django_db_blocker):
    """A prepared PostgreSQL whose data lies there, and this process's Django on it."""
    account = embedded.account()
    state = disk.place / "state"
    state.mkdir()
    account.take(state)
    postgres = embedded.Postgres(
        data=state / "postgres",
        sockets=embedded.create_socket_folder(folder / "postgres", account),
        account=account,
        binaries=embedded.postgres_binaries(account),
    )
    postgres.initialize(secrets)
    # The log of changes stays small and keeps its files, so that tables are what meets the end of the disk.
    small = ("-c", "max_wal_size=64MB", "-c", "min_wal_size=64MB")
    with server.running(postgres, secrets, folder / "postgres.log", *small):
        server.prepare(postgres, secrets, folder)
        with django_db_blocker.unblock(), server.django_as_application(postgres, secrets):
            yield postgres


class TestADiskThatIsFull:
    def test_ends_a_run_as_a_failure_that_says_so_and_waits_and_the_next_one_goes_on(self, on_disk, disk, tmp_path):
        clock = Clock()
        lab = Simulation(tmp_path, clock, nodes=4000, devices_per_node=8, page_size=250)
        disk.fill(but_bytes=LEFT_BYTES)

        run = lab.run_if_due()

        assert (run.state, run.error["code"]) == ("failed", "database")
        assert "disk is full" in run.error["message"] and "free some space" in run.error["message"]
        assert (lab.sync.consecutive_failures, lab.sync.health) == (1, "degraded")
        assert lab.run_if_due() is None, "it waits"
        clock.forward(seconds=70)
        assert lab.run_if_due().state == "failed" and (lab.sync.next_at - clock()).total_seconds() > 100

        disk.free()
        clock.forward(minutes=3)
        again = lab.run_if_due()

        assert (again.state, lab.sync.consecutive_failures, lab.sync.health) == ("succeeded", 0, "online")
        assert (Node.objects.count(), Device.objects.count()) == (4000, 32000)


def use_up_the_log(superuser):
    """Fill the segments of the log of changes that are there, and more than fit on the disk.

    No table is written: where one cannot grow, the statement is refused and the server goes on.
    """
    for _ in range(50):
        superuser.execute("SELECT pg_logical_emit_message(false, 'full disk', ''), pg_switch_wal()")


class TestAnInstallationWithoutSpace:
    def test_starts_its_database_again_and_again_until_there_is_space_and_says_so(self, folder):
        """What PostgreSQL cannot write to its log it must not lose, so it stops."""
        installation = Installation(folder)
        installation.home.mkdir()
        place = wheels.SHARED / addresses.digest(installation.home)
        wheels.make_shared()
        place.mkdir()
        with mounted(place, "400m") as disk:
            try:
                installation.start()
                kept = home.read_secrets(installation.home)
                sockets = addresses.postgres_sockets(installation.home)
                url = addresses.postgres_url(sockets, addresses.SUPERUSER, kept.superuser_password)
                with psycopg.connect(url, autocommit=True) as superuser:
                    disk.fill()
                    with pytest.raises(psycopg.OperationalError):
                        use_up_the_log(superuser)
                    assert superuser.broken, "the server stopped, and did not just refuse a statement"
                installation.until(lambda: installation.children()["postgres"]["restarts"] >= 2)
                assert not installation.ready()["ready"]

                disk.free()

                installation.until(lambda: installation.ready()["ready"])
                assert "postgres ended" in installation.said() and "is started again in" in installation.said()
            finally:
                installation.stop()
                installation.clean()


class TestAQueueWithoutSpace:
    def test_loses_hints_holds_nobody_up_and_takes_them_again_when_there_is_space(
        self, folder, disk, secrets, monkeypatch
    ):
        valkey = embedded.Valkey(
            data=disk.place / "valkey", sockets=embedded.create_socket_folder(folder / "valkey", embedded.Account())
        )
        valkey.data.mkdir()
        asked = redis.Redis(unix_socket_path=str(valkey.socket))
        with server.running(valkey, secrets, folder / "valkey.log"):
            sender = Celery("tests", broker=addresses.valkey_url(valkey.sockets), set_as_current=False)
            sender.conf.update(broker_transport_options=app.conf.broker_transport_options)
            monkeypatch.setattr(dispatch, "current_app", sender)
            disk.fill()

            began = time.monotonic()
            for number in range(20):
                dispatch._send(dispatch.Task.OBSERVE_POOL, QUEUE, {"pool_id": f"pool-{number}"})
                time.sleep(0.1)  # it notices at its next write to the disk
            took_seconds = time.monotonic() - began
            queued = asked.llen(QUEUE)

            assert "No space left on device" in (folder / "valkey.log").read_text()
            assert queued < 20 and took_seconds < 10
            disk.free()
            deadline = time.monotonic() + 20
            while asked.llen(QUEUE) == queued:
                assert time.monotonic() < deadline
                dispatch._send(dispatch.Task.OBSERVE_POOL, QUEUE, {"pool_id": "late"})
                time.sleep(0.5)
            sender.close()
            asked.close()
