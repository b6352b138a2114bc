"""A real PostgreSQL and a real Valkey for one test run, in a folder of its own that goes away with it."""

import atexit
import os
import shutil
import signal
import tempfile
import time
from functools import partial
from pathlib import Path

from ocenter import addresses, child, embedded, home

MARK = "OCENTER_TEST_SERVERS"
_running: list[tuple[int, signal.Signals]] = []
_folders: list[Path] = []


def start(*, is_durable: bool = False) -> None:
    """Start both and tell ocenter by the environment, which workers of xdist inherit."""
    if MARK not in os.environ:
        _start(is_durable=is_durable)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    # Two databases of Valkey for each worker: its broker and its cache.
    sockets = Path(os.environ[MARK]) / "valkey"
    os.environ["OCENTER_BROKER_URL"] = addresses.valkey_url(sockets, 2 * int(worker))


def _start(*, is_durable: bool) -> None:
    folder = Path(tempfile.mkdtemp(prefix="oct-", dir=addresses.SOCKETS))
    folder.chmod(0o711)  # PostgreSQL's user passes through it
    _folders.append(folder)
    atexit.register(stop)
    account = embedded.account()
    (folder / "home" / "static").mkdir(parents=True, mode=0o700)
    secrets = home.ensure_secrets(folder / "home")
    state = folder / "state"
    state.mkdir()
    account.take(state)

    postgres = embedded.Postgres(
        data=state / "postgres",
        sockets=embedded.create_socket_folder(folder / "postgres", account),
        account=account,
        binaries=embedded.postgres_binaries(account),
        is_durable=is_durable,
    )
    valkey_data = folder / "valkey-data"
    valkey_data.mkdir()
    valkey = embedded.Valkey(
        data=valkey_data, sockets=embedded.create_socket_folder(folder / "valkey", embedded.Account())
    )
    postgres.initialize(secrets)
    log = folder / "servers.log"
    for command, user, ask in (
        ([*postgres.command(), "-c", "max_connections=200"], account, signal.SIGINT),
        (valkey.command(), embedded.Account(), signal.SIGTERM),
    ):
        run = partial(child.become, command, account=user, orphan_signal=ask)
        _running.append((child.fork(run, log=log, orphan_signal=ask), ask))
    deadline = time.monotonic() + 60
    while not (postgres.is_ready(secrets) and valkey.is_ready()):
        if time.monotonic() > deadline or any(child.started(pid) is None for pid, _ in _running):
            raise RuntimeError(log.read_text())
        time.sleep(0.05)
    postgres.create_roles(secrets)
    os.environ |= {
        MARK: str(folder),
        "OCENTER_HOME": str(folder / "home"),
        # Tests make databases, so they connect as a superuser; `SET ROLE ocenter_app` shows what the application may.
        "OCENTER_DATABASE_URL": postgres.url(addresses.APP, secrets.app_password),
        "OCENTER_OWNER_DATABASE_URL": postgres.url(addresses.SUPERUSER, secrets.superuser_password),
        "OCENTER_DATABASE_ROLE": "owner",
        "OCENTER_API_REQUESTS_PER_MINUTE": "0",  # one test in a minute asks more than a person in an hour
        "OCENTER_OUTGOING_ALLOW": "127.0.0.0/8",  # where the doubles of platforms are
    }


def stop() -> None:
    """Stop what this process started; a worker of xdist has started nothing."""
    while _running:
        pid, ask = _running.pop()
        child.stop(pid, child.started(pid), ask, 10)
        os.waitpid(pid, 0)
    while _folders:
        shutil.rmtree(_folders.pop(), ignore_errors=True)
        os.environ.pop(MARK, None)
