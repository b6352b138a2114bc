"""A host that the real helper changes, below a folder: files and lists are real, accounts and processes played."""

import io
import json
import os
import shutil
import stat
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from connectors.baremetal import desired
from connectors.baremetal.hostctl import __main__ as hostctl
from connectors.baremetal.hostctl import acl
from connectors.baremetal.hostctl.errors import Incomplete
from connectors.baremetal.hostctl.host import Account, Host
from tests.connectors.baremetal import double_ssh

WHO = "SHA256:of-this-host"
INSTALLATION = "0198c0de-0000-7000-8000-00000000c0de"
ALICE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIsgx6tT5SC0Zy9cCPuvF3kpcFI1s0dwcdn1zJXtVVVV alice"
BOB = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIsgx6tT5SC0Zy9cCPuvF3kpcFI1s0dwcdn1zJXtWWWW bob"
DONE, REFUSED, STALE, INCOMPLETE = 0, 2, 3, 4
SHARED = ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"]
CARDS = [f"/dev/nvidia{number}" for number in range(4)]


MEMORY = [f"var/lib/ocenter/{name}" for name in ("desired.json", "released.json", "lock")]


class Killed(BaseException):
    """The helper is killed: nothing in it may catch this."""


class PlayedHost(Host):
    """``dies_at`` ends the helper before that change (counted from 1); ``ended`` are the processes that it ended.

    Regular files stand in for device nodes, each a device of its own. ``owners`` are the uids of files by their paths.
    """

    def __init__(self, root: Path, who: str = WHO) -> None:
        super().__init__(str(root))
        self.dies_at = 0
        self.ended: list[int] = []
        self.deathless: set[int] = set()
        self.owners: dict[str, int] = {}
        for folder in ("etc", "dev", "proc", "home", "tmp"):
            (root / folder).mkdir(parents=True)
        (root / "etc/passwd").write_text(
            "root:x:0:0:root:/root:/bin/bash\nocenter:x:999:999::/home/ocenter:/bin/bash\n"
        )
        (root / "etc/group").write_text("root:x:0:\ndocker:x:998:\n")
        (root / "etc/ocenter").mkdir()
        (root / "etc/ocenter/host").write_text(who + "\n")
        (root / "etc/ocenter/service").mkdir()
        (root / "etc/ocenter/service/ocenter").write_text("restrict,command=... ssh-ed25519 AAAA\n")
        for node in (*CARDS, *SHARED):
            self.make_node(node)

    def make_node(self, node: str) -> None:
        """Make a device node as a driver does."""
        path = self.path(node)
        path.unlink(missing_ok=True)
        path.touch()
        path.chmod(0o666)

    # --- what the helper calls ----------------------------------------------------------------------------------------

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        self._count()
        super().write(name, text, mode)

    def unlink(self, name: str) -> None:
        self._count()
        super().unlink(name)

    def run(self, *command: str) -> str:
        """Play the programs that change accounts; ``useradd`` makes home and group, ``userdel`` takes the group."""
        self._count()
        program, name = command[0], command[-1]
        given = dict(pairwise(command))
        accounts, groups = self.accounts(), self.text("/etc/group") or ""
        if program == "useradd":
            accounts.append(Account(name, int(given["-u"]), given["-c"], f"/home/{name}"))
            groups += f"{name}:x:{given['-u']}:\n"
            self.path(f"/home/{name}").mkdir(mode=0o700)
        elif program == "usermod":
            accounts = [replace(each, comment=given["-c"]) if each.name == name else each for each in accounts]
        elif program == "userdel":
            accounts = [each for each in accounts if each.name != name]
        if program in ("userdel", "groupdel"):
            groups = "".join(f"{line}\n" for line in groups.splitlines() if not line.startswith(f"{name}:"))
        lines = [f"{a.name}:x:{a.uid}:{a.uid}:{a.comment}:{a.home}:/bin/bash\n" for a in accounts]
        self.path("/etc/passwd").write_text("".join(lines))
        self.path("/etc/group").write_text(groups)
        return ""

    def end(self, find) -> None:
        for pid in list(find()):
            if pid in self.deathless:
                raise Incomplete(f"processes {[pid]} cannot be ended")
            self.ended.append(pid)
            shutil.rmtree(self.path(f"/proc/{pid}"))

    def _number_in(self, status: os.stat_result) -> int | None:
        return status.st_ino if stat.S_ISREG(status.st_mode) else None

    def _owner(self, path: Path) -> int:
        return self.owners.get("/" + str(path.relative_to(self.root)), 0)

    def _count(self) -> None:
        if self.dies_at:
            self.dies_at -= 1
            if not self.dies_at:
                raise Killed

    # --- what a test does and sees ------------------------------------------------------------------------------------

    def start(self, pid: int, uid: int, node: str) -> None:
        """Start a program that holds a node."""
        folder = self.path(f"/proc/{pid}/fd")
        folder.mkdir(parents=True)
        folder.with_name("status").write_text(f"State:\tS (sleeping)\nUid:\t{uid}\t0\t0\t0\n")
        (folder / "3").symlink_to(node)

    def may(self, uid: int) -> list[str]:
        """Return the nodes that a user may open."""
        nodes = sorted(str(path) for path in self.path("/dev").iterdir() if not path.is_symlink())
        access = {node: acl.read(Path(node)) for node in nodes}
        return [
            node.removeprefix(str(self.root).rstrip("/"))
            for node in nodes
            if (uid in access[node].granted if uid in access[node].users else access[node].other & 6 == 6)
        ]

    def snapshot(self) -> dict[str, str]:
        """Return all that is on the host, but the helper's memory of generations and its lock."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            if path.is_file() and name not in MEMORY:
                found[name] = f"{path.stat().st_mode:o} {path.read_text()} {os.listxattr(path)}"
        return found


def lease(user: str, uid: int, *numbers: int, **more) -> dict[str, Any]:
    return {
        "id": f"A-{user}/0",
        "user": user,
        "uid": uid,
        "keys": [ALICE],
        "cards": [f"GPU-{number}" for number in numbers],
        "devices": [CARDS[number] for number in numbers],
        "shared": SHARED,
        "env": {"CUDA_VISIBLE_DEVICES": ",".join(f"GPU-{number}" for number in numbers)},
        "limits": {},
        "expires": None,
        **more,
    }


def document(generation: int, *leases: dict[str, Any], **more) -> dict[str, Any]:
    return {
        "version": 1,
        "host": WHO,
        "installation": INSTALLATION,
        "target": "oc-host",
        "generation": generation,
        "nodes": [*CARDS, *SHARED],
        "leases": list(leases),
        **more,
    }


ALICES = lease("oc-alice", 61001, 0, 1, expires="2030-01-02T03:04:05+00:00")
BOBS = lease("oc-bob", 61002, 2, keys=[BOB])
BOTH = document(1, ALICES, BOBS)


def objects(answer: dict[str, Any]) -> list[str]:
    """Return the steps that the helper took or planned, in a word each."""
    return [f"{step['verb']} {step['object']}" for step in answer["changes"]]


def call(host: Host, verb: str, given: object = None) -> tuple[int, dict[str, Any]]:
    """Run the helper, and return exit code and answer."""
    told = io.StringIO()
    text = given if isinstance(given, str) else json.dumps(given)
    code = hostctl.main([verb], io.StringIO(text), told, host)
    return code, json.loads(told.getvalue())


class HelpedHost(double_ssh.Host):
    """A host that answers SSH and has the helper. ``before`` and ``after`` surround the next apply."""

    def __init__(self, name: str, address: str, programs: dict[str, str], root: Path) -> None:
        super().__init__(name, address, programs)
        self.has_helper = True
        self.played = PlayedHost(root, self.key.get_fingerprint("sha256"))
        self.applies = 0
        self.may_apply = True
        self.on_apply = self._apply
        self.replies[desired.OBSERVE] = lambda _stdin: self._helper("observe", "")
        self.replies[desired.PLAN] = lambda stdin: self._helper("plan", stdin)
        self.replies[desired.APPLY] = lambda stdin: self.on_apply(stdin)
        self.replies[desired.RIGHTS] = lambda _stdin: (0, "") if self.may_apply else (1, "")

    def _helper(self, verb: str, stdin: str) -> tuple[int, str]:
        told = io.StringIO()
        code = hostctl.main([verb], io.StringIO(stdin), told, self.played)
        return code, told.getvalue()

    def _apply(self, stdin: str) -> tuple[int, str]:
        return self._helper("apply", stdin) if self.may_apply else (1, "sudo: a password is required")

    @contextmanager
    def once(self, answer):
        """Let ``answer(stdin, apply)`` answer the next apply."""
        used = []

        def on_apply(stdin):
            if used:
                return self._apply(stdin)
            used.append(stdin)
            return answer(stdin, self._apply)

        self.on_apply = on_apply
        yield used
        self.on_apply = self._apply
