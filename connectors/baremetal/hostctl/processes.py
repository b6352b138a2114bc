"""The programs of a host: whose they are, which device nodes they have open, and how they are ended."""

from __future__ import annotations

import os
import re
import signal
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import Incomplete
from .tree import Tree

TERM_SECONDS, KILL_SECONDS, LOOK_SECONDS = 2.0, 2.0, 0.02
DELETED = " (deleted)"


@dataclass(frozen=True)
class Holder:
    """A process that has a node open."""

    pid: int
    uid: int


class Processes(Tree):
    """What runs on a host."""

    def processes_of(self, uid: int) -> list[int]:
        """Return the processes that run as a user."""
        return [pid for pid, owner in self.running() if owner == uid]

    def holders(self, nodes: Iterable[str]) -> dict[str, list[Holder]]:
        """Return who has each node open: by its path, or by its device's own number, which no mount can hide.

        A number that two of the nodes share, or that is the null device's, is a stand-in's and tells nothing. A node
        that was made anew in between counts by its path.
        """
        held: dict[str, set[Holder]] = {node: set() for node in nodes}
        numbered = self._numbered(held)
        for pid, uid in self.running():
            for path, number in self._open_files(pid):
                for node in {path, numbered.get(number, path)} & held.keys():
                    held[node].add(Holder(pid, uid))
        return {node: sorted(found, key=lambda holder: holder.pid) for node, found in held.items()}

    def has_device(self, node: str) -> bool:
        """Whether a character device is at this very place. A link, or a file, that somebody put there is none."""
        path = self.path(node)
        is_itself = os.path.realpath(path) == str(self.root.resolve() / node.lstrip("/"))
        return is_itself and self._number(path) is not None

    def end(self, find: Callable[[], Iterable[int]]) -> None:
        """End what ``find`` finds until it finds nothing, by force at last. Raises Incomplete when something stays.

        A program that is asked to end may start another one instead, so each look asks or kills what is new.
        """
        asked: set[int] = set()
        for number, seconds in ((signal.SIGTERM, TERM_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
            give_up_at = time.monotonic() + seconds
            # Twice: while we look, one may have given way to another that is not in our list of processes yet.
            while left := set(find()) or set(find()):
                for pid in left if number == signal.SIGKILL else left - asked:
                    self._signal(pid, number)
                asked |= left
                if time.monotonic() > give_up_at:
                    break
                time.sleep(LOOK_SECONDS)
        if left := set(find()):
            raise Incomplete(f"processes {sorted(left)} cannot be ended")

    def _signal(self, pid: int, number: signal.Signals) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return

    def running(self) -> Iterator[tuple[int, int]]:
        """Yield pid and uid of each living process."""
        for entry in self.path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            # Not the folder's owner: that is root for a process which asked the kernel not to be looked at.
            found = re.search(
                r"^State:\s+(?![ZX])\S.*?^Uid:\s+(\d+)", self._status(entry.name), re.MULTILINE | re.DOTALL
            )
            if found:
                yield int(entry.name), int(found[1])

    def _status(self, pid: str) -> str:
        try:
            return self.text(f"/proc/{pid}/status") or ""
        except ProcessLookupError:
            return ""

    def _open_files(self, pid: int) -> Iterator[tuple[str, int | None]]:
        try:
            for entry in self.path(f"/proc/{pid}/fd").iterdir():
                yield str(entry.readlink()).removesuffix(DELETED), self._number(entry, is_followed=True)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return

    def _numbered(self, nodes: Iterable[str]) -> dict[int | None, str]:
        numbers = {node: self._number(self.path(node)) for node in nodes}
        counts = Counter([*numbers.values(), self._number(self.path("/dev/null"))])
        return {number: node for node, number in numbers.items() if number is not None and counts[number] == 1}

    def _number(self, path: Path, is_followed: bool = False) -> int | None:
        """Return the number of a character device, None for anything else."""
        try:
            return self._number_in(path.stat() if is_followed else path.lstat())
        except OSError:
            return None

    def _number_in(self, status: os.stat_result) -> int | None:
        return status.st_rdev if stat.S_ISCHR(status.st_mode) else None
