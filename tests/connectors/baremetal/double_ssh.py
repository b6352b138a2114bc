"""Hosts that answer SSH, played in this process by asyncssh's server: real keys, real log-ins, recorded tools."""

import asyncio
import copy
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import asyncssh

from connectors.baremetal import desired
from connectors.baremetal.look import LOOK
from connectors.baremetal.ssh import bounded

RECORDED = Path(__file__).parent / "recorded"
CLIENT_KEY = asyncssh.generate_private_key("ssh-ed25519")
OTHER_KEY = asyncssh.generate_private_key("ssh-ed25519")

Said = tuple[int, str]
Reply = Said | Callable[[str], Said]
"""Exit code and output, or what makes them from the standard input."""


def recorded(name: str) -> str:
    return (RECORDED / name).read_text(encoding="utf-8")


def private(key: asyncssh.SSHKey) -> str:
    return key.export_private_key().decode()


def nvidia_xml(*uuids: str, has_processes: bool = False) -> str:
    """The recorded T4 once for each uuid, each with a bus address, minor and serial number of its own."""
    root = ElementTree.fromstring(recorded("tesla-t4.xml"))
    block = part(root, "gpu")
    root.remove(block)
    part(root, "attached_gpus").text = str(len(uuids))
    for index, uuid in enumerate(uuids):
        gpu = copy.deepcopy(block)
        part(gpu, "uuid").text = uuid
        part(gpu, "serial").text = f"1650522{zlib.crc32(uuid.encode()):010}"
        part(gpu, "minor_number").text = str(index)
        part(gpu, "pci/pci_bus_id").text = f"00000000:{0x18 + index:02X}:00.0"
        if not has_processes:
            part(gpu, "processes").clear()
        root.append(gpu)
    return ElementTree.tostring(root, encoding="unicode")


def part(element: ElementTree.Element, path: str) -> ElementTree.Element:
    found = element.find(path)
    assert found is not None, path
    return found


class Count:
    """How many there are now, and were at most. Hosts may share one."""

    def __init__(self) -> None:
        self.now = self.most = self.all = 0

    def begin(self) -> None:
        self.now += 1
        self.all += 1
        self.most = max(self.most, self.now)

    def end(self) -> None:
        self.now -= 1


class Host:
    """One host. ``replies`` are by exact command line; what is not there exits with 127.

    ``cut_once`` breaks the connection after so many bytes of a command's output, ``stuck`` commands never end.
    """

    def __init__(self, name: str, address: str, programs: dict[str, str]) -> None:
        self.name = name
        self.address = address
        self.port = 0
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self.shown_key = self.key
        self.accepts = CLIENT_KEY
        self.seconds_ahead = 0
        self.has_helper = False
        self.more_lines: list[str] = []
        self.replies: dict[str, Reply] = {bounded(line): (0, output) for line, output in programs.items()}
        self.cut_once: dict[str, int] = {}
        self.stuck: set[str] = set()
        self.commands: list[str] = []
        self.users: list[str] = []
        self.logins, self.sessions = Count(), Count()

    def say(self, command: str, stdin: str) -> Said:
        reply = self._look() if command == LOOK and LOOK not in self.replies else self.replies.get(command, (127, ""))
        return reply(stdin) if callable(reply) else reply

    def fail(self, tool: str, code: int, words: str) -> None:
        """Let every command of a tool end like this."""
        for command in list(self.replies):
            if command.startswith(bounded(tool)):
                self.replies[command] = (code, words)

    def _look(self) -> Said:
        programs = sorted({command.split()[4] for command in self.replies if command.startswith("timeout")})
        lines = [f"name {self.name}", f"seconds {int(time.time()) + self.seconds_ahead}", "cpus 64"]
        lines += ["memory_kib 527966344", *(f"tool {program}" for program in programs)]
        lines += [*(["helper"] if self.has_helper else []), *self.more_lines, "end"]
        return 0, "\n".join(lines) + "\n"

    def setting(self) -> dict[str, Any]:
        key = self.key.export_public_key().decode().strip()
        return {"name": self.name, "address": self.address, "port": self.port, "host_key": key}


