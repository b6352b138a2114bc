"""One parent that starts, watches, restarts and stops the processes of an installation."""

import fcntl
import json
import os
import select
import shutil
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from ocenter import child, embedded, health
from ocenter.errors import Trouble
from ocenter.home import write_private
from ocenter.terminal import say

LONGEST_PAUSE_SECONDS = 30
PROVEN_SECONDS = 60
LOG_BYTES = 20 * 2**20


class Stopped(Exception):
    """Somebody asked for the end while we were waiting for something."""


@dataclass(slots=True)
class Child:
    """A process to keep alive, or with `is_once` to run to its end.

    `run` is called in the new process; `ask` is the signal for an orderly stop and `orphan_signal` what the kernel
    sends when the parent is killed. `state`: starting, running, waiting (for its next start), done, stopped.
    """

    name: str
    run: Callable[[], object]
    ask: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL
    patience_seconds: float = 15
    is_once: bool = False
    pid: int = 0
    start_time: str = ""
    state: str = "stopped"
    restarts: int = 0
    last_exit: str | None = None
    since: float = field(default_factory=time.time)
    pause_seconds: float = 0
    next_start: float = 0


class Supervisor:
    """Children start in the order they are added and stop in the opposite one."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.children: list[Child] = []
        self.stops_asked = 0
        self._lock = _lock(home)
        self._bell, bell = socket.socketpair()
        for end in (self._bell, bell):
            end.setblocking(False)
        self._ringer = bell
        signal.set_wakeup_fd(bell.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._asked_to_stop)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    def start(self, new: Child) -> Child:
        self.children.append(new)
        self._launch(new)
        return new

    def until(self, condition: Callable[[], bool], needed: Child, patience_seconds: float) -> None:
        """Wait for something that `needed` brings about, while watching all.

        Raises: Trouble when it dies or is too slow; Stopped.
        """
        deadline = time.monotonic() + patience_seconds
        while not condition():
            if self.stops_asked:
                raise Stopped
            if needed.state in ("waiting", "stopped") or (needed.state == "done" and needed.last_exit != "exit 0"):
                raise Trouble(self._last_words(needed))
            if time.monotonic() > deadline:
                raise Trouble(f"{needed.name} was not ready after {patience_seconds:.0f} s; see {self.log(needed)}.")
            self._turn(0.05)
        if needed.state == "starting":
            self._change(needed, "running")

    def watch(self, *, every_day: Child) -> None:
        """Keep all alive until somebody asks to stop. `every_day` is run again each 24 hours."""
        next_day = time.monotonic() + 86400
        while not self.stops_asked:
            self._turn(1)
            if time.monotonic() > next_day:
                next_day += 86400
                self._launch(every_day)
                for each in self.children:
                    _shorten(self.log(each))

    def stop(self) -> None:
        """End every child in the opposite order of their start; two more requests to stop shorten the wait."""
        asked = self.stops_asked
        for each in reversed(self.children):
            if each.pid:
                child.stop(
                    each.pid, each.start_time, each.ask, each.patience_seconds, lambda: self.stops_asked > asked + 1
                )
                self._reap(each, block=True)
            self._change(each, "stopped")
        signal.set_wakeup_fd(-1)
        os.close(self._lock)

    def log(self, of: Child) -> Path:
        return self.home / "logs" / f"{of.name}.log"

    def _turn(self, seconds: float) -> None:
        """Sleep until something happens, then see who died and who may start again."""
        if select.select([self._bell], [], [], seconds)[0]:
            self._bell.recv(4096)
        for each in self.children:
            if each.pid:
                self._reap(each)
            if each.state == "waiting" and time.monotonic() >= each.next_start and not self.stops_asked:
                each.restarts += 1
                self._launch(each)
            elif each.state == "starting" and time.time() - each.since > 5:
                self._change(each, "running")

    def _launch(self, each: Child) -> None:
        log = None if each.is_once else self.log(each)
        if log is not None:
            _shorten(log)
        each.pid = child.fork(each.run, log=log, orphan_signal=each.orphan_signal)
        each.start_time = child.started(each.pid) or ""
        self._change(each, "starting")

    def _reap(self, each: Child, *, block: bool = False) -> None:
        pid, status = os.waitpid(each.pid, 0 if block else os.WNOHANG)
        if pid == 0:
            return
        code = os.waitstatus_to_exitcode(status)
        each.last_exit = f"exit {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        child.kill_group(each.pid)
        each.pid = 0
        if block or self.stops_asked:
            self._change(each, "stopped")
        elif each.is_once:
            self._change(each, "done")
        else:
            lived = time.time() - each.since
            each.pause_seconds = (
                1 if lived > PROVEN_SECONDS else min(LONGEST_PAUSE_SECONDS, each.pause_seconds * 2 or 1)
            )
            each.next_start = time.monotonic() + each.pause_seconds
            self._change(each, "waiting")
            say(
                f"{each.name} ended ({each.last_exit}) and is started again in {each.pause_seconds:.0f} s; "
                f"see {self.log(each)}"
            )

    def _change(self, each: Child, state: str) -> None:
        each.state, each.since = state, time.time()
        write_private(
            self.home / health.STATUS,
            json.dumps({"children": [_record(one) for one in self.children if one.pid or not one.is_once]}),
        )

    def _last_words(self, of: Child) -> str:
        if of.is_once:
            return f"{of.name} failed ({of.last_exit}); the reason stands above."
        words = self.log(of).read_text(encoding="utf-8", errors="replace")[-4096:]
        return embedded.explain(words, f"{of.name} could not start ({of.last_exit}, see {self.log(of)})")

    def _asked_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stops_asked += 1


def stop_leftovers(home: Path, folders: tuple[Path, ...]) -> None:
    """Stop what a killed parent left behind: what it recorded, and any server at work in one of `folders`.

    Call it under the lock of the home only.
    """
    for left in reversed(health.children(home)):
        if left["pid"] and left["start_time"]:
            child.stop(left["pid"], left["start_time"], signal.Signals[left["ask"]], 20)
    for folder in folders:
        for pid in child.working_in(folder):
            child.stop(pid, child.started(pid), signal.SIGINT, 20)
    (home / health.STATUS).unlink(missing_ok=True)


def _record(one: Child) -> dict[str, object]:
    return {
        "name": one.name,
        "pid": one.pid or None,
        "state": one.state,
        "restarts": one.restarts,
        "last_exit": one.last_exit,
        "since": one.since,
        "start_time": one.start_time,
        "ask": one.orphan_signal.name,
    }


def _lock(home: Path) -> int:
    """Return the open lock of a home; it ends with this process, however that ends.

    Raises: Trouble when another process has it.
    """
    descriptor = os.open(home / "run" / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        other = os.read(descriptor, 32).decode() or "unknown"
        os.close(descriptor)
        raise Trouble(
            f"ocenter already runs on {home} (process {other}); stop that one or set OCENTER_HOME to another folder."
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def _shorten(log: Path) -> None:
    """Keep one old file beside the current one, which a process may have open."""
    if log.exists() and log.stat().st_size > LOG_BYTES:
        shutil.copyfile(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)
