"""Where somebody is logged in."""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session

KEPT_IN_SESSION: Final = "ocenter_session_id"
"""Under this name a session holds its own id."""
SHOWN_MOST: Final = 100


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A log-in that still counts. ``address`` and ``user_agent`` are those of the log-in."""

    id: int
    created_at: datetime
    last_seen_at: datetime
    address: str
    user_agent: str
    is_current: bool


def of_user(user_id: UUID, now: datetime, current_id: int | None = None) -> list[SessionRow]:
    """Return the sessions of a user, the last seen first. One query."""
    living = Session.objects.filter(expire_date__gt=now).values("session_key")
    rows = UserSession.objects.filter(user_id=user_id, session_key__in=living).order_by("-last_seen_at", "-pk")
    return [
        SessionRow(
            id=row.pk,
            created_at=row.created_at,
            last_seen_at=row.last_seen_at,
            address=row.ip,
            user_agent=row.user_agent,
            is_current=row.pk == current_id,
        )
        for row in rows[:SHOWN_MOST]
    ]
