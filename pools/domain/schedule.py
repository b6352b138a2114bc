"""When a pool is observed next: interval, jitter, back-off, and a breaker for one that keeps failing."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Final
from uuid import UUID

JITTER_SHARE: Final = 0.1
BACK_OFF_MAX_SECONDS: Final = 900
FAILURES_TO_OPEN: Final = 5
FAILURES_TO_UNKNOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Due:
    """When to try next; ``breaker_open_until`` is set while the pool is asked only now and then."""

    at: datetime
    breaker_open_until: datetime | None


def after_run(
    *, now: datetime, interval_seconds: int, failures: int, pool_id: UUID, after_seconds: float | None = None
) -> Due:
    """Return when the next run is due after one that ended now with so many failures in a row.

    The delay doubles with each failure up to 15 minutes and never undercuts what the platform asked for
    (``after_seconds``). The jitter is ±10 %, drawn from pool and time: pools
    drift apart, tests can repeat it.
    """
    delay = float(interval_seconds)
    if failures:
        delay = max(delay, min(BACK_OFF_MAX_SECONDS, delay * 2 ** min(failures - 1, 10)))
    delay = max(delay * _jitter(pool_id, now), after_seconds or 0.0)
    at = now + timedelta(seconds=delay)
    return Due(at=at, breaker_open_until=at if failures >= FAILURES_TO_OPEN else None)


def _jitter(pool_id: UUID, now: datetime) -> float:
    drawn = blake2b(f"{pool_id}:{now.isoformat()}".encode(), digest_size=4).digest()
    return 1 - JITTER_SHARE + 2 * JITTER_SHARE * int.from_bytes(drawn, "big") / 0xFFFFFFFF
