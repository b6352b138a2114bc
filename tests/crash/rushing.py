"""Answers rushes of requests until it is killed: `python -m tests.crash.rushing SOCKET THREADS`.

Listens there, and forks a process for every connection, so that one that is killed is replaced within milliseconds.
Each tells its pid; then, for every line `PROJECT_ID KIND` it reads, all its threads ask at once, and one line tells how
often each answer came.
"""

import os
import signal
import socket
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import django

H100 = "nvidia-h100-80gb"


def main(path: str, threads: str) -> None:
    """Serve until the parent goes away."""
    django.setup()
    from django.db import connections

    from connectors import structs
    from pools.services import claims  # noqa: F401  # the slow imports come before the fork
    from tests.services import asking  # noqa: F401

    connections.close_all()
    structs.learn()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that end
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            # By which its sessions are told from those of others. Each thread keeps its own, as those of the web do.
            connections.settings["default"]["OPTIONS"]["application_name"] = f"rush-{os.getpid()}"
            connections.settings["default"]["CONN_MAX_AGE"] = None
            _serve(connection, int(threads))
            os._exit(0)
        connection.close()


def _serve(connection: socket.socket, count: int) -> None:
    with ThreadPoolExecutor(count) as threads, connection.makefile("rw") as line:
        print(os.getpid(), file=line, flush=True)
        together = Barrier(count)
        for told in line:
            project_id, kind = told.split()
            answers = threads.map(partial(_one, together, project_id, kind), range(count))
            print(dict(Counter(answers)), file=line, flush=True)


def _one(together: Barrier, project_id: str, kind: str, number: int) -> str:
    """Ask once; return the state of what came of it, or the refusal."""
    from django.db import close_old_connections
    from django.utils import timezone

    from pools.domain.errors import DomainError
    from pools.models import Project
    from pools.services import claims
    from tests.services.asking import asked

    try:
        together.wait(timeout=60)  # before anything that can fail
        close_old_connections()  # as a request does that begins
        request = asked(Project.objects.get(id=project_id), **wanted(kind, number))
        (answer,) = claims.submit([request], now=timezone.now())
    except Exception as error:
        return repr(error)
    return answer.code if isinstance(answer, DomainError) else answer.state


def wanted(kind: str, number: int) -> dict[str, Any]:
    """Return what the thread of that number asks for in a rush of that kind."""
    from pools.domain.request import Choice, Share

    hold: dict[str, Any] = {"mode": "hold", "hold_seconds": 60}
    fields: dict[str, dict[str, Any]] = {
        "devices": {},
        "shares": {"share": Share(milli=300)},
        "profiles": {"any_of": (Choice(model=H100, profile="1g.10gb"),)},
        "gangs": {"members": 2},
        "holds": hold if number % 2 else {},
        "sizes": {"devices": 1 + number % 3} | (hold if number % 5 == 0 else {}),
    }
    return {"lease_seconds": 60} | fields[kind]


if __name__ == "__main__":
    Path(sys.argv[1]).unlink(missing_ok=True)
    main(*sys.argv[1:])
