"""Which groups at the identity provider give which roles."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from pools.domain import filters, roles
from pools.domain.access import Access
from pools.domain.errors import SsoGroupMissing
from pools.models import SsoGroup
from pools.selectors import pages, projects
from pools.selectors.pages import Page

FILTERS: Final = {"project": filters.words, "role": filters.some_of(roles.ROLES), "q": filters.phrase}
_BY_NAME: Final = pages.Order(("name", "id"), tuple[str, UUID])
_COLUMNS: Final = ("id", "name", "role", "project__path", "created_at")


class SsoGroupRow(msgspec.Struct, frozen=True, kw_only=True):
    """Who is in the group has the role, in a project and all below or (null) on the platform."""

    id: UUID
    name: str
    role: str
    project: str | None
    created_at: datetime


def page(*, params: Mapping[str, str], cursor: str | None, limit: int, access: Access) -> Page[SsoGroupRow]:
    """Return groups by name, for the roles of the platform.

    One query, one more for names of projects in the filter. Raises Invalid.
    """
    wanted = filters.read(params, FILTERS)
    query = SsoGroup.objects.all()
    if "project" in wanted:
        query = query.filter(project__in=projects.project_ids(wanted["project"], access))
    if "role" in wanted:
        query = query.filter(role__in=wanted["role"])
    if "q" in wanted:
        query = query.filter(name__icontains=wanted["q"])
    return pages.mapped(pages.cut(query.values(*_COLUMNS), _BY_NAME, cursor, limit), _row)


def one(group_id: UUID) -> SsoGroupRow:
    """Return a group. One query. Raises SsoGroupMissing."""
    found = SsoGroup.objects.filter(pk=group_id).values(*_COLUMNS).first()
    if found is None:
        raise SsoGroupMissing
    return _row(found)


def _row(found: Mapping[str, Any]) -> SsoGroupRow:
    values = dict(found)
    return SsoGroupRow(project=values.pop("project__path"), **values)
