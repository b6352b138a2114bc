"""The real hosts after the person who prepares them was there, and people who log in to them."""

import json
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path

import asyncssh

from connectors.baremetal import __main__ as command
from connectors.baremetal import hosts
from tests.connectors.baremetal.backend import Backend, running

PREPARED = ("gpu01", "gpu03", "gpu04", "gpu05")
LOGIN_SECONDS = 30
SNAPSHOT = (
    "cat /etc/passwd /etc/group /etc/subuid 2>/dev/null; ls -lR /etc/ocenter /etc/sudoers.d /home /etc/systemd/system "
    "/etc/ssh/sshd_config.d /usr/local/bin /usr/local/sbin | sed 's/  *[A-Z][a-z][a-z]  *[0-9]* [0-9:]*//'; "
    "find /dev -type c -not -path '*pts*' | sort | xargs getfacl -p"
)


class Real:
    """The prepared hosts, and what the person who prepares them does by hand."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.unprepared: dict[str, str] = {}

    def root(self, name: str, script: str) -> str:
        said = self.ssh(
            name, self.backend.inventory["admin_user"], self.backend.inventory["admin_key"], "sudo sh -s", script
        )
        assert said.returncode == 0, said.stderr
        return said.stdout

    def ssh(self, name: str, user: str, key: object, line: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        way = self.backend.hosts[name]["ssh"]
        options = ("-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=10")
        known = f"UserKnownHostsFile={self.backend.inventory['known_hosts']}"
        target = ("-i", str(key), "-p", str(way["port"]), f"{user}@{way['address']}")
        return subprocess.run(
            ["ssh", *options, "-o", known, *target, line],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=LOGIN_SECONDS,
        )

    def ref(self, name: str) -> str:
        return hosts.fingerprint(asyncssh.import_public_key(self.backend.hosts[name]["ssh"]["host_key"]))

    def gpus(self, name: str) -> list[str]:
        return [f"GPU-{card['uuid']}" for card in self.backend.expected(name)["cards"]]

    def by_hand(self, verb: str, name: str, *more: str) -> int:
        way, inventory = self.backend.hosts[name]["ssh"], self.backend.inventory
        who = ("--fingerprint", self.ref(name), "--admin", inventory["admin_user"], "--key", inventory["admin_key"])
        where = (way["address"], "--port", str(way["port"]), "--allow", "127.0.0.0/8")
        key = ("--service-key", f"{inventory['service_key']}.pub") if verb == "prepare" else ()
        code = command.main([verb, *where, *who, *key, *more])
        give_up_at = time.monotonic() + LOGIN_SECONDS
        while self.ssh(name, inventory["admin_user"], inventory["admin_key"], "true").returncode == 255:
            assert time.monotonic() < give_up_at, "sshd does not come back after it read its files again"
        return code

    def clear(self, name: str) -> None:
        """Give back whatever the host carries."""
        told = json.loads(self.root(name, "/usr/local/sbin/ocenter-hostctl observe"))
        if told["document"] and told["document"]["leases"]:
            empty = {**told["document"], "generation": told["document"]["generation"] + 1, "leases": []}
            self.root(name, f"/usr/local/sbin/ocenter-hostctl apply <<'E'\n{json.dumps(empty)}\nE\n")


class Person:
    """Somebody with a key."""

    def __init__(self, real: Real, folder: Path) -> None:
        self._real = real
        self.private = folder / uuid.uuid4().hex
        key = asyncssh.generate_private_key("ssh-ed25519")
        self.private.write_bytes(key.export_private_key())
        self.private.chmod(0o600)
        self.public = key.export_public_key().decode().strip()

    def runs(self, account: str, line: str, host: str = "gpu01") -> "subprocess.CompletedProcess[str]":
        return self._real.ssh(host, account, self.private, line)

    def opens(self, account: str, *nodes: str, host: str = "gpu01") -> list[str]:
        """Return which of the nodes can be opened."""
        line = "; ".join(f"(exec 3<>{node}) 2>/dev/null && echo {node}" for node in nodes)
        return self.runs(account, f"{line}; true", host).stdout.split()


@contextmanager
def prepared() -> Iterator[Real]:
    """Yield hosts that may be managed; afterwards they are as they were."""
    with running() as backend:
        real = Real(backend)
        for name in PREPARED:
            real.unprepared[name] = real.root(name, SNAPSHOT)
            with redirect_stdout(StringIO()):
                assert real.by_hand("prepare", name, "--yes") == 0
        try:
            yield real
        finally:
            for name in PREPARED:
                real.clear(name)
                with redirect_stdout(StringIO()):
                    assert real.by_hand("remove", name, "--yes") == 0
