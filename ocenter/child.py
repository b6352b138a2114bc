"""One process that dies with its parent, and recognising it later without trusting a pid alone."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from ocenter.embedded import Account

PR_SET_PDEATHSIG = 1


def start(
    command: list[str],
    *,
    output: IO[bytes],
    account: Account | None = None,
    environment: Mapping[str, str] | None = None,
    last_signal: signal.Signals = signal.SIGTERM,
) -> "subprocess.Popen[bytes]":
    """Start a process in a session of its own, so that Ctrl-C reaches the parent alone and the parent keeps the order.

    `last_signal` is what the kernel sends it when the parent dies (Linux; elsewhere the next start stops it).
    Call it from the main thread: the kernel's promise ends with the thread that made the child.
    """
    user = account or Account()
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        user=user.uid,
        group=user.gid,
        extra_groups=[] if user.uid is not None else None,
        env=environment,
        cwd="/" if user.uid is not None else None,
        preexec_fn=_dying_with(os.getpid(), last_signal),
    )


def started(pid: int) -> str | None:
    """Return when a living process started, in the system's own words, or None: a pid may come again, both cannot."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            # Fields after the name in brackets, which may hold anything: state is the first, start time the 20th.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return None if fields[0] == "Z" else fields[19]
        return None
    said = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return said.stdout.strip() or None


def stop(pid: int, start_time: str | None, ask: signal.Signals, patience_seconds: float) -> None:
    """Ask a process of ours to end, wait, then kill it and everything in its session's group."""
    if start_time is not None and started(pid) == start_time:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, ask)
        deadline = time.monotonic() + patience_seconds
        while started(pid) == start_time and time.monotonic() < deadline:
            time.sleep(0.05)
    elif started(pid) is not None:
        return  # the pid is somebody else's by now, so its group may be as well
    kill_group(pid)


def kill_group(pid: int) -> None:
    """Kill what a dead leader left behind: a group's id is not given out again while a member lives."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that made it dies (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))


def _dying_with(parent: int, last_signal: signal.Signals) -> Callable[[], None]:
    if sys.platform != "linux":
        return lambda: None
    libc = ctypes.CDLL(None)

    def promise() -> None:
        # After the change of user, which would clear it. The parent may have died before the call.
        libc.prctl(PR_SET_PDEATHSIG, int(last_signal))
        if os.getppid() != parent:
            os._exit(1)

    return promise
