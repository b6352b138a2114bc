"""Servers and workers of their own, to be killed: a real PostgreSQL, a real Valkey, real Celery workers and beats."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import redis

from ocenter import addresses, child, embedded, home

CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60


class Site:
    """One database and one broker. ``environment`` is what ocenter's processes need to work on them."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="occ-", dir=addresses.SOCKETS))
        self.folder.chmod(0o711)
        account = embedded.account()
        (self.folder / "home" / "static").mkdir(parents=True, mode=0o700)
        self.secrets = home.ensure_secrets(self.folder / "home")
        state = self.folder / "state"
        state.mkdir()
        account.take(state)
        self.account = account
        self.postgres = embedded.Postgres(
            data=state / "postgres",
            sockets=embedded.create_socket_folder(self.folder / "postgres", account),
            account=account,
            binaries=embedded.postgres_binaries(account),
        )
        self.valkey = embedded.Valkey(
            data=state / "valkey", sockets=embedded.create_socket_folder(self.folder / "valkey", embedded.Account())
        )
        self.valkey.data.mkdir()
        self._pids: dict[str, int] = {}
        self.processes: list[Process] = []
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("OCENTER_", "PYTEST_"))}
        self.environment = kept | {
            "OCENTER_HOME": str(self.folder / "home"),
            "OCENTER_DATABASE_URL": self.postgres.url(addresses.APP, self.secrets.app_password),
            "OCENTER_OWNER_DATABASE_URL": self.postgres.url(addresses.OWNER, self.secrets.owner_password),
            "OCENTER_BROKER_URL": addresses.valkey_url(self.valkey.sockets),
            "OCENTER_OUTGOING_ALLOW": "127.0.0.0/8",  # where the doubles of platforms are
            "DJANGO_SETTINGS_MODULE": "ocenter.settings",
        }

    def start(self) -> None:
        self.postgres.initialize(self.secrets)
        self.start_postgres()
        self.postgres.create_roles(self.secrets)
        self._fork("valkey", self.valkey.command(), embedded.Account(), signal.SIGTERM)
        until(self.valkey.is_ready)
        prepare = [sys.executable, "manage.py", "up", "--prepare-only"]
        subprocess.run(prepare, cwd=CHECKOUT, env=self.environment, check=True, capture_output=True)

    def start_postgres(self) -> None:
        self._fork("postgres", self.postgres.command(), self.account, signal.SIGINT)
        until(lambda: self.postgres.is_ready(self.secrets))

    def stop_postgres(self, ask: signal.Signals = signal.SIGINT) -> None:
        """SIGINT closes every session, SIGQUIT crashes."""
        pid = self._pids.pop("postgres")
        child.stop(pid, child.started(pid), ask, PATIENCE_SECONDS)
        os.waitpid(pid, 0)

    def broker(self) -> "redis.Redis":
        return redis.Redis(unix_socket_path=str(self.valkey.socket))

    def run(self, module: str, *words: str, name: str | None = None, **environment: str) -> "Process":
        """Start `python -m module`."""
        log = self.folder / f"{name or module}-{len(self.processes)}.log"
        process = Process([sys.executable, "-m", module, *words], self.environment | environment, log)
        self.processes.append(process)
        return process

    def worker(self, processes: int = 2, module: str = "ocenter.worker", words: Sequence[str] = ()) -> "Process":
        """Start a worker for all queues and wait until it listens."""
        worker = self.run(module, *words, OCENTER_WORKER_PROCESSES=str(processes))
        until(lambda: " ready." in worker.said(), worker.said)
        return worker

    def beat(self) -> "Process":
        return self.run("ocenter.beat")

    def end_processes(self) -> None:
        while self.processes:
            self.processes.pop().end()

    def stop(self) -> None:
        self.end_processes()
        for name, ask in (("postgres", signal.SIGINT), ("valkey", signal.SIGTERM)):
            if pid := self._pids.pop(name, None):
                child.stop(pid, child.started(pid), ask, PATIENCE_SECONDS)
                os.waitpid(pid, 0)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _fork(self, name: str, command: list[str], account: embedded.Account, ask: signal.Signals) -> None:
        run = partial(child.become, command, account=account, orphan_signal=ask)
        self._pids[name] = child.fork(run, log=self.folder / f"{name}.log", orphan_signal=ask)


class Process:
    """A process of ocenter in a group of its own, and what it says."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("wb") as output:
            self._popen = subprocess.Popen(
                command, cwd=CHECKOUT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.pid = self._popen.pid

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def ask(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        return self._popen.wait(seconds)

    def children(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def end(self) -> None:
        if self.is_alive():
            os.killpg(self.pid, signal.SIGKILL)
            self._popen.wait()


def until(condition: Callable[[], Any], words: Callable[[], str] = str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for something."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, words()
        time.sleep(0.05)