class Site:
    """The hosts of one pool."""

    def __init__(self, hosts: list[Host]) -> None:
        self.hosts = hosts

    def __getitem__(self, name: str) -> Host:
        return next(host for host in self.hosts if host.name == name)

    @property
    def settings(self) -> dict[str, Any]:
        return {"site": "double", "hosts": json.dumps([host.setting() for host in self.hosts])}

    @property
    def credential(self) -> dict[str, Any]:
        return {"private_key": private(CLIENT_KEY)}


def usual_hosts() -> list[Host]:
    """Two of NVIDIA, one of Ascend, one of MetaX, and one without cards."""
    return [
        Host("gpu01", "127.77.9.1", {"nvidia-smi -q -x": nvidia_xml("GPU-aa01", "GPU-aa02")}),
        Host("gpu02", "127.77.9.2", {"nvidia-smi -q -x": nvidia_xml("GPU-bb01", "GPU-bb02")}),
        Host("gpu03", "127.77.9.3", {"npu-smi info": recorded("npu-smi-info-910b2c.txt")}),
        Host("gpu04", "127.77.9.4", {"mx-smi": recorded("mx-smi-c550.txt"), "mx-smi -L": ""}),
        Host("cpu01", "127.77.9.5", {}),
    ]


@contextmanager
def served(hosts: list[Host] | None = None) -> Iterator[Site]:
    """Serve the hosts in a thread of their own."""
    site = Site(usual_hosts() if hosts is None else hosts)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    servers = [asyncio.run_coroutine_threadsafe(_serve(host), loop).result(10) for host in site.hosts]
    try:
        yield site
    finally:
        asyncio.run_coroutine_threadsafe(_stop(servers), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _serve(host: Host) -> asyncssh.SSHAcceptor:
    acceptor = await asyncssh.listen(
        host.address,
        0,
        server_host_keys=[host.shown_key],
        server_factory=lambda: _Server(host),
        process_factory=lambda process: _answer(host, process),
        encoding=None,
    )
    host.port = acceptor.get_port()
    return acceptor


async def _stop(servers: list[asyncssh.SSHAcceptor]) -> None:
    for server in servers:
        server.close()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class _Server(asyncssh.SSHServer):
    def __init__(self, host: Host) -> None:
        self._host = host
        self._is_logging_in = True

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._host.logins.begin()
        self._host.sessions.begin()

    def auth_completed(self) -> None:
        self._is_logging_in = False
        self._host.logins.end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._host.sessions.end()
        if self._is_logging_in:
            self._host.logins.end()

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        self._host.users.append(username)
        return key.public_data == self._host.accepts.public_data


async def _answer(host: Host, process: "asyncssh.SSHServerProcess[bytes]") -> None:
    command = process.command or ""
    host.commands.append(command)
    if command in host.stuck:
        await asyncio.sleep(3600)
    stdin = (await process.stdin.read()).decode()
    code, output = host.say(command, stdin)
    if (most := host.cut_once.pop(command, None)) is not None:
        process.stdout.write(output.encode()[:most])
        await process.stdout.drain()
        process.get_extra_info("connection").abort()
        return
    process.stdout.write(output.encode())
    process.exit(code)


def with_document(host: Host, installation: str, **nodes_of: str) -> None:
    """Give the host a helper that tells of leases: marker (``oc_a`` for ``oc-a``) and the one node that it has."""
    leases = [{"user": user.replace("_", "-"), "devices": [node]} for user, node in nodes_of.items()]
    told = {"version": 1, "document": {"installation": installation, "generation": 3, "leases": leases}, "holders": {}}
    host.has_helper = True
    host.replies[desired.OBSERVE] = (0, json.dumps(told))
