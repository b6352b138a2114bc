"""Log-ins: that one began or was refused, and how sessions end. Django has the sessions, allauth whose they are."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session

from pools.domain.actors import Actor
from pools.domain.errors import SessionMissing, UserMissing
from pools.models import User
from pools.services import audit, writing

_SEEN_EVERY: Final = timedelta(minutes=1)
_NOTED_MOST: Final = 10_000
_USER_AGENT_MOST: Final = 200
_noted_at: Final[dict[int, datetime]] = {}


@writing.transaction
def began(
    *, session_key: str, user_id: UUID, method: str, address: str, user_agent: str, actor: Actor, now: datetime
) -> int:
    """Note that the actor logged in by ``password`` or ``sso``; return the session's id."""
    about = {"ip": address, "user_agent": user_agent[:_USER_AGENT_MOST], "created_at": now, "last_seen_at": now}
    row, _ = UserSession.objects.update_or_create(session_key=session_key, defaults={"user_id": user_id, **about})
    after = {"method": method, "address": address}
    audit.record(actor, "session.began", "session", row.pk, actor.name, None, after, now)
    return int(row.pk)


@writing.transaction
def rekeyed(*, session_id: int, session_key: str) -> None:
    """Follow a session that Django gave another key, as it does with a new password."""
    UserSession.objects.filter(session_key=session_key).exclude(pk=session_id).delete()
    UserSession.objects.filter(pk=session_id).update(session_key=session_key)


@writing.transaction
def refused(*, user: User | None, because: str, address: str, actor: Actor, now: datetime) -> None:
    """Note a log-in that was refused. ``user`` None: nobody's; what was typed is not kept, it may be a password."""
    after = {"because": because, "address": address}
    user_id, name = (user.pk, user.username) if user else ("", "")
    audit.record(actor, "session.refused", "user", user_id, name, None, after, now)


@writing.transaction
def logged_out(*, session_key: str, actor: Actor, now: datetime) -> None:
    """Note that the actor ended the session of this key."""
    rows = list(UserSession.objects.select_for_update().filter(session_key=session_key))
    if rows:
        _end(rows, actor.access.user_id or "", actor.name, "logged_out", actor, now)


@writing.transaction
def end(*, user_id: UUID, session_id: int, actor: Actor, now: datetime) -> None:
    """End one session of a user. Raises SessionMissing."""
    rows = list(UserSession.objects.select_for_update(of=("self",)).filter(pk=session_id, user_id=user_id))
    if not rows:
        raise SessionMissing
    _end(rows, user_id, rows[0].user.username, "ended", actor, now)


@writing.transaction
def end_all(*, user_id: UUID, actor: Actor, now: datetime, but: int | None = None) -> int:
    """End the sessions of a user, all but the one with that id; return how many. Raises UserMissing."""
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        raise UserMissing
    return end_in_transaction(user, because="ended", actor=actor, now=now, but=but)


def end_in_transaction(user: User, *, because: str, actor: Actor, now: datetime, but: int | None = None) -> int:
    """The same as a part of the caller's transaction, such as that of a new password."""
    rows = list(UserSession.objects.select_for_update().filter(user=user).exclude(pk=but))
    if rows:
        _end(rows, user.pk, user.username, because, actor, now)
    return len(rows)


def forget_expired(now: datetime) -> None:
    """Remove what is left of sessions that are over."""
    Session.objects.filter(expire_date__lt=now).delete()
    UserSession.objects.exclude(session_key__in=Session.objects.values("session_key")).delete()


def seen(session_id: int, now: datetime) -> None:
    """Note that a session is in use: once a minute by each process, and no more often than the row says."""
    noted_at = _noted_at.get(session_id)
    if noted_at is not None and noted_at <= now < noted_at + _SEEN_EVERY:
        return
    if len(_noted_at) >= _NOTED_MOST:
        _noted_at.clear()
    _noted_at[session_id] = now
    UserSession.objects.filter(pk=session_id, last_seen_at__lte=now - _SEEN_EVERY).update(last_seen_at=now)


def _end(
    rows: Collection[UserSession], user_id: UUID | str, name: str, because: str, actor: Actor, now: datetime
) -> None:
    Session.objects.filter(session_key__in=[row.session_key for row in rows]).delete()
    UserSession.objects.filter(pk__in=[row.pk for row in rows]).delete()
    before: dict[str, Any] = {"sessions": sorted(row.pk for row in rows)}
    audit.record(actor, "session.ended", "user", user_id, name, before, {"because": because}, now)
