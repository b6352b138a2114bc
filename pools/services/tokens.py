"""Bearer tokens: ``oc_<prefix>_<secret><checksum>``. Only the hash is stored; the token is shown once."""

import secrets
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID
from zlib import crc32

from django.conf import settings
from django.db.models import Q
from msgspec.structs import replace

from pools.domain import access as rights
from pools.domain import roles, scopes
from pools.domain.access import Access
from pools.domain.actors import Actor
from pools.domain.errors import Denied, FieldError, Invalid, TokenEnded, TokenMissing, TokenNameMissing, UserMissing
from pools.domain.scopes import Scope
from pools.models import ApiToken, Project, RoleBinding, User
from pools.selectors import access
from pools.services import audit, writing

NAME_LONGEST: Final = 100
OVERLAP_MOST_SECONDS: Final = 7 * 86400
OVERLAP_DEFAULT_SECONDS: Final = 3600
_LENGTH: Final = len("oc_") + 8 + len("_") + 64 + 8
_USE_NOTED_EVERY: Final = timedelta(minutes=1)


@writing.transaction
def make(
    *,
    username: str,
    name: str,
    actor: Actor,
    now: datetime,
    scope: Scope = scopes.EVERYTHING,
    expires_at: datetime | None = None,
) -> str:
    """Return a new token of the user with this name: of oneself, of a service account one may edit, or of anybody.

    For anybody only ocenter itself and its commands make one. A token makes none that may do more or lasts longer.
    Without ``expires_at`` it lasts as long as policy allows, and one that a command made until it is revoked.
    Raises UserMissing, Denied, Invalid.
    """
    owner = User.objects.select_related("project").filter(username=username, is_active=True).first()
    if owner is None:
        raise UserMissing
    _require(actor.access, owner)
    _require_not_wider(scope, actor.access)
    if not 1 <= len(name.strip()) <= NAME_LONGEST:
        raise Invalid(fields=(FieldError("name", "bad_value", f"Write 1 to {NAME_LONGEST} characters."),))
    token, row = _store(owner, name.strip(), scope, _end(expires_at, actor.access, now), now)
    _record(actor, "token.made", row, now, scope=scope.stored())
    return token


@writing.transaction
def rotate(*, token_id: UUID, actor: Actor, now: datetime, overlap_seconds: int = OVERLAP_DEFAULT_SECONDS) -> str:
    """Return a successor with the same name, scope and length of life; the old token ends after the overlap.

    Raises TokenMissing, TokenEnded, Denied, Invalid (overlap, or a scope wider than the caller's own).
    """
    row = _locked(token_id)
    _require(actor.access, row.user)
    _require_not_wider(scopes.loaded(row.scope), actor.access)
    if not 0 <= overlap_seconds <= OVERLAP_MOST_SECONDS:
        detail = f"0 to {OVERLAP_MOST_SECONDS} seconds are allowed."
        raise Invalid(fields=(FieldError("overlap_seconds", "bad_value", detail),))
    if row.revoked_at or row.rotated_to_id or (row.expires_at and row.expires_at <= now):
        raise TokenEnded
    lasts_until = now + (row.expires_at - row.created_at) if row.expires_at else None
    token, successor = _store(row.user, row.name, scopes.loaded(row.scope), _most(lasts_until, actor.access, now), now)
    row.rotated_to = successor
    ends_at = now + timedelta(seconds=overlap_seconds)
    row.expires_at = min(row.expires_at or ends_at, ends_at)
    row.save(update_fields=["rotated_to", "expires_at"])
    _record(actor, "token.rotated", row, now, rotated_to=successor.prefix)
    access.forget()
    return token


@writing.transaction
def revoke(*, token_id: UUID, actor: Actor, now: datetime) -> None:
    """Make a token worthless, everywhere within seconds. One that is worthless already stays so.

    Raises TokenMissing, Denied.
    """
    row = _locked(token_id)
    if not actor.access.everywhere("token", "remove"):
        _require(actor.access, row.user, verb="remove")
    _revoke(row, actor, now)


@writing.transaction
def revoke_named(*, username: str, name: str, actor: Actor, now: datetime) -> int:
    """Make all tokens of this user and name worthless; return how many. Raises TokenNameMissing when there is none."""
    named = ApiToken.objects.select_for_update(of=("self",)).select_related("user")
    rows = list(named.filter(user__username=username, name=name, revoked_at=None).order_by("id"))
    if not rows:
        raise TokenNameMissing(user=username, name=name)
    for row in rows:
        _revoke(row, actor, now)
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


