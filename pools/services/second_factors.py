"""Second factors: their secrets are encrypted with the keys of credentials, and every change leaves an audit row."""

from datetime import datetime

from allauth.mfa.models import Authenticator

from pools.domain.actors import Actor
from pools.domain.errors import UserMissing
from pools.models import User
from pools.services import audit, credentials, sessions, writing


@writing.transaction
def noted(*, action: str, kind: str, actor: Actor, now: datetime) -> None:
    """Note what the actor did to a second factor of their own, such as ``user.second_factor_added``."""
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
