"""What somebody may choose from when asking for capacity: projects, and models of the pools that they may use."""

from typing import Final

from pools.domain.access import Access
from pools.models import CapacityRollup, Project
from pools.selectors import access as rights

PROJECTS_MOST: Final = 200


def projects(access: Access) -> list[str]:
    """Return the paths of projects in which the caller may ask, at most PROJECTS_MOST. One query."""
    found = Project.objects.filter(rights.projects(access, "allocation", "create"), state="active").order_by("path")
    return list(found.values_list("path", flat=True)[:PROJECTS_MOST])


def models(access: Access) -> list[str]:
    """Return the slugs of models that pools have which the caller may know of. One query."""
    found = CapacityRollup.objects.filter(
        rights.pools(access, column="pool"), pool__removed_at=None, total_milli__gt=0, model__isnull=False
    )
    return list(found.order_by("model__slug").values_list("model__slug", flat=True).distinct())
