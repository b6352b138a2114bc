"""Second factors: their secrets are encrypted with the keys of credentials, and every change leaves an audit row."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from allauth.mfa.models import Authenticator

from pools.domain.actors import Actor
from pools.domain.errors import UserMissing
from pools.models import User
from pools.services import audit, credentials, sessions, writing

_CODES: Final = Authenticator.Type.RECOVERY_CODES.value


@contextmanager
def noting(*, actor: Actor, now: datetime) -> Iterator[None]:
    """One transaction around what allauth does to the actor's own second factors, with an audit row for each change.

    allauth's signals come after its commit, when a process that dies would leave a change that no row tells of.
    Raises UserMissing when nobody is logged in.
    """
    if actor.access.user_id is None:
        raise UserMissing
    with writing.request():
        # Of two requests at once each would take the other's change for its own.
        user = User.objects.select_for_update(no_key=True).get(pk=actor.access.user_id)
        before = _keys(user)
        yield
        after = _keys(user)
        for kind in sorted(before.keys() | after.keys(), reverse=True):  # the app before the codes that come with it
            if kind not in after:
                _record(actor, "user.second_factor_removed", kind, now)
            elif before.get(kind) != after[kind]:
                made = "user.recovery_codes_made" if kind == _CODES else "user.second_factor_added"
                _record(actor, made, kind, now)


@writing.transaction
def codes_read(*, actor: Actor, now: datetime) -> None:
    """Note that the actor was shown recovery codes."""
    _record(actor, "user.recovery_codes_read", _CODES, now)


def _keys(user: User) -> dict[str, int]:
    return dict(Authenticator.objects.filter(user=user).values_list("type", "pk"))


def _record(actor: Actor, action: str, kind: str, now: datetime) -> None:
    audit.record(actor, action, "user", actor.access.user_id or "", actor.name, None, {"kind": kind}, now)


@writing.transaction
def remove(*, username: str, actor: Actor, now: datetime) -> None:
    """Take all second factors from a user who has lost them, and end the user's sessions. Raises UserMissing."""
    user = User.objects.select_for_update().filter(username=username).first()
    if user is None:
        raise UserMissing
    rows = Authenticator.objects.filter(user=user)
    before = {"kinds": sorted(rows.values_list("type", flat=True))}
    rows.delete()
    sessions.end_in_transaction(user, because="second_factor_removed", actor=actor, now=now)
    audit.record(actor, "user.second_factor_removed", "user", user.pk, user.username, before, None, now)


@writing.transaction
def rotate() -> int:
    """Encrypt all secrets with the first key; return how many. Raises CredentialUnreadable."""
    rows = list(Authenticator.objects.select_for_update().order_by("pk"))
    for row in rows:
        for name in row.data.keys() & {"secret", "seed"}:
            row.data[name] = credentials.encrypt_text(credentials.decrypt_text(row.data[name]))
    Authenticator.objects.bulk_update(rows, ["data"])
    return len(rows)
