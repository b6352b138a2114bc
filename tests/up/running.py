"""A real `manage.py up` on a home of its own, as its user sees it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from ocenter import addresses, child

CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 90

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="not root, so nothing runs as another user")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_environment(**extra: str) -> dict[str, str]:
    """Return this environment without what the tests' own servers have set."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OCENTER_", "DJANGO_", "PYTEST_")) or name == "OCENTER_BACKENDS"
    }
    return {**kept, **extra}


class Installation:
    """One home folder and what runs on it."""

    def __init__(self, folder: Path, prefix: tuple[str, ...] = (), **environment: str) -> None:
        self.home = folder / "var"
        self.port = free_port()
        self.output = folder / "output"
        self.command = [*prefix, sys.executable, "manage.py", "up"]
        self.environment = clean_environment(OCENTER_HOME=str(self.home), OCENTER_PORT=str(self.port), **environment)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, is_awaited: bool = True) -> None:
        """Start `up` and wait for its first page."""
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                self.command, cwd=CHECKOUT, env=self.environment, stdout=output, stderr=subprocess.STDOUT
            )
        if is_awaited:
            self.until(lambda: "ocenter runs at" in self.said())

    def refused(self, *, last_line_only: bool = True) -> str:
        """Start `up` where it cannot; return what it says. It ends with an error code."""
        ran = subprocess.run(
            self.command, cwd=CHECKOUT, env=self.environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS
        )
        assert ran.returncode != 0, ran.stdout
        assert "Traceback" not in ran.stderr + ran.stdout
        return ran.stderr.strip().splitlines()[-1] if last_line_only else ran.stderr

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)

    def said(self) -> str:
        return self.output.read_text()

    def children(self) -> dict[str, dict[str, Any]]:
        try:
            kept = json.loads((self.home / "run" / "status.json").read_text())
        except FileNotFoundError:
            return {}
        return {one["name"]: one for one in kept["children"]}

    def ready(self) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=10) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            return dict(json.load(error))
        except OSError:
            return {"ready": False, "checks": {}}

    def until(self, condition: Any) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, (self.said(), self.ready())
            assert self.process is not None and self.process.poll() is None, self.said()
            time.sleep(0.1)

    def orphans(self) -> list[str]:
        """Return every process that still works for this home."""
        digest = addresses.digest(self.home)
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if (digest.encode() in words or os.fsencode(self.home) in words) and child.started(int(entry.name)):
                found.append(f"{entry.name} {(entry / 'cmdline').read_bytes()!r}")
        return found

    def await_no_orphan(self, seconds: float = 15) -> None:
        """Wait until nothing works for this home: the kernel ends children soon after their parent."""
        deadline = time.monotonic() + seconds
        while left := self.orphans():
            assert time.monotonic() < deadline, left
            time.sleep(0.1)

    def clean(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        data = self.home / "postgres"
        try:
            self.await_no_orphan()
        finally:
            if data.is_symlink():
                shutil.rmtree(data.resolve().parent, ignore_errors=True)
            for folder in (addresses.postgres_sockets(self.home), addresses.valkey_sockets(self.home)):
                shutil.rmtree(folder, ignore_errors=True)
