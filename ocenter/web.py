"""The web server: granian with one process, so that /metrics counts everything, and threads."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from granian.constants import Interfaces
from granian.server import Server

from ocenter import child, garbage, logs
from ocenter.env import Env, load


def serve(env: Env) -> None:
    """Serve until a signal ends it. Run as `python -m ocenter.web` or as a child of `manage.py up`."""
    server = Server(
        "ocenter.wsgi:application",
        address=env.host,
        port=env.port,
        interface=Interfaces.WSGI,
        websockets=False,
        blocking_threads=env.web_threads,
        log_dictconfig=logs.config(env.log_level),
        workers_kill_timeout=10,
    )
    server.serve(target_loader=partial(_load, os.getpid()), wrap_loader=False)


def _load(server: int) -> Callable[..., Any]:
    child.die_with_parent(server)  # else the worker process would keep the port when the server is killed
    from ocenter.wsgi import application

    garbage.settle()
    return application


if __name__ == "__main__":
    serve(load())
