"""Where the database and the broker of an installation are reached, embedded or not."""

import hashlib
import os
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from ocenter.env import Env

DATABASE = "ocenter"
SUPERUSER, OWNER, APP = "postgres", "ocenter_owner", "ocenter_app"
SOCKETS = Path("/").joinpath("tmp")  # short, the same for every process of this user, whatever TMPDIR says


def socket_folder(home: Path, base: Path = SOCKETS) -> Path:
    """Return where the sockets of this home lie: a socket's path is limited to 107 bytes, a home's is not."""
    return base / f"ocenter-{os.geteuid()}-{digest(home)}"


def postgres_sockets(home: Path) -> Path:
    return socket_folder(home).with_name(f"{socket_folder(home).name}-postgres")


def valkey_sockets(home: Path) -> Path:
    return socket_folder(home).with_name(f"{socket_folder(home).name}-valkey")


def postgres_url(sockets: Path, role: str, password: str, database: str = DATABASE) -> str:
    return f"postgresql://{role}:{quote(password)}@/{database}?host={quote(str(sockets), safe='')}"


def valkey_url(sockets: Path, database: int = 0) -> str:
    return f"redis+socket://{sockets / 'valkey.sock'}?virtual_host={database}"


def broker_url(env: Env) -> str:
    """Return where messages go: the server given by the environment, or the one of this home."""
    return env.broker_url.get_secret_value() if env.broker_url else valkey_url(valkey_sockets(env.home))


def cache_url(broker_url: str) -> str:
    """Return the next database of the broker's server, in the form Django's cache takes.

    Celery says `redis+socket:///path?virtual_host=0`, redis-py `unix:///path?db=1`.
    """
    parts = urlsplit(broker_url)
    if parts.scheme == "redis+socket":
        number = int(dict(parse_qsl(parts.query)).get("virtual_host", "0"))
        return f"unix://{parts.netloc}{parts.path}?db={number + 1}"
    number = int(parts.path.strip("/") or "0")
    return urlunsplit(parts._replace(path=f"/{number + 1}"))


def digest(home: Path) -> str:
    """Return a short name for a home, for what lies outside of it."""
    return hashlib.blake2b(os.fsencode(home.resolve()), digest_size=6).hexdigest()
