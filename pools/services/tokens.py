"""Bearer tokens: ``oc_<prefix>_<secret><checksum>``. Only the hash is stored; the token is shown once."""

import secrets
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID
from zlib import crc32

from django.db.models import Q

from pools.domain.access import Access
from pools.domain.actors import Actor
from pools.domain.errors import TokenMissing, UserMissing
from pools.models import ApiToken, User
from pools.selectors import access
from pools.services import audit, writing

_LENGTH: Final = len("oc_") + 8 + len("_") + 64 + 8
_USE_NOTED_EVERY: Final = timedelta(minutes=1)


@writing.transaction
def make(*, username: str, name: str, actor: Actor, now: datetime, expires_at: datetime | None = None) -> str:
    """Return a new token of the user with this name. Raises UserMissing.

    Without ``expires_at`` it lasts until it is revoked.
    """
    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        raise UserMissing(name=username)
    prefix = secrets.token_hex(4)
    body = f"oc_{prefix}_{secrets.token_hex(32)}"
    token = body + _checksum(body)
    row = ApiToken.objects.create(
        user=user, name=name[:100], prefix=prefix, hash=_hash(token), created_at=now, expires_at=expires_at
    )
    lasts = {"expires_at": expires_at.isoformat()} if expires_at else {}
    after = {"user": username, "prefix": prefix, **lasts}
    audit.record(actor, "token.made", "token", row.pk, row.name, None, after, now)
    return token


@writing.transaction
def revoke(*, username: str, name: str, actor: Actor, now: datetime) -> int:
    """Make all tokens of this user and name worthless; return how many. Raises TokenMissing when there is none."""
    named = ApiToken.objects.select_for_update(of=("self",)).filter(user__username=username, name=name[:100])
    rows = list(named.filter(revoked_at=None).order_by("id"))
    if not rows:
        raise TokenMissing(user=username, name=name)
    for row in rows:
        row.revoked_at = now
        row.save(update_fields=["revoked_at"])
        after = {"user": username, "prefix": row.prefix}
        audit.record(actor, "token.revoked", "token", row.pk, row.name, None, after, now)
    access.forget()
    return len(rows)


def access_of(token: str, now: datetime) -> Access | None:
    """Return the rights that a token gives; None when it is made up, expired, revoked or its user was switched off."""
    if len(token) != _LENGTH or not token.isascii() or _checksum(token[:-8]) != token[-8:]:
        return None
    found = access.of_token(token, now)
    if found is not None and found.token_id is not None:
        _note_use(found.token_id, now)
    return found


def _note_use(token_id: UUID, now: datetime) -> None:
    """Each process writes it once a minute, and no more often than the row says."""
    noted_at = _noted_at.get(token_id)
    if noted_at is not None and noted_at <= now < noted_at + _USE_NOTED_EVERY:
        return
    if len(_noted_at) >= access.KEPT_MOST:
        _noted_at.clear()
    _noted_at[token_id] = now
    due = Q(last_used_at=None) | Q(last_used_at__lte=now - _USE_NOTED_EVERY)
    ApiToken.objects.filter(due, pk=token_id).update(last_used_at=now)


_noted_at: Final[dict[UUID, datetime]] = {}


def _hash(token: str) -> bytes:
    # 256 random bits need no salt and no slow hash.
    return sha256(token.encode()).digest()


def _checksum(body: str) -> str:
    """Tells a cut or mistyped token from a wrong one without asking the database, and tokens in leaks from noise."""
    return f"{crc32(body.encode()):08x}"
