"""Second factors: their secrets are encrypted with the keys of credentials, and every change leaves an audit row."""

from datetime import datetime

from allauth.mfa.models import Authenticator

from pools.domain.actors import Actor
from pools.services import audit, credentials, writing


@writing.transaction
def noted(*, action: str, kind: str, actor: Actor, now: datetime) -> None:
    """Note what the actor did to a second factor of their own, such as ``user.second_factor_added``."""
    audit.record(actor, action, "user", actor.access.user_id or "", actor.name, None, {"kind": kind}, now)


@writing.transaction
def rotate() -> int:
    """Encrypt all secrets with the first key; return how many. Raises CredentialUnreadable."""
    rows = list(Authenticator.objects.select_for_update().order_by("pk"))
    for row in rows:
        for name in row.data.keys() & {"secret", "seed"}:
            row.data[name] = credentials.encrypt_text(credentials.decrypt_text(row.data[name]))
    Authenticator.objects.bulk_update(rows, ["data"])
    return len(rows)
