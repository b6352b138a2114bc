"""Everything `manage.py up` does, in order: home, servers, preparation, web, worker, beat, and back down again."""

import errno
import gc
import logging
import os
import shutil
import signal
import socket
import sys
from functools import partial
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import redis
from django.core.management import call_command

from ocenter import addresses, beat, child, embedded, health, home, prepare, web, worker
from ocenter.embedded import Account
from ocenter.env import Env
from ocenter.errors import Trouble
from ocenter.supervisor import Child, Stopped, Supervisor, stop_leftovers
from ocenter.terminal import say

LEAST_FREE_MIB = 256


def up(env: Env, *, has_demo: bool) -> None:
    """Run until somebody asks to stop. Raises: Trouble with one sentence when it cannot."""
    os.umask(0o077)
    gc.freeze()  # no child looks for garbage in what it shares with this process, which would copy it
    supervisor = Supervisor(env.home)
    try:
        _start(env, supervisor, has_demo)
    except Stopped:
        pass
    finally:
        supervisor.stop()
        embedded.remove_sockets(env.home)
        say("ocenter has stopped.")


def _start(env: Env, supervisor: Supervisor, has_demo: bool) -> None:
    check_disk(env.home)
    postgres = None if env.database_url else embedded.postgres_of(env.home)
    valkey = None if env.broker_url else embedded.valkey_of(env.home)
    if postgres is not None:
        check_disk(postgres.data.parent)  # another disk, perhaps, when this is root
    stop_leftovers(env.home, tuple(server.data for server in (postgres, valkey) if server))
    check_port(env.host, env.port)
    secrets = home.ensure_secrets(env.home)
    if postgres is not None:
        forget_lock(postgres)
        postgres.initialize(secrets)
        database = supervisor.start(postgres_child(postgres))
        supervisor.until(lambda: postgres.is_ready(secrets), database, 60)
        postgres.create_roles(secrets)
    if valkey is not None:
        supervisor.until(valkey.is_ready, supervisor.start(valkey_child(valkey)), 60)
    else:
        check_broker(addresses.broker_url(env))

    preparation = Child("prepare", partial(_prepare, has_demo), is_once=True)
    supervisor.until(lambda: preparation.last_exit == "exit 0", supervisor.start(preparation), 900)
    front = supervisor.start(Child("web", partial(web.serve, env)))
    # As an orphan it is killed outright: its broker dies with the same parent, and a worker asked to end while it
    # looks for a broker never does. Rows hold all that matters, and the next worker goes on from them.
    supervisor.start(Child("worker", partial(worker.work, env), patience_seconds=30))
    supervisor.start(Child("beat", beat.tick))
    if env.watch:
        supervisor.start(Child("watch", partial(call_command, "watch")))
    address = local_address(env)
    supervisor.until(partial(_answers, f"{address}/healthz"), front, 120)
    say(f"ocenter runs at {env.url or address}\nCtrl-C stops it. Logs are in {env.home / 'logs'}.")
    supervisor.watch(every_day=preparation)


def _prepare(has_demo: bool) -> None:
    """What it does it says in words on the terminal, so only trouble is logged there."""
    logging.getLogger().setLevel(logging.WARNING)
    prepare.prepare(has_demo=has_demo)


def postgres_child(server: embedded.Postgres) -> Child:
    """SIGINT is PostgreSQL's fast shutdown: it ends sessions and writes everything out."""
    run = partial(child.become, server.command(), account=server.account, orphan_signal=signal.SIGINT)
    return Child("postgres", run, ask=signal.SIGINT, orphan_signal=signal.SIGINT, patience_seconds=60)


def valkey_child(server: embedded.Valkey) -> Child:
    run = partial(child.become, server.command(), account=Account(), orphan_signal=signal.SIGTERM)
    return Child("valkey", run, orphan_signal=signal.SIGTERM)


def forget_lock(server: embedded.Postgres) -> None:
    """Remove the lock of a server that crashed: its pid may be another program's by now, and then none would start.

    Only where it is certain that no process of that server works on the data any more.
    """
    if sys.platform == "linux" and not child.working_in(server.data):
        (server.data / "postmaster.pid").unlink(missing_ok=True)
        (server.sockets / ".s.PGSQL.5432.lock").unlink(missing_ok=True)


def check_disk(folder: Path) -> None:
    free_mib = shutil.disk_usage(folder).free // 2**20
    if free_mib < LEAST_FREE_MIB:
        raise Trouble(
            f"The disk of {folder} has {free_mib} MiB left and ocenter needs {LEAST_FREE_MIB}; "
            "free some space or set OCENTER_HOME to a folder on another disk."
        )


def check_port(host: str, port: int) -> None:
    """Find out before everything else is started, since the web server is the last to try."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror:
        raise Trouble(f"OCENTER_HOST: {host} is not an address of this machine; use 127.0.0.1 or 0.0.0.0.") from None
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise Trouble(_port_sentence(error, host, port)) from None


def _port_sentence(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is used by another program; stop it or choose another: OCENTER_PORT={port + 1}."
    if error.errno == errno.EACCES:
        return f"This user may not use port {port}; choose one above 1023: OCENTER_PORT=8000."
    return f"{host} port {port} cannot be used ({error.strerror}); set OCENTER_HOST to an address of this machine."


def check_broker(url: str) -> None:
    try:
        health.ping(addresses.cache_url(url))
    except redis.RedisError as error:
        raise Trouble(f"The broker does not answer ({error}); check OCENTER_BROKER_URL.") from None


def local_address(env: Env) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(env.host, env.host)  # noqa: S104  # read, not bound
    return f"http://{host}:{env.port}"


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:  # noqa: S310  # always http, made above
            return bool(answer.status == 200)
    except HTTPError:
        return True  # it talks; what it says is for /readyz
    except (URLError, OSError):
        return False
