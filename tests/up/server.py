"""A PostgreSQL of its own for one test, prepared as production does it, and this process's Django on it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import connection, connections

from ocenter import addresses, child
from ocenter.embedded import Account, Postgres, Valkey
from ocenter.home import Secrets
from ocenter.settings import _database
from tests.up.running import CHECKOUT, clean_environment

PATIENCE_SECONDS = 30


@contextmanager
def running(server: Postgres | Valkey, secrets: Secrets, log: Path, *words: str) -> Iterator[None]:
    """Run a server that is initialized; both roles and an empty database are there. ``words`` are further options."""
    account, ask = (server.account, signal.SIGINT) if isinstance(server, Postgres) else (Account(), signal.SIGTERM)
    run = partial(child.become, [*server.command(), *words], account=account, orphan_signal=ask)
    pid = child.fork(run, log=log, orphan_signal=ask)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (server.is_ready(secrets) if isinstance(server, Postgres) else server.is_ready()):
            assert time.monotonic() < deadline and child.started(pid), log.read_text()
            time.sleep(0.05)
        if isinstance(server, Postgres):
            server.create_roles(secrets)
        yield
    finally:
        child.stop(pid, child.started(pid), ask, 10)
        os.waitpid(pid, 0)


def prepare(server: Postgres, secrets: Secrets, home: Path) -> None:
    """Migrate, set rights, load the catalogue: by the command that production uses, as the owner of the tables."""
    environment = clean_environment(
        OCENTER_HOME=str(home),
        OCENTER_DATABASE_URL=server.url(addresses.APP, secrets.app_password),
        OCENTER_OWNER_DATABASE_URL=server.url(addresses.OWNER, secrets.owner_password),
        OCENTER_BROKER_URL=os.environ["OCENTER_BROKER_URL"],
    )
    ran = subprocess.run(
        [sys.executable, "manage.py", "up", "--prepare-only"], cwd=CHECKOUT, env=environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr


@contextmanager
def django_as_application(server: Postgres, secrets: Secrets) -> Iterator[None]:
    """Let this process's Django work on that server with the application's role and the keys of its home."""
    ours, keys = dict(connection.settings_dict), settings.CREDENTIAL_KEYS
    connections.close_all()
    connection.settings_dict.update(_database(server.url(addresses.APP, secrets.app_password)))
    settings.CREDENTIAL_KEYS = tuple(secrets.credential_keys)
    try:
        yield
    finally:
        connections.close_all()
        connection.settings_dict.clear()
        connection.settings_dict.update(ours)
        settings.CREDENTIAL_KEYS = keys
