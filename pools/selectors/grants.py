"""Which projects may use a pool."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from pools.domain import filters
from pools.models import PoolGrant, Project
from pools.selectors import pages
from pools.selectors.pages import Page

FILTERS: Final = {"q": filters.phrase}
_BY_PATH: Final = pages.Order(("project__path", "id"), tuple[str, UUID])


class GrantRow(msgspec.Struct, frozen=True, kw_only=True):
    """A project that may use the pool, with all below it. An archived one uses nothing until it is restored."""

    id: UUID
    project: str
    project_id: UUID
    project_state: str
    created_at: datetime


def page(*, pool_id: UUID, params: Mapping[str, str], cursor: str | None, limit: int) -> Page[GrantRow]:
    """Return the grants of a pool by the project's path, for the roles of the platform. One query. Raises Invalid."""
    wanted = filters.read(params, FILTERS)
    query = PoolGrant.objects.filter(pool=pool_id)
    if "q" in wanted:
        query = query.filter(project__path__icontains=wanted["q"])
    rows = query.values("id", "project_id", "project__path", "project__state", "created_at")
    return pages.mapped(pages.cut(rows, _BY_PATH, cursor, limit), _row)


def givers(pool_ids: Collection[UUID], project: Project) -> dict[UUID, list[GrantRow]]:
    """Return the grants by which the project may use each of these pools: to it or above, the highest first. One query.

    Shape: {pool id: grants}.
    """
    query = PoolGrant.objects.filter(pool__in=pool_ids, project__in=project.lineage).order_by("project__path")
    found: dict[UUID, list[GrantRow]] = {}
    for row in query.values("pool_id", "id", "project_id", "project__path", "project__state", "created_at"):
        found.setdefault(row["pool_id"], []).append(_row(row))
    return found


def _row(found: Mapping[str, Any]) -> GrantRow:
    return GrantRow(
        id=found["id"],
        project=found["project__path"],
        project_id=found["project_id"],
        project_state=found["project__state"],
        created_at=found["created_at"],
    )
