"""A real PostgreSQL and a real Valkey for one test run, in a folder of its own that goes away with it."""

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from ocenter import child, embedded, home

MARK = "OCENTER_TEST_SERVERS"
_running: list[tuple["subprocess.Popen[bytes]", signal.Signals]] = []
_folders: list[Path] = []


def start() -> None:
    """Start both and tell ocenter by the environment, which workers of xdist inherit."""
    if MARK not in os.environ:
        _start()
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    # Two databases of Valkey for each worker: its broker and its cache.
    sockets = Path(os.environ[MARK]) / "valkey"
    os.environ["OCENTER_BROKER_URL"] = embedded.valkey_url(sockets, 2 * int(worker))


def _start() -> None:
    folder = Path(tempfile.mkdtemp(prefix="oct-", dir=embedded.SOCKETS))
    folder.chmod(0o711)  # PostgreSQL's user passes through it
    _folders.append(folder)
    atexit.register(stop)
    account = embedded.account()
    (folder / "home").mkdir(mode=0o700)
    secrets = home.ensure_secrets(folder / "home")
    state = folder / "state"
    state.mkdir()
    account.take(state)

    postgres = embedded.Postgres(
        data=state / "postgres",
        sockets=embedded.create_socket_folder(folder / "postgres", account),
        account=account,
        binaries=embedded.postgres_binaries(account),
        is_durable=False,
    )
    valkey_data = folder / "valkey-data"
    valkey_data.mkdir()
    valkey = embedded.Valkey(
        data=valkey_data, sockets=embedded.create_socket_folder(folder / "valkey", embedded.Account())
    )
    postgres.initialize(secrets)
    with (folder / "servers.log").open("ab") as log:
        command = [*postgres.command(), "-c", "max_connections=200"]
        _running.append((child.start(command, output=log, account=account, last_signal=signal.SIGINT), signal.SIGINT))
        _running.append((child.start(valkey.command(), output=log), signal.SIGTERM))
    deadline = time.monotonic() + 60
    while not (postgres.is_ready(secrets) and valkey.is_ready()):
        if time.monotonic() > deadline or any(process.poll() is not None for process, _ in _running):
            raise RuntimeError((folder / "servers.log").read_text())
        time.sleep(0.05)
    postgres.create_roles(secrets)
    os.environ |= {
        MARK: str(folder),
        "OCENTER_HOME": str(folder / "home"),
        "OCENTER_DATABASE_URL": postgres.url(embedded.SUPERUSER, secrets.superuser_password),
    }


def stop() -> None:
    """Stop what this process started; a worker of xdist has started nothing."""
    while _running:
        process, ask = _running.pop()
        process.send_signal(ask)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            child.kill_group(process.pid)
            process.wait()
    while _folders:
        shutil.rmtree(_folders.pop(), ignore_errors=True)
        os.environ.pop(MARK, None)
