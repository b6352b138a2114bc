"""What a monitoring system wants to know, from roll-ups and the last runs only: never by counting devices."""

from datetime import datetime
from typing import Any

import msgspec
from django.db.models import F, QuerySet, Sum

from pools.domain import freshness
from pools.domain.seals import STREAMS
from pools.models import CapacityRollup, PoolSync
from pools.selectors import seals, verification

STATES = ("claimed", "held", "shadow", "faulty", "free")


class PoolFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How the synchronisation of a pool stands. ``observed_seconds`` is null before the first complete observation."""

    pool: str
    kind: str
    state: str
    health: str
    observed_seconds: float | None
    is_stale: bool
    consecutive_failures: int
    last_run_seconds: float | None


class ShareFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Milli-devices of one pool, model and profile by state."""

    pool: str
    model: str
    profile: str
    by_state: dict[str, int]


class LogFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a log is not proved yet; ``unsealed_seconds`` is the age of the oldest such row."""

    stream: str
    unsealed_rows: int
    unsealed_seconds: float


class CheckFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How the last check of the logs ended, and how long ago."""

    is_ok: bool
    seconds: float


def logs(now: datetime) -> list[LogFigures]:
    """Return how the sealing of each log stands. Two queries a log."""
    return [_of_log(stream, *seals.tail(stream), now) for stream in STREAMS]


def last_check(now: datetime) -> CheckFigures | None:
    """Return how the last check of the logs ended; None before the first. Two queries."""
    result = verification.last().result
    return CheckFigures(is_ok=result.is_ok, seconds=(now - result.verified_at).total_seconds()) if result else None


def pools(now: datetime) -> list[PoolFigures]:
    """Return how every pool stands. One query."""
    rows = PoolSync.objects.filter(pool__removed_at=None).select_related("pool", "last_run").order_by("pool__name")
    return [_figures(row, now) for row in rows]


def shares() -> list[ShareFigures]:
    """Return what every pool can give out, by model and profile. One query."""
    rows = CapacityRollup.objects.filter(
        kind__in=("cards", "counter"), is_advisory=False, total_milli__gt=0, pool__removed_at=None
    )
    wanted: dict[str, Any] = {state: Sum(f"{state}_milli") for state in STATES}
    sums: QuerySet[Any, Any] = rows.values("pool__name", "profile", slug=F("model__slug")).annotate(**wanted)
    return [
        ShareFigures(
            pool=row["pool__name"],
            model=row["slug"] or "",
            profile=row["profile"] or "",
            by_state={state: row[state] for state in STATES},
        )
        for row in sums.order_by("pool__name", "slug", "profile")
    ]


def _of_log(stream: str, rows: int, since_at: datetime | None, now: datetime) -> LogFigures:
    seconds = (now - since_at).total_seconds() if since_at else 0.0
    return LogFigures(stream=stream, unsealed_rows=rows, unsealed_seconds=seconds)


def _figures(row: PoolSync, now: datetime) -> PoolFigures:
    run = row.last_run
    took = (run.ended_at - run.started_at).total_seconds() if run and run.ended_at and run.started_at else None
    is_stale = freshness.is_stale(row.observed_at, row.pool.sync_interval_seconds, now)
    return PoolFigures(
        pool=row.pool.name,
        kind=row.pool.kind,
        state=row.pool.state,
        health="unknown" if is_stale else row.health,
        observed_seconds=(now - row.observed_at).total_seconds() if row.observed_at else None,
        is_stale=is_stale,
        consecutive_failures=row.consecutive_failures,
        last_run_seconds=took,
    )
