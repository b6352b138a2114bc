"""Tokens as people and programs see them, and the names that a wanted scope is made of."""

from collections.abc import Collection, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db.models import Case, CharField, Q, QuerySet, Value, When

from pools.domain import filters, roles, scopes
from pools.domain.access import Access
from pools.domain.errors import Denied, FieldError, Invalid, TokenMissing
from pools.domain.scopes import Scope
from pools.models import ApiToken, Pool, Project, User
from pools.selectors import access as rights
from pools.selectors import pages
from pools.selectors.pages import Page

STATES: Final = ("active", "expired", "revoked")
FILTERS: Final = {"user": filters.words, "service_account": filters.words, "state": filters.some_of(STATES)}
_NEWEST_FIRST: Final = pages.Order(("id",), tuple[UUID], is_descending=True)
_NAMES_TRIED: Final = 1000
_KEPT: Final = ("id", "name", "prefix", "scope", "created_at", "expires_at", "last_used_at", "revoked_at", "rotated_to")


class TokenScope(msgspec.Struct, frozen=True, kw_only=True):
    """What a token may do of what its user may; null for no limit. ``projects`` reach all below them."""

    verbs: list[str] | None = None
    nouns: list[str] | None = None
    projects: list[str] | None = None
    pools: list[str] | None = None


class TokenRow(msgspec.Struct, frozen=True, kw_only=True):
    """A token without its secret. ``prefix`` is how it begins after ``oc_`` and stands in the audit.

    ``user`` owns it, a person or (``user_kind`` service) a service account. ``rotated_to`` is its successor's id.
    ``last_used_at`` is within a minute; null: never used.
    """

    id: UUID
    name: str
    prefix: str
    user: str
    user_kind: str
    scope: TokenScope
    state: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    rotated_to: UUID | None


def page(*, params: Mapping[str, str], cursor: str | None, limit: int, now: datetime, access: Access) -> Page[TokenRow]:
    """Return tokens, the newest first: the caller's own, or those of the users that are asked for. One query.

    Whoever may not know of a user's tokens is told that there are none. Raises Invalid.
    """
    wanted = filters.read(params, FILTERS)
    query = _described(ApiToken.objects.filter(_visible(access, "read")), now)
    asked = [
        (kind, wanted[name]) for kind, name in (("person", "user"), ("service", "service_account")) if name in wanted
    ]
    whose = Q() if asked else Q(user=access.user_id)
    for kind, words in asked:
        whose |= Q(user__kind=kind) & _named("user__", words)
    query = query.filter(whose)
    if "state" in wanted:
        query = query.filter(state__in=wanted["state"])
    return pages.mapped(pages.cut(query, _NEWEST_FIRST, cursor, limit), _row)


def one(token_id: UUID, now: datetime, access: Access) -> TokenRow:
    """Return a token. One query. Raises TokenMissing, also for one that the caller may not know of."""
    found = _described(ApiToken.objects.filter(_visible(access, "read"), pk=token_id), now).first()
    if found is None:
        raise TokenMissing
    return _row(found)


def made(token: str, now: datetime) -> TokenRow:
    """Return the row of a token whose secret is at hand. Raises TokenMissing."""
    found = _described(ApiToken.objects.filter(hash=sha256(token.encode()).digest()), now).first()
    if found is None:
        raise TokenMissing
    return _row(found)


def reachable(token_id: UUID, access: Access, verb: str) -> UUID:
    """Return the id of a token for somebody who wants to edit (rotate) or remove (revoke) it. One query.

    Raises TokenMissing, also for one that the caller may not know of; Denied for one that may be known.
    """
    query = ApiToken.objects.filter(_visible(access, "read") | _visible(access, verb), pk=token_id)
    may = query.values_list(Case(When(_visible(access, verb), then=True), default=False)).first()
    if may is None:
        raise TokenMissing
    if not may[0]:
        raise Denied
    return token_id


