"""What things are called whose ids are stored, as far as the caller may know of them."""

from collections.abc import Collection
from uuid import UUID

from pools.domain.access import Access
from pools.models import Pool, Project
from pools.selectors import access as rights


def of_projects(project_ids: Collection[UUID], access: Access) -> dict[UUID, str]:
    """Return paths by id. One query, none when nothing is asked for."""
    if not project_ids:
        return {}
    known = Project.objects.filter(rights.projects(access), pk__in=project_ids)
    return dict(known.values_list("pk", "path"))


def of_pools(pool_ids: Collection[UUID], access: Access) -> dict[UUID, str]:
    """Return names by id. One query, none when nothing is asked for."""
    if not pool_ids:
        return {}
    return dict(Pool.objects.filter(rights.pools(access), pk__in=pool_ids).values_list("pk", "name"))
