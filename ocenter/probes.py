"""/healthz (this process answers), /readyz (everything it needs does) and /metrics."""

from collections.abc import Callable

import redis
from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from ocenter import health
from pools.api import auth
from pools.api.metrics import Fleet


@require_safe
@never_cache
def healthz(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
@never_cache
def readyz(_request: HttpRequest) -> JsonResponse:
    """Name each thing that is needed and whether it is there; 503 unless all are. No address and no error text."""
    checks = {name: check() for name, check in _CHECKS.items()}
    is_ready = all(fault is None for fault in checks.values())
    body = {
        "ready": is_ready,
        "checks": {name: {"ok": fault is None, "detail": fault or "ok"} for name, fault in checks.items()},
        "processes": [
            {key: child[key] for key in ("name", "state", "restarts", "since")}
            for child in health.children(settings.OCENTER_HOME)
        ],
    }
    return JsonResponse(body, status=200 if is_ready else 503)


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer what this process knows of itself; to who may read every pool (token or log-in) also the fleet."""
    text = generate_latest()
    if auth.access_of_plain(request).everywhere("pool", "read"):
        fleet = CollectorRegistry(auto_describe=False)
        fleet.register(Fleet())
        text += generate_latest(fleet)
    return HttpResponse(text, content_type=CONTENT_TYPE_LATEST)


def _database() -> str | None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return "does not answer"
    return None


def _broker() -> str | None:
    try:
        health.ping(settings.CACHE_URL)
    except redis.RedisError:
        return "does not answer"
    return None


def _heartbeat(name: str) -> Callable[[], str | None]:
    def check() -> str | None:
        try:
            age_seconds = health.seconds_since(name, settings.CACHE_URL)
        except redis.RedisError:
            return "not known while the broker does not answer"
        if age_seconds is None:
            return "not seen yet"
        return None if age_seconds <= health.STALE_SECONDS else f"last seen {age_seconds:.0f} s ago"

    return check


_CHECKS: dict[str, Callable[[], str | None]] = {
    "database": _database,
    "broker": _broker,
    "worker": _heartbeat(health.WORKER),
    "beat": _heartbeat(health.BEAT),
}
