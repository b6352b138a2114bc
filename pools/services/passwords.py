"""Passwords: a new one ends all other sessions, and a link lets somebody choose one who has forgotten theirs."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.tokens import default_token_generator

from pools.domain.actors import Actor
from pools.domain.errors import UserMissing, UserWithoutLogIn
from pools.models import User
from pools.services import audit, sessions, writing


@dataclass(frozen=True, slots=True)
class ResetKey:
    """What the link of a reset consists of. It works once: the new password makes it worthless."""

    user_id: UUID
    token: str
    expires_at: datetime


def change(*, user_id: UUID, password: str, is_reset: bool, keeps: int | None, actor: Actor, now: datetime) -> str:
    """Set a password that was validated, end all sessions but the one with the id ``keeps``, and return the hash.

    Raises UserMissing.
    """
    hashed = make_password(password)  # takes its time, so before any lock
    _change(user_id, hashed, "user.password_reset" if is_reset else "user.password_changed", keeps, actor, now)
    return hashed


@writing.transaction
def _change(user_id: UUID, hashed: str, action: str, keeps: int | None, actor: Actor, now: datetime) -> None:
    user = User.objects.select_for_update().filter(pk=user_id).first()
    if user is None:
        raise UserMissing
    user.password = hashed
    user.save(update_fields=["password"])
    sessions.end_in_transaction(user, because="new_password", actor=actor, now=now, but=keeps)
    audit.record(actor, action, "user", user.pk, user.username, None, None, now)


@writing.transaction
def make_reset_link(*, user_id: UUID, actor: Actor, now: datetime) -> ResetKey:
    """Return the key of a link by which the user chooses a new password; it is stored nowhere.

    Raises UserMissing, UserWithoutLogIn.
    """
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        raise UserMissing
    if not user.is_active or user.kind != "person":
        raise UserWithoutLogIn(name=user.username)
    expires_at = now + timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT)
    after = {"expires_at": expires_at.isoformat()}
    audit.record(actor, "user.password_reset_allowed", "user", user.pk, user.username, None, after, now)
    return ResetKey(user_id=user.pk, token=default_token_generator.make_token(user), expires_at=expires_at)