def _require(access: Access, owner: User, verb: str = "create") -> None:
    """Own tokens need no role. Those of a service account need its edit and, to get one, each role that it has.

    Without the second, somebody would act through the account in a role that nobody gave to him.
    """
    if access == rights.SYSTEM:
        return
    if owner.pk == access.user_id:
        access.require(roles.MINE, verb)
        return
    if owner.kind != "service":
        raise Denied
    access.require("service_account", "edit", owner.project.lineage if owner.project else [])
    if verb == "remove":
        return
    held = RoleBinding.objects.filter(user=owner).exclude(project__state="archived").select_related("project")
    if not all(access.may_give(each.role, each.project.lineage if each.project else []) for each in held):
        raise Denied


def _require_not_wider(scope: Scope, access: Access) -> None:
    """Raise Invalid unless the caller's own token, if it comes with one, may do all of this."""
    if scope.projects and access.scope.projects:
        below = Project.objects.filter(pk__in=scope.projects, lineage__overlap=list(access.scope.projects))
        beside = scope.projects.difference(below.values_list("pk", flat=True))
        scope = replace(scope, projects=beside or access.scope.projects)
    scopes.within(scope, access.scope)


def _end(wanted: datetime | None, access: Access, now: datetime) -> datetime | None:
    """Return when a new token ends. Raises Invalid for what lies behind, or beyond what is allowed."""
    latest = _most(None, access, now)
    if access.token_id is not None:
        own = ApiToken.objects.values_list("expires_at", flat=True).get(pk=access.token_id)
        latest = min(filter(None, (latest, own)), default=None)
    if wanted is None:
        return latest
    if wanted <= now:
        raise Invalid(fields=(FieldError("expires_at", "too_early", "This instant has passed."),))
    if latest is not None and wanted > latest:
        raise Invalid(fields=(FieldError("expires_at", "too_late", f"At most until {latest:%Y-%m-%dT%H:%M:%SZ}."),))
    return wanted


def _most(wanted: datetime | None, access: Access, now: datetime) -> datetime | None:
    """Return the instant, and no later than policy allows those who are no command of the machine."""
    if access == rights.SYSTEM or settings.TOKEN_DAYS_MOST == 0:
        return wanted
    latest = now + timedelta(days=settings.TOKEN_DAYS_MOST)
    return min(wanted or latest, latest)


def _store(owner: User, name: str, scope: Scope, expires_at: datetime | None, now: datetime) -> tuple[str, ApiToken]:
    prefix = secrets.token_hex(4)
    body = f"oc_{prefix}_{secrets.token_hex(32)}"
    token = body + _checksum(body)
    row = ApiToken.objects.create(
        user=owner,
        name=name,
        prefix=prefix,
        hash=_hash(token),
        scope=scope.stored(),
        created_at=now,
        expires_at=expires_at,
    )
    return token, row


def _locked(token_id: UUID) -> ApiToken:
    query = ApiToken.objects.select_for_update(of=("self",)).select_related("user__project")
    row = query.filter(pk=token_id).first()
    if row is None:
        raise TokenMissing
    return row


def _revoke(row: ApiToken, actor: Actor, now: datetime) -> None:
    if row.revoked_at is not None:
        return
    row.revoked_at = now
    row.save(update_fields=["revoked_at"])
    _record(actor, "token.revoked", row, now)
    access.forget()


def _record(actor: Actor, action: str, row: ApiToken, now: datetime, **more: object) -> None:
    lasts = {"expires_at": row.expires_at.isoformat()} if row.expires_at else {}
    after = {"user": row.user.username, "prefix": row.prefix, **lasts, **more}
    audit.record(actor, action, "token", row.pk, row.name, None, after, now, project_id=row.user.project_id)


def _hash(token: str) -> bytes:
    # 256 random bits need no salt and no slow hash.
    return sha256(token.encode()).digest()


def _checksum(body: str) -> str:
    """Tells a cut or mistyped token from a wrong one without asking the database, and tokens in leaks from noise."""
    return f"{crc32(body.encode()):08x}"
