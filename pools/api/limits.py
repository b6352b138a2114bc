"""How many requests a minute somebody may make: counted by token, else by user, else by address."""

import time
from collections import deque
from contextlib import suppress
from functools import cache
from typing import Final, NamedTuple

import redis
import structlog
from django.conf import settings
from django.http import HttpRequest
from redis.backoff import NoBackoff
from redis.retry import Retry
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth

log = structlog.get_logger(__name__)

WINDOW_SECONDS: Final = 60
_AHEAD: Final = 100
_WAITS_SECONDS: Final = 0.25
_ASKED_AGAIN_AFTER_SECONDS: Final = 5.0


class Allowance(NamedTuple):
    """What somebody has left of this minute; below zero when it is over."""

    limit: int
    remaining: int
    reset_seconds: int

    def tell(self, response: Response) -> None:
        """Say it in the answer's headers."""
        response["RateLimit-Limit"] = str(self.limit)
        response["RateLimit-Remaining"] = str(max(0, self.remaining))
        response["RateLimit-Reset"] = str(self.reset_seconds)


def spend(request: Request) -> Allowance | None:
    """Count a request of whoever asks and return what is left; None where nothing is counted.

    Minutes are those of the clock, so within one around the end of such a minute twice the limit can pass. Each process
    counts a hundredth of the limit ahead: beside others it may refuse so much too early, and never lets more pass.
    """
    limit = settings.API_REQUESTS_PER_MINUTE
    if limit == 0:
        return None
    now = time.time()
    count = _counter.add(_who(request), int(now // WINDOW_SECONDS), ahead=max(limit // _AHEAD, 1))
    if count is None:
        return None
    return Allowance(limit, limit - count, WINDOW_SECONDS - int(now % WINDOW_SECONDS))


class _Counter:
    """Counts in the cache that all web processes share, some ahead by one round trip.

    While the cache is away nothing is counted, it is asked every few seconds, and the log says so once.
    """

    def __init__(self) -> None:
        self._asked_again_at = 0.0
        self._is_away = False
        self._ahead: tuple[int, dict[str, deque[int]]] = (0, {})  # of one minute

    def add(self, who: str, minute: int, *, ahead: int) -> int | None:
        """Return which request of the minute this one is; None while nothing is counted."""
        ahead_of = self._ahead
        if ahead_of[0] != minute:
            ahead_of = self._ahead = (minute, {})
        counted = ahead_of[1].setdefault(who, deque())
        with suppress(IndexError):
            return counted.popleft()
        if time.monotonic() < self._asked_again_at:
            return None
        try:
            both = _server(settings.CACHE_URL).pipeline(transaction=False)  # they travel together all the same
            key = f"ocenter:requests:{who}:{minute}"
            both.incr(key, ahead)
            both.expire(key, 2 * WINDOW_SECONDS)
            count, _ = both.execute()
        except redis.RedisError as error:
            if not self._is_away:
                log.warning("requests_not_limited", error=type(error).__name__)
            self._is_away, self._asked_again_at = True, time.monotonic() + _ASKED_AGAIN_AFTER_SECONDS
            return None
        self._is_away = False
        counted.extend(range(count - ahead + 2, count + 1))
        return int(count) - ahead + 1


_counter = _Counter()


@cache
def _server(url: str) -> "redis.Redis":
    # A cache that hangs must not hold up every request for long, so nothing is tried twice.
    once = Retry(NoBackoff(), 0)
    return redis.Redis.from_url(url, socket_timeout=_WAITS_SECONDS, socket_connect_timeout=_WAITS_SECONDS, retry=once)


def _who(request: Request) -> str:
    access = auth.access(request)
    return f"{access.token_id or access.user_id or address(request)}"


def address(request: Request | HttpRequest) -> str:
    """The caller's address; behind a proxy that is trusted, what the proxy says of it."""
    told = request.META.get("HTTP_X_FORWARDED_FOR", "") if settings.SECURE_PROXY_SSL_HEADER else ""
    address = told.rpartition(",")[2].strip() or request.META.get("REMOTE_ADDR", "")
    return str(address)[:64]
