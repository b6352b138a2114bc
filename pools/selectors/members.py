"""Who has which role in a project, of its own or from above."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db.models import QuerySet

from pools.domain import filters, roles
from pools.domain.access import Access
from pools.domain.errors import MemberMissing
from pools.models import Project, RoleBinding
from pools.models.project import BINDING_SOURCES
from pools.selectors import access as rights
from pools.selectors import pages, users
from pools.selectors.pages import Page

FILTERS: Final = {
    "role": filters.some_of(roles.PROJECT_ROLES),
    "source": filters.some_of(BINDING_SOURCES),
    "is_inherited": filters.flag,
    "q": filters.phrase,
}
_BY_NAME: Final = pages.Order(("user__username", "id"), tuple[str, UUID])
_COLUMNS: Final = (
    "id",
    "user_id",
    "user__username",
    "user__display_name",
    "user__is_active",
    "role",
    "source",
    "project_id",
    "project__path",
    "created_at",
)


class MemberRow(msgspec.Struct, frozen=True, kw_only=True):
    """A role of somebody in a project. Whoever has several, has a row for each.

    ``source``: by ``hand``, or ``sso`` when it follows from a group at the identity provider. ``inherited_from`` is
    the path of the project above that the role was given in; null: given in this one.
    """

    id: UUID
    user_id: UUID
    user: str
    display_name: str
    is_active: bool
    role: str
    source: str
    inherited_from: str | None
    created_at: datetime


def page(
    *, project: Project, params: Mapping[str, str], cursor: str | None, limit: int, access: Access
) -> Page[MemberRow]:
    """Return the people of a project by name; those from above as far as the caller may know who is in there.

    One query. Raises Invalid.
    """
    wanted = filters.read(params, FILTERS)
    query = _known(project, access)
    if "role" in wanted:
        query = query.filter(role__in=wanted["role"])
    if "source" in wanted:
        query = query.filter(source__in=wanted["source"])
    if "is_inherited" in wanted:
        query = query.exclude(project=project) if wanted["is_inherited"] else query.filter(project=project)
    if "q" in wanted:
        query = query.filter(users.named_like(wanted["q"], "user__"))
    found = pages.cut(query.values(*_COLUMNS), _BY_NAME, cursor, limit)
    return pages.mapped(found, lambda row: _row(row, project))


def one(*, project: Project, user: str, access: Access) -> MemberRow:
    """Return the role that somebody, by name or id, was given by hand in the project itself. One query.

    Raises MemberMissing.
    """
    query = _known(project, access).filter(users.referred(user, "user__"), project=project, source="hand")
    found = query.values(*_COLUMNS).first()
    if found is None:
        raise MemberMissing
    return _row(found, project)


def _known(project: Project, access: Access) -> QuerySet[RoleBinding]:
    places = Project.objects.filter(rights.projects(access, "member", "read"), pk__in=project.lineage)
    return RoleBinding.objects.filter(project__in=places, user__kind="person")


def _row(found: Mapping[str, Any], project: Project) -> MemberRow:
    return MemberRow(
        id=found["id"],
        user_id=found["user_id"],
        user=found["user__username"],
        display_name=found["user__display_name"],
        is_active=found["user__is_active"],
        role=found["role"],
        source=found["source"],
        inherited_from=None if found["project_id"] == project.pk else found["project__path"],
        created_at=found["created_at"],
    )
