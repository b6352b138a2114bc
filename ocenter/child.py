"""Processes that die with their parent, and telling them apart later without trusting a pid alone."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from ocenter.embedded import Account
from ocenter.errors import Trouble
from ocenter.terminal import say

_PR_SET_PDEATHSIG = 1


def fork(run: Callable[[], object], *, log: Path | None = None, orphan_signal: signal.Signals = signal.SIGKILL) -> int:
    """Run something in a new process and return its pid. What is imported here needs no second import there.

    The process leads a session of its own, so that Ctrl-C reaches the parent alone and the parent keeps the order.
    `log`: where it writes, else where the parent does. `orphan_signal`: what the kernel sends it when the parent dies.
    Call it from the main thread while no other runs: the kernel's promise ends with the thread that forked.
    """
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.setsid()
        die_with_parent(parent, orphan_signal)
        _let_go(log)
        run()
        status = 0
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else 1
    except Trouble as trouble:
        say(str(trouble))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def become(command: list[str], *, account: Account, orphan_signal: signal.Signals) -> NoReturn:
    """Replace this process by a program, as another user where `account` says so."""
    if account.uid is not None and account.gid is not None:
        parent = os.getppid()
        os.setgroups([])
        os.setgid(account.gid)
        os.setuid(account.uid)
        die_with_parent(parent, orphan_signal)  # the kernel forgets the promise when the user changes
    os.chdir("/")
    os.execve(command[0], command, {"LC_ALL": "C", "PATH": os.defpath})  # noqa: S606  # a shell is not wanted


def die_with_parent(parent: int, last_signal: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal when the one that made it, `parent`, dies (Linux).

    Ends this process when that has happened already: the kernel would never say so.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(last_signal))
    if os.getppid() != parent:
        os._exit(1)


def started(pid: int) -> str | None:
    """Return when a living process started, in the system's own words, or None: a pid may come again, both cannot."""
    if sys.platform != "linux":
        said = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return said.stdout.strip() or None
    try:
        # Fields after the name in brackets, which may hold anything: state is the first, start time the 20th.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def working_in(folder: Path) -> list[int]:
    """Return the processes whose working directory is `folder` (Linux): a server that nobody recorded."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").readlink() == folder and started(int(entry.name)) is not None:
                found.append(int(entry.name))
    return sorted(found)


def stop(
    pid: int,
    start_time: str | None,
    ask: signal.Signals,
    patience_seconds: float,
    is_in_a_hurry: Callable[[], bool] = lambda: False,
) -> None:
    """Ask a process that `fork` made to end, wait, then kill it and whatever is left of its group."""
    if start_time and started(pid) == start_time:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, ask)
        deadline = time.monotonic() + patience_seconds
        while started(pid) == start_time and time.monotonic() < deadline and not is_in_a_hurry():
            time.sleep(0.02)
    elif started(pid) is not None:
        return  # the pid is somebody else's by now, and so may be the group
    kill_group(pid)


def kill_group(pid: int) -> None:
    """Kill what a leader left behind: the number of a group is not given out again while a member lives."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _let_go(log: Path | None) -> None:
    """Drop what belongs to the parent: its signal handlers, its input, its lock and its other open files."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if log is not None:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, 1)
        os.dup2(file, 2)
    os.closerange(3, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") < 65536 else 65536)
