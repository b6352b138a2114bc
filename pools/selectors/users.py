"""Accounts of people and of programs."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db.models import F, Q, QuerySet

from pools.domain import filters, roles
from pools.domain.access import Access
from pools.domain.errors import UserMissing
from pools.models import Project, RoleBinding, User
from pools.models.user import USER_KINDS
from pools.selectors import pages
from pools.selectors.pages import Page

FILTERS: Final = {
    "role": filters.some_of(roles.ROLES),
    "is_active": filters.flag,
    "kind": filters.some_of(USER_KINDS),
    "q": filters.phrase,
}
_BY_NAME: Final = pages.Order(("username", "id"), tuple[str, UUID])
_PLAIN: Final = (
    "id",
    "username",
    "email",
    "display_name",
    "kind",
    "language",
    "time_zone",
    "is_active",
    "created_at",
    "generation",
)


class RoleRow(msgspec.Struct, frozen=True, kw_only=True):
    """A role that somebody has: in a project and all below, or (``project`` null) on the platform."""

    role: str
    project: str | None
    project_id: UUID | None
    source: str


class UserRow(msgspec.Struct, frozen=True, kw_only=True):
    """An account of a person, or (``kind`` service) of a program, which belongs to ``project`` or to the platform.

    ``last_login_at`` is null for those who never logged in. ``roles`` leave out those in archived projects.
    """

    id: UUID
    username: str
    email: str
    display_name: str
    kind: str
    project: str | None
    language: str
    time_zone: str
    is_active: bool
    roles: list[RoleRow]
    last_login_at: datetime | None
    created_at: datetime
    generation: int


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Whoever asks: the account, the token it came with, and what may be done with it.

    ``platform`` are the verbs by noun everywhere, ``projects`` the same in each project (and all below) by its path.
    """

    user: UserRow
    token: str | None
    scope: dict[str, list[str]]
    platform: dict[str, list[str]]
    projects: dict[str, dict[str, list[str]]]


def page(*, params: Mapping[str, str], cursor: str | None, limit: int) -> Page[UserRow]:
    """Return accounts by name, for the roles of the platform. Two queries. Raises Invalid."""
    wanted = filters.read(params, FILTERS)
    query = User.objects.exclude(username__startswith="removed:")
    if "role" in wanted:
        holders = RoleBinding.objects.filter(role__in=wanted["role"]).exclude(project__state="archived")
        query = query.filter(pk__in=holders.values("user"))
    if "is_active" in wanted:
        query = query.filter(is_active=wanted["is_active"])
    if "kind" in wanted:
        query = query.filter(kind__in=wanted["kind"])
    if "q" in wanted:
        query = query.filter(named_like(wanted["q"]) | Q(email__icontains=wanted["q"]))
    found = pages.cut(_columns(query), _BY_NAME, cursor, limit)
    return Page(_rows(found.rows), found.next_cursor)


def one(reference: str) -> UserRow:
    """Return an account by name or id. Two queries. Raises UserMissing."""
    rows = _rows(list(_columns(User.objects.filter(referred(reference)))))
    if not rows:
        raise UserMissing
    return rows[0]


def me(access: Access) -> Me:
    """Return whoever asks. Three queries. Raises UserMissing for who is no user (ocenter itself)."""
    project_ids = {binding.project_id for binding in access.bindings}
    paths = dict(Project.objects.filter(pk__in=project_ids).order_by("path").values_list("pk", "path"))
    return Me(
        user=one(str(access.user_id)),
        token=access.token_prefix or None,
        scope=access.scope.stored(),
        platform=_verbs(lambda noun, verb: access.everywhere(noun, verb)),
        projects={path: _verbs(partial(_is_bound, access, project_id)) for project_id, path in paths.items()},
    )


def referred(reference: str, path: str = "") -> Q:
    """Return the condition on users (or on rows whose ``path`` leads to one) for a name or an id."""
    if "\x00" in reference:
        return Q(pk__in=[])
    by_id = filters.as_uuid(reference)
    return Q(**{f"{path}pk": by_id}) if by_id else Q(**{f"{path}username": reference})


def named_like(words: str, path: str = "") -> Q:
    """Return the condition that a user is called somehow like this."""
    return Q(**{f"{path}username__icontains": words}) | Q(**{f"{path}display_name__icontains": words})


def _is_bound(access: Access, project_id: UUID, noun: str, verb: str) -> bool:
    return any(binding.project_id == project_id for binding in access.reaching(noun, verb))


def _verbs(may: Callable[[str, str], bool]) -> dict[str, list[str]]:
    found = {noun: [verb for verb in roles.VERBS.values() if may(noun, verb)] for noun in roles.NOUNS}
    return {noun: verbs for noun, verbs in found.items() if verbs}


def _columns(query: QuerySet[User]) -> QuerySet[Any, Any]:
    rows: QuerySet[Any, Any] = query.values(*_PLAIN, last_login_at=F("last_login"), of_project=F("project__path"))
    return rows


def _rows(found: Collection[dict[str, Any]]) -> list[UserRow]:
    held: dict[UUID, list[RoleRow]] = {}
    bindings = RoleBinding.objects.filter(user__in=[row["id"] for row in found]).exclude(project__state="archived")
    columns = ("user_id", "role", "project__path", "project_id", "source")
    for user_id, role, path, project_id, source in bindings.order_by("project__path", "role").values_list(*columns):
        held.setdefault(user_id, []).append(RoleRow(role=role, project=path, project_id=project_id, source=source))
    return [UserRow(project=row.pop("of_project"), roles=held.get(row["id"], []), **row) for row in found]
