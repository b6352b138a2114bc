"""Say commands to hosts over SSH: each host by its pinned key only, within bounds of time, size and number.

Facts: asyncssh trusts every host when ``known_hosts`` is None, and reads the worker's own ssh configuration and agent
unless told not to. A client that gives up leaves the remote command running, so ``bounded`` lets the host end it.
"""

import asyncio
import ipaddress
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import asyncssh
from msgspec import Struct

from connectors import addresses, failures
from connectors.addresses import Address, Outgoing
from connectors.baremetal.hosts import Host
from connectors.baremetal.refusals import Seen, from_ssh
from connectors.contract import ConnectorError, Permanent, Transient

CONNECT_SECONDS, LOGIN_SECONDS, COMMAND_SECONDS, HOST_SECONDS = 5, 10, 20, 30
AT_ONCE, LOGINS_PER_ADDRESS = 32, 4
"""sshd drops log-ins above MaxStartups (10), and counts each a little longer than we do: with 8 more got lost."""
MOST_BYTES = 8 * 2**20
"""Of one command's output; the longest recorded one, eight cards with MIG, is far below."""
NOT_EXECUTABLE, NOT_FOUND = 126, 127
ENDED_BY_TIME = frozenset({124, 137})
"""What ``timeout`` exits with when it had to end, or to kill, its command."""

asyncssh.set_log_level("WARNING")  # below it tells ten lines a host, with each command in them

T = TypeVar("T")


class Answer(Struct, frozen=True):
    """How a command ended: exit code (None: a signal ended it), what it printed and what it complained of."""

    code: int | None
    output: str
    complaint: str = ""

    @property
    def byte_count(self) -> int:
        """How much the host sent, about."""
        return len(self.output) + len(self.complaint)


def bounded(command: str) -> str:
    """Return the command as it is sent: the host itself ends it after COMMAND_SECONDS."""
    return f"timeout -k 2 {COMMAND_SECONDS} {command}"


class Session:
    """One log-in on one host, for as many commands as are needed (a new log-in costs a hundred of them)."""

    def __init__(self, host: Host, connection: asyncssh.SSHClientConnection) -> None:
        self.host = host
        self._connection = connection

    async def run(self, command: str, stdin: str = "") -> Answer:
        """Run one command line as it is given. Raises a ConnectorError when it has no end, or too large an output."""
        process = await self._connection.create_process(command, encoding=None)
        try:
            process.stdin.write(stdin.encode())
            process.stdin.write_eof()
            output, complaint = await asyncio.gather(self._read(process.stdout), self._read(process.stderr))
            await process.wait_closed()
        finally:
            process.close()
        if process.exit_status is None and process.exit_signal is None:
            raise failures.truncated(self.host.name, "the connection ended before the command did")
        return Answer(process.returncode if process.exit_signal is None else None, output, complaint)

    async def _read(self, stream: "asyncssh.SSHReader[bytes]") -> str:
        found: list[bytes] = []
        size = 0
        while piece := await stream.read(65536):
            found.append(piece)
            size += len(piece)
            if size > MOST_BYTES:
                raise failures.too_large(self.host.name, MOST_BYTES)
        return b"".join(found).decode(errors="replace")


