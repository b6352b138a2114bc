"""The oldest PostgreSQL that ocenter promises to work on, which no wheel carries: migrate, sync, show, remove."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.db import InternalError, ProgrammingError, connection
from django.test import Client

from ocenter import addresses, embedded, home
from pools.models import AuditEvent, Device, InventoryChange, Node, Pool
from pools.services import pools
from tests import groups
from tests.factories import Clock
from tests.reconcile.far_end import ALICE, Simulation, picture
from tests.up import server

pytestmark = [
    pytest.mark.backend,
    pytest.mark.skipif(groups.postgresql_15() is None, reason=groups.NO_POSTGRESQL_15),
]


@pytest.fixture(scope="module")
def folder():
    made = Path(tempfile.mkdtemp(prefix="oc15-", dir=addresses.SOCKETS))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def secrets(folder):
    return home.ensure_secrets(folder)


@pytest.fixture(scope="module")
def prepared(folder, secrets):
    """A running server of major 15 after ocenter's own preparation."""
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
    with server.running(postgres, secrets, folder / "log"):
        server.prepare(postgres, secrets, folder)
        yield postgres


@pytest.fixture
def on_15(prepared, secrets, django_db_blocker):
    """This process's Django on that server, as the application."""
    with django_db_blocker.unblock(), server.django_as_application(prepared, secrets):
        yield


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
        assert (second.missing, second.unchanged) == (9, 360 - 9 - 1), "a node with 8 devices, and another one"
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
