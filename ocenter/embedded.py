"""PostgreSQL and Valkey of an installation of their own: how they are made, started and asked.

Both servers listen on Unix sockets in folders of mode 0700 and nowhere else. PostgreSQL refuses uid 0, so as root it
runs as `nobody` from a copy of its binaries, since the package folder is often under /root.
"""

import os
import pwd
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from ocenter import wheels
from ocenter.addresses import APP, DATABASE, OWNER, SUPERUSER, digest, postgres_sockets, postgres_url, valkey_sockets
from ocenter.errors import Trouble
from ocenter.home import Secrets, write_private

SOCKET_PATH_BYTES = 107
SHARED_BUFFERS_MIB_LEAST, SHARED_BUFFERS_MIB_MOST = 128, 1024
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, slots=True)
class Account:
    """The user a server runs as; None of both: the one who runs this."""

    uid: int | None = None
    gid: int | None = None

    def take(self, path: Path) -> None:
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


def memory_mib() -> int:
    """Return how much memory this machine has, or this container may use."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _CGROUP_LIMIT.read_text().strip() if _CGROUP_LIMIT.exists() else "max"
    return min(machine, machine if limit == "max" else int(limit)) // 2**20


def shared_buffers_mib(memory_mib: int) -> int:
    """Return PostgreSQL's own cache for a machine it shares with ocenter.

    Its default is 128 MiB, of which a fleet of a million devices does not fit: each claim then reads and evicts pages.
    """
    return min(max(memory_mib // 8, SHARED_BUFFERS_MIB_LEAST), SHARED_BUFFERS_MIB_MOST)


def account() -> Account:
    """Return whom PostgreSQL runs as: this user, or `nobody` when this user is root."""
    if os.geteuid() != 0:
        return Account()
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise Trouble("PostgreSQL cannot run as root and there is no user `nobody`; run as an ordinary user.") from None
    return Account(nobody.pw_uid, nobody.pw_gid)


def remove_sockets(home: Path) -> None:
    """Take away the folders of the sockets after both servers have stopped."""
    for folder in (postgres_sockets(home), valkey_sockets(home)):
        shutil.rmtree(folder, ignore_errors=True)


def create_socket_folder(folder: Path, owner: Account) -> Path:
    """Make a folder that only `owner` can use (root always can).

    Raises: Trouble when the path is too long or somebody else made it first.
    """
    longest = len(os.fsencode(folder / ".s.PGSQL.5432.lock"))
    if longest > SOCKET_PATH_BYTES:
        raise Trouble(
            f"The socket path {folder} is {longest - SOCKET_PATH_BYTES} bytes too long; use a shorter folder."
        )
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        found = folder.lstat()
        ours = {os.geteuid(), owner.uid if owner.uid is not None else os.geteuid()}
        if folder.is_symlink() or found.st_uid not in ours:
            raise Trouble(f"{folder} belongs to somebody else; remove it, since its owner could listen in.") from None
    owner.take(folder)
    folder.chmod(0o700)
    return folder


@dataclass(frozen=True, slots=True)
class Postgres:
    """One PostgreSQL server. `is_durable` is False in tests only."""

    data: Path
    sockets: Path
    account: Account
    binaries: Path
    is_durable: bool = True

    def initialize(self, secrets: Secrets) -> None:
        """Make the data folder unless it is there. A crash half-way leaves nothing that looks finished.

        Raises: Trouble when the data is of another major version, or initdb fails.
        """
        if (self.data / "PG_VERSION").exists():
            self._check_major()
            return
        draft = self.data.with_name(f"{self.data.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700, parents=True)
        self.account.take(draft)
        password = self.data.with_name(f"{self.data.name}.password")
        write_private(password, secrets.superuser_password)
        self.account.take(password)
        done = self._run(
            "initdb", f"--pgdata={draft}", f"--username={SUPERUSER}", f"--pwfile={password}", "--auth=scram-sha-256",
            "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions",
            *([] if self.is_durable else ["--no-sync"]),
        )  # fmt: skip
        password.unlink()
        if done.returncode != 0:
            shutil.rmtree(draft, ignore_errors=True)
            raise Trouble(explain(done.stderr, f"PostgreSQL could not make its data folder {self.data}"))
        draft.rename(self.data)

    def command(self) -> list[str]:
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.sockets),
            "unix_socket_permissions": "0700",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "jit": "off",
            # A statement that fails would stand in the log with its values: ids of sessions, hashes, ciphertexts.
            "log_min_error_statement": "panic",
            "log_error_verbosity": "terse",
        }
        if self.is_durable:
            options["shared_buffers"] = f"{shared_buffers_mib(memory_mib())}MB"
        else:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return [str(self.binaries / "postgres"), "-D", str(self.data), *settings]

    def url(self, role: str, password: str, database: str = DATABASE) -> str:
        return postgres_url(self.sockets, role, password, database)

    def is_ready(self, secrets: Secrets) -> bool:
        """Raises: Trouble when the server answers and does not know the password in `secrets`."""
        try:
            psycopg.connect(self.url(SUPERUSER, secrets.superuser_password, "postgres"), connect_timeout=5).close()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise Trouble(
                    f"secrets.json does not belong to the database in {self.data}; restore the file from a backup, "
                    "or remove that folder to start with an empty database."
                ) from None
            return False
        return True

    def create_roles(self, secrets: Secrets) -> None:
        """Make the owner, the application's role and the database unless they are there."""
        with psycopg.connect(self.url(SUPERUSER, secrets.superuser_password, "postgres"), autocommit=True) as server:
            for role, password in ((OWNER, secrets.owner_password), (APP, secrets.app_password)):
                if not server.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                    create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
                    server.execute(create.format(sql.Identifier(role), sql.Literal(password)))
            if not server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                create = sql.SQL("CREATE DATABASE {} OWNER {}")
                server.execute(create.format(sql.Identifier(DATABASE), sql.Identifier(OWNER)))

    def _check_major(self) -> None:
        carried = self._run("postgres", "--version").stdout.split()[-1].split(".")[0]
        written = (self.data / "PG_VERSION").read_text().strip()
        if written != carried:
            raise Trouble(
                f"The data in {self.data} was written by PostgreSQL {written} and this ocenter carries {carried}; "
                f"start the ocenter that wrote it, save it by `pg_dumpall`, move the folder away and load it here."
            )

    def _run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        # LC_ALL: the machine's locale may not exist here, and the data must sort the same everywhere.
        return subprocess.run(
            [self.binaries / program, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            user=self.account.uid, group=self.account.gid, extra_groups=[] if self.account.uid is not None else None,
            env={"LC_ALL": "C", "PATH": os.defpath}, cwd="/",
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Valkey:
    """One Valkey server with an append-only file, so that queued work outlives a crash."""

    data: Path
    sockets: Path

    @property
    def socket(self) -> Path:
        return self.sockets / "valkey.sock"

    def command(self) -> list[str]:
        return [
            str(wheels.valkey()), "--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700",
            "--dir", str(self.data), "--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction",
            "--daemonize", "no",
        ]  # fmt: skip

    def is_ready(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            try:
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                return client.recv(64).startswith(b"+PONG")
            except OSError:
                return False


def postgres_of(home: Path) -> Postgres:
    """Return the server of a home, its folders made. As root the data lies under /var/lib and the home points there."""
    owner = account()
    data = home / "postgres"
    if owner.uid is not None and not data.exists():
        place = wheels.SHARED / digest(home)
        wheels.make_shared()
        place.mkdir(mode=0o700, exist_ok=True)
        owner.take(place)
        data.unlink(missing_ok=True)
        data.symlink_to(place / "postgres")
    return Postgres(
        data=data.resolve(),
        sockets=create_socket_folder(postgres_sockets(home), owner),
        account=owner,
        binaries=postgres_binaries(owner),
    )


def valkey_of(home: Path) -> Valkey:
    data = home / "valkey"
    data.mkdir(exist_ok=True, mode=0o700)
    return Valkey(data=data, sockets=create_socket_folder(valkey_sockets(home), Account()))


def postgres_binaries(owner: Account) -> Path:
    """Return the folder of PostgreSQL's programs, of a copy when `owner` is not this user. Raises: Trouble."""
    programs = wheels.postgres()
    return programs if owner.uid is None else wheels.shared_postgres(programs)


def explain(words: str, what_failed: str) -> str:
    """Turn a server's last words into one sentence with the way out."""
    if "No space left on device" in words or "Disk quota exceeded" in words:
        return f"{what_failed}: the disk is full; free some space and start again."
    last = [line for line in words.splitlines() if line.strip()][-1:] or ["it said nothing"]
    return f"{what_failed}: {last[0].strip()}"