class Ssh:
    """The way to the hosts of one pool. It keeps no connection between two calls."""

    def __init__(self, user: str, private_key: str, passphrase: str | None, outgoing: Outgoing) -> None:
        """Raises Permanent ``invalid_settings`` when the private key cannot be used."""
        try:
            key = asyncssh.import_private_key(private_key, passphrase)
        except asyncssh.KeyEncryptionError:
            raise Permanent(
                "The passphrase does not open the private key. Correct the field Passphrase of the private key "
                "(passphrase).",
                code="invalid_settings",
            ) from None
        except asyncssh.KeyImportError:
            raise Permanent(
                "The private key cannot be read. Correct the field Private key (private_key): OpenSSH or PEM format, "
                "and if it is encrypted, with its passphrase (passphrase).",
                code="invalid_settings",
            ) from None
        self._outgoing = outgoing
        self._options = asyncssh.SSHClientConnectionOptions(
            username=user,
            client_keys=[key],
            preferred_auth=["publickey"],
            config=None,
            agent_path=None,
            x509_trusted_certs=None,
            gss_host=None,
            client_version="ocenter",
            # Before ChaCha20, which costs a fifth of a whole observation in Python.
            encryption_algs="^aes256-gcm@openssh.com,aes128-gcm@openssh.com",
            connect_timeout=LOGIN_SECONDS,
            login_timeout=LOGIN_SECONDS,
        )

    def ask(self, host: Host, command: str, stdin: str = "") -> Answer:
        """Log in, run one command line, log out. Raises a ConnectorError."""

        async def work(session: Session) -> Answer:
            return await session.run(command, stdin)

        return self.with_one(host, work)

    def with_one(self, host: Host, work: Callable[[Session], Awaitable[T]]) -> T:
        """Return what the work on one host comes to. Raises a ConnectorError."""
        (outcome,) = self.with_each([host], work)
        if isinstance(outcome, ConnectorError):
            raise outcome
        return outcome

    def with_each(self, hosts: Sequence[Host], work: Callable[[Session], Awaitable[T]]) -> list[T | ConnectorError]:
        """Do the work on each host, AT_ONCE at a time; a host that cannot be worked on gives its error instead."""

        async def all_of_them() -> list[T | ConnectorError]:
            at_once = asyncio.Semaphore(AT_ONCE)
            logins: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(LOGINS_PER_ADDRESS))

            async def one(host: Host) -> T | ConnectorError:
                async with at_once:
                    return await self._bounded(host, logins[host.address], work)

            return await asyncio.gather(*map(one, hosts))

        return asyncio.run(all_of_them())

    async def _bounded(
        self, host: Host, login: asyncio.Semaphore, work: Callable[[Session], Awaitable[T]]
    ) -> T | ConnectorError:
        try:
            async with asyncio.timeout(HOST_SECONDS), self._session(host, login) as session:
                return await work(session)
        except ConnectorError as error:
            return error
        except TimeoutError:
            return failures.past_deadline(host.name, HOST_SECONDS)
        except (OSError, asyncssh.Error) as error:
            return from_ssh(error, host)

    @asynccontextmanager
    async def _session(self, host: Host, login: asyncio.Semaphore) -> AsyncIterator[Session]:
        async with login:
            connection = await self._logged_in(host)
        try:
            yield Session(host, connection)
        finally:
            connection.close()
            await connection.wait_closed()

    async def _logged_in(self, host: Host) -> asyncssh.SSHClientConnection:
        way = await connected(host, self._outgoing)
        address = way.getpeername()[:2]
        user = {"username": host.user} if host.user else {}
        try:
            return await asyncssh.connect(
                sock=way, options=self._options, known_hosts=([host.key], [], []), config=None, **user
            )
        except (OSError, asyncssh.Error) as error:
            way.close()
            if isinstance(error, asyncssh.ConnectionLost | asyncssh.ProtocolError | ConnectionError):
                raise from_ssh(error, host, await _first_words(address)) from None
            raise from_ssh(error, host) from None


async def connected(host: Host, outgoing: Outgoing) -> socket.socket:
    """Return a connection to the first permitted address of the host that answers; what was judged is connected to.

    Raises Permanent ``address_denied`` or Transient.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host.address, host.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise failures.from_network(error, host.address) from None
    objections: dict[Address, str] = {}
    for each in found:
        address = ipaddress.ip_address(each[4][0])
        objections[address] = outgoing.objection(host.address, address)
    if objections and all(objections.values()):
        address, why = next(iter(objections.items()))
        raise addresses.refused(host.address, why, address)
    failure: ConnectorError = Transient(f"{host.address} has no address. Correct it in the pool's list of hosts.")
    for address in (address for address, why in objections.items() if not why):
        way = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_STREAM)
        way.setblocking(False)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await loop.sock_connect(way, (str(address), host.port))
            return way
        except OSError as error:  # TimeoutError is one
            way.close()
            failure = from_ssh(error, host)
    raise failure


async def _first_words(address: tuple[str, int]) -> Seen:
    """Ask once more what answers there, only to say it: SSH servers begin with SSH-, a web server waits for a line."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(*address)
            try:
                writer.write(b"SSH-2.0-ocenter\r\n\r\n")
                return Seen(await reader.read(200))
            finally:
                writer.close()
    except OSError:
        return Seen(b"")
