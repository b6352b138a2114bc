"""The last check of the logs, from the audit row that it left, and whether another one is due."""

from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct

from pools.domain.verification import LogResult
from pools.models import AuditEvent

KIND: Final = "audit"
RESULT, REQUEST, RESTORE = "verification", "verification_request", "restore"
VERIFIED, REQUESTED = "audit.verified", "audit.verification_requested"
EVERY: Final = timedelta(days=1)


class CheckResult(Struct, frozen=True, kw_only=True):
    """What a check found. ``asked_by`` is who asked for it, ``system`` once a day."""

    is_ok: bool
    verified_at: datetime
    asked_by: str
    streams: list[LogResult]


class Verification(Struct, frozen=True, kw_only=True):
    """The last check; ``result`` is null before the first. ``requested_at`` is null unless one is waited for."""

    result: CheckResult | None
    requested_at: datetime | None
    requested_by: str | None


class Wanted(Struct, frozen=True):
    """A check that is due, and who asked for it."""

    asked_by: str


def last() -> Verification:
    """Return how the last check stands. Two queries."""
    verified, requested = _newest(RESULT), _newest(REQUEST)
    is_waiting = requested is not None and (verified is None or verified.id < requested.id)
    return Verification(
        result=msgspec.convert(verified.after, CheckResult) if verified else None,
        requested_at=requested.at if requested and is_waiting else None,
        requested_by=requested.actor if requested and is_waiting else None,
    )


def due(now: datetime) -> Wanted | None:
    """Return who wants a check: somebody who asked, or the day that went by. Two queries."""
    verified, requested = _newest(RESULT), _newest(REQUEST)
    if requested is not None and (verified is None or verified.id < requested.id):
        return Wanted(requested.actor)
    return Wanted("system") if verified is None or now - verified.at >= EVERY else None


def _newest(object_id: str) -> AuditEvent | None:
    return AuditEvent.objects.filter(object_kind=KIND, object_id=object_id).order_by("-id").first()