def service_account(reference: str, access: Access) -> str:
    """Return the name of the service account with this name or id, which a token is to be made for.

    Raises Invalid when the caller knows none such, and when it is switched off.
    """
    query = User.objects.filter(_accounts(access, "read", ""), _named("", [reference]))
    found = query.values_list("username", "is_active").first()
    if found is None:
        raise Invalid(fields=(FieldError("service_account", "unknown", "There is no such service account."),))
    name, is_active = found
    if not is_active:
        detail = "This service account is switched off; switch it on first."
        raise Invalid(fields=(FieldError("service_account", "inactive", detail),))
    return name


def scope(wanted: TokenScope, access: Access) -> Scope:
    """Return the scope of these words, with projects by path or id and pools by name or id that the caller may know.

    Raises Invalid with all mistakes at once.
    """
    wrong = list(scopes.checked(wanted.verbs, wanted.nouns))
    for name in wanted.__struct_fields__:
        if (words := getattr(wanted, name)) is not None and not 1 <= len(words) <= filters.MOST_VALUES:
            detail = f"Name 1 to {filters.MOST_VALUES}, or leave it out for no limit."
            wrong.append(FieldError(f"scope.{name}", "bad_count", detail))
    if wrong:
        raise Invalid(fields=tuple(wrong))
    projects = Project.objects.filter(rights.projects(access)).exclude(state="archived")
    pools = Pool.objects.filter(rights.pools(access), removed_at=None)
    return Scope(
        verbs=None if wanted.verbs is None else frozenset(wanted.verbs),
        nouns=None if wanted.nouns is None else frozenset(wanted.nouns),
        projects=None if wanted.projects is None else _ids("projects", wanted.projects, projects, "path"),
        pools=None if wanted.pools is None else _ids("pools", wanted.pools, pools, "name"),
    )


def _ids(field: str, words: Collection[str], known: QuerySet[Any], name: str) -> frozenset[UUID]:
    ids = {pk for word in words if (pk := filters.as_uuid(word))}
    found = list(known.filter(Q(pk__in=ids) | Q(**{f"{name}__in": words})).values_list("pk", name))
    by_reference = {str(pk): pk for pk, _ in found} | {called: pk for pk, called in found}
    if unknown := [word for word in words if word.lower() not in by_reference]:
        names = list(known.order_by(name).values_list(name, flat=True)[:_NAMES_TRIED])
        raise Invalid(
            fields=tuple(
                FieldError(f"scope.{field}", "unknown", f'"{word[:64]}" is not known. {filters.meant(word, names)}')
                for word in unknown
            )
        )
    return frozenset(by_reference[word.lower()] for word in words)


def _visible(access: Access, verb: str) -> Q:
    """The tokens with which the caller may do this: all, own ones, and those of service accounts within reach."""
    if access.everywhere("token", verb):
        return Q(pk__isnull=False)
    own = Q(user=access.user_id) if access.somewhere(roles.MINE, verb) else Q(pk__in=[])
    # Tokens are a part of their service account: who may edit it makes, rotates and revokes them.
    return own | _accounts(access, "read" if verb == "read" else "edit", "user__")


def _accounts(access: Access, verb: str, path: str) -> Q:
    of_service = Q(**{f"{path}kind": "service"})
    if access.everywhere("service_account", verb):
        return of_service
    reached = Project.objects.filter(rights.projects(access, "service_account", verb))
    return of_service & Q(**{f"{path}project__in": reached})


def _named(path: str, words: Collection[str]) -> Q:
    ids = [pk for word in words if (pk := filters.as_uuid(word))]
    return Q(**{f"{path}pk__in": ids}) | Q(**{f"{path}username__in": list(words)})


def _described(query: QuerySet[ApiToken], now: datetime) -> QuerySet[Any, Any]:
    state = Case(
        When(revoked_at__isnull=False, then=Value("revoked")),
        When(expires_at__lte=now, then=Value("expired")),
        default=Value("active"),
        output_field=CharField(),
    )
    described: QuerySet[Any, Any] = query.annotate(state=state)
    return described.values(*_KEPT, "state", "user__username", "user__kind")


def _row(found: Mapping[str, Any]) -> TokenRow:
    values = dict(found)
    return TokenRow(
        user=values.pop("user__username"),
        user_kind=values.pop("user__kind"),
        scope=TokenScope(**values.pop("scope")),
        **values,
    )
