"""When what was handed over is asked for again, so that it never ends before the lease does."""

from datetime import datetime, timedelta
from typing import Final

LEAST_SECONDS: Final = 60


def renewed_at(*, now: datetime, expires_at: datetime | None) -> datetime | None:
    """Return when to ask for it again if the lease lasts longer: when two thirds of its time are over."""
    return None if expires_at is None else now + max((expires_at - now) * 2 / 3, timedelta(seconds=LEAST_SECONDS))


def state_of(
    *, is_over: bool, made_at: datetime | None, expires_at: datetime | None, has_trouble: bool, now: datetime
) -> str:
    """Return how it stands: ended, ready, expired, failed or preparing."""
    if is_over:
        return "ended"
    if made_at is None:
        return "failed" if has_trouble else "preparing"
    return "expired" if expires_at is not None and expires_at <= now else "ready"
