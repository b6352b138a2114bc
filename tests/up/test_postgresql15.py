"""The oldest PostgreSQL that ocenter promises to work on, which the wheel does not carry: migrate, sync, show, remove."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import InternalError, ProgrammingError, connection, connections
from django.test import Client

from ocenter import addresses, child, embedded, home
from ocenter.settings import _database
from pools.models import AuditEvent, Device, InventoryChange, Node, Pool
from pools.services import pools
from tests import groups
from tests.factories import Clock
from tests.reconcile.far_end import ALICE, Simulation, picture
from tests.up.running import CHECKOUT, clean_environment

pytestmark = [
    pytest.mark.backend,
    pytest.mark.skipif(groups.postgresql_15() is None, reason=groups.NO_POSTGRESQL_15),
]


@pytest.fixture(scope="module")
def secrets(folder):
    return home.ensure_secrets(folder)


@pytest.fixture(scope="module")
def folder():
    made = Path(tempfile.mkdtemp(prefix="oc15-", dir=addresses.SOCKETS))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def server(folder, secrets):
    """A running server of major 15 with both roles and an empty database."""
    account = embedded.account()
    state = folder / "state"
    state.mkdir()
    account.take(state)
    postgres = embedded.Postgres(
        data=state / "postgres",
        sockets=embedded.create_socket_folder(folder / "sockets", account),
        account=account,
        binaries=groups.postgresql_15(),
        is_durable=False,
    )
    password = state / "password"
    home.write_private(password, secrets.superuser_password)
    account.take(password)
    # Locales of its own (builtin) came with 17, so this one is made the way an administrator would.
    subprocess.run(
        [postgres.binaries / "initdb", f"--pgdata={postgres.data}", f"--username={addresses.SUPERUSER}",
         f"--pwfile={password}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"],
        check=True, capture_output=True, user=account.uid, group=account.gid, cwd="/",
        extra_groups=[] if account.uid is not None else None, env={"PATH": os.defpath},
    )  # fmt: skip
    run = partial(child.become, postgres.command(), account=account, orphan_signal=signal.SIGINT)
    pid = child.fork(run, log=folder / "log", orphan_signal=signal.SIGINT)
    try:
        deadline = time.monotonic() + 30
        while not postgres.is_ready(secrets):
            assert time.monotonic() < deadline and child.started(pid), (folder / "log").read_text()
            time.sleep(0.05)
        postgres.create_roles(secrets)
        yield postgres
    finally:
        child.stop(pid, child.started(pid), signal.SIGINT, 10)
        os.waitpid(pid, 0)


@pytest.fixture(scope="module")
def prepared(server, secrets, folder):
    """The server after ocenter's own preparation, by the command that production uses."""
    environment = clean_environment(
        OCENTER_HOME=str(folder),
        OCENTER_DATABASE_URL=server.url(addresses.APP, secrets.app_password),
        OCENTER_OWNER_DATABASE_URL=server.url(addresses.OWNER, secrets.owner_password),
        OCENTER_BROKER_URL=os.environ["OCENTER_BROKER_URL"],
    )
    ran = subprocess.run(
        [sys.executable, "manage.py", "up", "--prepare-only"], cwd=CHECKOUT, env=environment, capture_output=True,
        text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return server


@pytest.fixture
def on_15(prepared, secrets, django_db_blocker, monkeypatch):
    """This process's Django on that server, as the application."""
    ours = dict(connection.settings_dict)
    monkeypatch.setattr(settings, "CREDENTIAL_KEYS", tuple(secrets.credential_keys))
    with django_db_blocker.unblock():
        connections.close_all()
        connection.settings_dict.update(_database(prepared.url(addresses.APP, secrets.app_password)))
        try:
            yield
        finally:
            connections.close_all()
            connection.settings_dict.clear()
            connection.settings_dict.update(ours)


@pytest.fixture
def browser():
    client = Client()
    client.force_login(get_user_model().objects.get(username="admin"))
    return client


class TestPostgreSQL15:
    def test_carries_a_pool_from_its_first_sync_to_its_removal(self, on_15, tmp_path, browser):
        assert connection.cursor().connection.info.server_version // 10000 == 15
        clock = Clock()
        lab = Simulation(tmp_path, clock, nodes=40, devices_per_node=8, page_size=10, used_percent=30, has_trouble=True)

        first = lab.sync_now()
        before = picture(lab.pool)
        clock.forward(minutes=1)
        lost, moved = lab.refs()[0], lab.refs()[1]
        with lab.changing() as state:
            state.world.gone.add(lost)
            state.world.cordoned[moved] = "maintenance"
        second = lab.sync_now()

        assert (first.state, first.created, second.state) == ("succeeded", 360, "succeeded"), second.error
        assert (second.missing, second.unchanged) == (9, 360 - 9 - 1), (
            "a node and its eight devices; another node changed"
        )
        assert picture(lab.pool) != before and InventoryChange.objects.filter(run_id=second.id).exists()
        for page in ("/", "/pools/", f"/pools/{lab.pool.name}/", "/devices/?q=h100", "/nodes/?q=node", "/models/"):
            assert browser.get(page, follow=True).status_code == 200, page
        for path in ("pools", "devices", "nodes", "models", "sync-runs", f"sync-runs/{second.id}/changes"):
            answer = browser.get(f"/api/v1/{path}")
            assert answer.status_code == 200 and answer.json()["results"], path

        pools.remove(pool_id=lab.pool.id, actor=ALICE, now=clock())

        assert not Node.objects.filter(retired_at=None).exists() and not Device.objects.filter(retired_at=None).exists()
        assert Pool.objects.get().state == "removed" and browser.get("/").status_code == 200

    def test_keeps_the_application_from_what_is_append_only(self, on_15):
        assert AuditEvent.objects.exists()

        with pytest.raises((ProgrammingError, InternalError), match="permission denied"):
            AuditEvent.objects.update(actor="nobody")
