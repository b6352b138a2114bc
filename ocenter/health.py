"""What lives: heartbeats of worker and beat, and the checks behind /healthz and /readyz."""

import json
import time
from functools import cache
from pathlib import Path
from typing import Any

import redis

WORKER, BEAT = "worker", "beat"
STALE_SECONDS = 30
STATUS = Path("run", "status.json")


def note(name: str, cache_url: str) -> None:
    """Say that `name` lives. Never raises: a heartbeat must not stop the heart."""
    try:
        _server(cache_url).set(f"ocenter:{name}", repr(time.time()), ex=10 * STALE_SECONDS)
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


@cache
def _server(url: str) -> "redis.Redis":
    return redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)
