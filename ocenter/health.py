"""What lives: heartbeats of worker, beat and watch, for /readyz and for a container's health check.

`python -m ocenter.health web|worker|beat|watch` ends with 0 when that process of this host lives.
"""

import json
import socket
import sys
import time
import urllib.request
from functools import cache
from pathlib import Path
from typing import Any

import redis

from ocenter import addresses
from ocenter.env import Env, load

WORKER, BEAT, WATCH = "worker", "beat", "watch"
STALE_SECONDS = 30
STATUS = Path("run", "status.json")


def note(name: str, cache_url: str) -> None:
    """Say that `name` lives. Never raises: a heartbeat must not stop the heart."""
    try:
        now = repr(time.time())
        for key in (f"ocenter:{name}", f"ocenter:{name}:{socket.gethostname()}"):
            _server(cache_url).set(key, now, ex=10 * STALE_SECONDS)
    except redis.RedisError:
        _server.cache_clear()


def ping(cache_url: str) -> None:
    """Raises: redis.RedisError when the server does not answer."""
    _server(cache_url).ping()


def seconds_since(name: str, cache_url: str) -> float | None:
    """Return how long ago `name` said that it lives, or None when it never did or long ago.

    Raises: redis.RedisError when the server does not answer.
    """
    seen = _server(cache_url).get(f"ocenter:{name}")
    return None if seen is None else max(0.0, time.time() - float(seen))


def children(home: Path) -> list[dict[str, Any]]:
    """Return the state of each child of `manage.py up`, or nothing where it does not run.

    Shape: {name, pid, state: starting|running|waiting|stopped, restarts, last_exit, since}.
    """
    try:
        kept: dict[str, Any] = json.loads((home / STATUS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return list(kept["children"])


def lives_here(name: str, env: Env) -> bool:
    """Say whether a process of this host lives, as its container's health check asks."""
    if name == "web":
        with urllib.request.urlopen(f"http://127.0.0.1:{env.port}/healthz", timeout=4) as answer:
            return bool(answer.status == 200)
    age_seconds = seconds_since(f"{name}:{socket.gethostname()}", addresses.cache_url(addresses.broker_url(env)))
    return age_seconds is not None and age_seconds <= STALE_SECONDS


@cache
def _server(url: str) -> "redis.Redis":
    return redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)


if __name__ == "__main__":
    sys.exit(0 if lives_here(sys.argv[1], load()) else 1)
