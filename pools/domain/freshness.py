"""How old an observation may be before its numbers are no longer believed."""

from datetime import datetime, timedelta
from typing import Final

STALE_AFTER_INTERVALS: Final = 3
STALE_AFTER_AT_LEAST_SECONDS: Final = 180


def stale_at(observed_at: datetime, sync_interval_seconds: int) -> datetime:
    """Return when an observation becomes stale: after three intervals, and never within three minutes."""
    seconds = max(STALE_AFTER_INTERVALS * sync_interval_seconds, STALE_AFTER_AT_LEAST_SECONDS)
    return observed_at + timedelta(seconds=seconds)


def is_stale(observed_at: datetime | None, sync_interval_seconds: int, now: datetime) -> bool:
    """True when the pool was never observed completely, or too long ago."""
    return observed_at is None or now >= stale_at(observed_at, sync_interval_seconds)


def health(stored: str, *, stale: bool) -> str:
    """Return the health to show: a pool that is late is unknown, whatever it was."""
    return "unknown" if stale else stored
