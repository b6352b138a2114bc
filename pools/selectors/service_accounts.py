"""Accounts of programs."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db.models import Exists, F, Max, OuterRef, QuerySet, Subquery

from pools.domain import filters, roles
from pools.domain.access import Access
from pools.domain.errors import Denied, ServiceAccountMissing
from pools.models import Project, RoleBinding, User
from pools.selectors import access as rights
from pools.selectors import pages, projects, users
from pools.selectors.pages import Page

FILTERS: Final = {
    "project": filters.words,
    "role": filters.some_of(roles.ROLES),
    "is_active": filters.flag,
    "q": filters.phrase,
}
_BY_NAME: Final = pages.Order(("username", "id"), tuple[str, UUID])


class ServiceAccountRow(msgspec.Struct, frozen=True, kw_only=True):
    """A service account of a project or (null) of the platform. ``username`` is its name among all users.

    ``last_used_at`` is the latest use of one of its tokens, within a minute.
    """

    id: UUID
    name: str
    username: str
    project: str | None
    role: str
    is_active: bool
    last_used_at: datetime | None
    created_at: datetime
    generation: int


def page(
    *, params: Mapping[str, str], cursor: str | None, limit: int, access: Access, project: Project | None = None
) -> Page[ServiceAccountRow]:
    """Return the service accounts that the caller may know of (of one project), by name.

    One query, one more for names of projects in the filter. Raises Invalid.
    """
    wanted = filters.read(params, FILTERS)
    query = _known(access)
    if project is not None:
        query = query.filter(project=project)
    if "project" in wanted:
        query = query.filter(project__in=projects.project_ids(wanted["project"], access))
    if "is_active" in wanted:
        query = query.filter(is_active=wanted["is_active"])
    if "q" in wanted:
        query = query.filter(display_name__icontains=wanted["q"])
    described = _described(query)
    if "role" in wanted:
        described = described.filter(role__in=wanted["role"])
    return pages.mapped(pages.cut(described, _BY_NAME, cursor, limit), _row)


def one(account_id: UUID, access: Access) -> ServiceAccountRow:
    """Return a service account. One query. Raises ServiceAccountMissing."""
    found = _described(_known(access).filter(pk=account_id)).first()
    if found is None:
        raise ServiceAccountMissing
    return _row(found)


def reachable(reference: str, access: Access, verb: str = "read") -> UUID:
    """Return the id of the service account of this user name or id, for somebody who wants to do this to it. One query.

    Raises ServiceAccountMissing, also for one that the caller may not know of; Denied for one that may be known.
    """
    found = _known(access).filter(users.referred(reference)).values_list("pk", "project__lineage").first()
    if found is None:
        raise ServiceAccountMissing
    if not access.within("service_account", verb, found[1] or []):
        raise Denied
    return found[0]


def _known(access: Access) -> QuerySet[User]:
    accounts = User.objects.filter(Exists(RoleBinding.objects.filter(user=OuterRef("pk"))), kind="service")
    if access.everywhere("service_account", "read"):
        return accounts
    places = Project.objects.filter(rights.projects(access, "service_account", "read"))
    return accounts.filter(project__in=places)


def _described(query: QuerySet[User]) -> QuerySet[Any, Any]:
    role = RoleBinding.objects.filter(user=OuterRef("pk"), source="hand").values("role")[:1]
    described: QuerySet[Any, Any] = query.annotate(role=Subquery(role), last_used_at=Max("tokens__last_used_at"))
    return described.values(
        "id",
        "username",
        "is_active",
        "created_at",
        "generation",
        "role",
        "last_used_at",
        name=F("display_name"),
        of_project=F("project__path"),
    )


def _row(found: Mapping[str, Any]) -> ServiceAccountRow:
    values = dict(found)
    return ServiceAccountRow(project=values.pop("of_project"), **values)
