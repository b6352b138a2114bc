"""The host itself: its lock, accounts and systemd, beside the files and programs that it has."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .document import FIRST_UID, LAST_UID
from .errors import Busy, Incomplete
from .processes import Processes

LOCK_SECONDS, RUN_SECONDS = 10.0, 10.0
_SWEPT = ("tmp", "var/tmp", "dev/shm", "home")
"""Where a user may have left files, which the next one with the same uid would own."""
_OF_USER = ("var/spool/cron/crontabs", "var/spool/cron", "var/lib/systemd/linger", "var/mail")


@dataclass(frozen=True)
class Account:
    """A line of the account file."""

    name: str
    uid: int
    comment: str
    home: str

    @property
    def is_ours(self) -> bool:
        """Whether the helper may remove it: only the helper makes such names with such uids."""
        return self.name.startswith("oc-") and FIRST_UID <= self.uid <= LAST_UID


class Host(Processes):
    """The machine."""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one that changes this host. Raises Busy when another one takes too long."""
        path = self.path("/var/lib/ocenter/lock")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        give_up_at = time.monotonic() + LOCK_SECONDS
        with path.open("w") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > give_up_at:
                        raise Busy("another apply is still at work on this host") from None
                    time.sleep(0.05)
            yield

    # --- accounts -----------------------------------------------------------------------------------------------------

    def accounts(self) -> list[Account]:
        """Return the local accounts."""
        lines = [line.split(":") for line in (self.text("/etc/passwd") or "").splitlines()]
        return [Account(parts[0], int(parts[2]), parts[4], parts[5]) for parts in lines if len(parts) == 7]

    def groups(self) -> dict[str, tuple[int, frozenset[str]]]:
        """Return the local groups: number and the accounts that they list."""
        lines = [line.split(":") for line in (self.text("/etc/group") or "").splitlines()]
        return {parts[0]: (int(parts[2]), frozenset(parts[3].split(","))) for parts in lines if len(parts) == 4}

    def add_account(self, name: str, uid: int, comment: str) -> None:
        """Make an account with a home of its own, a shell, no password and no further group."""
        self._sweep(uid)  # of whoever had the uid before and was removed by other hands
        own = ("-m", "-U", "-K", "UMASK=077")
        self.run("useradd", *own, "-u", str(uid), "-c", comment, "-s", "/bin/bash", "-p", "*", name)

    def mark_account(self, name: str, comment: str) -> None:
        """Replace an account's comment."""
        self.run("usermod", "-c", comment, name)

    def remove_account(self, account: Account) -> None:
        """Remove all that an account left, its home, and it itself last: until then a repeat finds what is left.

        Raises Incomplete while it runs programs.
        """
        if pids := self.processes_of(account.uid):
            raise Incomplete(f"{account.name} still runs the processes {pids}")
        for place in _OF_USER:
            self.path(f"{place}/{account.name}").unlink(missing_ok=True)
        self._sweep(account.uid)
        if (home := self.path(account.home)).is_dir():
            shutil.rmtree(home)
        self.run("userdel", account.name)
        if account.name in self.groups():  # login.defs may tell userdel to leave it
            self.remove_group(account.name)

    def remove_group(self, name: str) -> None:
        """Remove a group."""
        self.run("groupdel", name)

    def _sweep(self, uid: int) -> None:
        for folder in map(self.path, _SWEPT):
            for entry in folder.iterdir() if folder.is_dir() else ():
                if self._owner(entry) == uid:
                    shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()

    def _owner(self, path: Path) -> int:
        return path.lstat().st_uid

    # --- systemd ------------------------------------------------------------------------------------------------------

    @property
    def has_systemd(self) -> bool:
        """Whether systemd runs the host."""
        return self.path("/run/systemd/system").is_dir()

    def reload_systemd(self) -> None:
        """Let systemd read its files again, if it runs."""
        if self.has_systemd:
            self.run("systemctl", "daemon-reload")

    def slice_policy(self, uid: int) -> str:
        """Return what systemd itself believes of a user's slice; it ignores lines it does not like."""
        return self.run("systemctl", "show", f"user-{uid}.slice", "-p", "DevicePolicy,DeviceAllow")

    def run(self, *command: str) -> str:
        """Run a program and return what it prints. Raises Incomplete with its complaint when it fails."""
        path = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
        try:
            done = subprocess.run(command, capture_output=True, text=True, env=path, timeout=RUN_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise Incomplete(f"{command[0]} hangs") from None
        if done.returncode != 0:
            raise Incomplete(f"{command[0]} failed: {done.stderr.strip()[:500]}")
        return done.stdout
