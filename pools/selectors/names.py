"""What things are called whose ids are stored, as far as the caller may know of them."""

from collections.abc import Collection
from uuid import UUID

from pools.domain.access import Access
from pools.models import Flavor, Pool, Project, User
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


def project_id(path: str) -> UUID | None:
    """Return the id of the project with this path, None when there is none or it was archived. One query."""
    return Project.objects.filter(path=path).exclude(state="archived").values_list("pk", flat=True).first()


def flavor_id(name: str) -> UUID | None:
    """Return the id of the flavor of this name that is offered. One query."""
    return Flavor.objects.filter(name=name, removed_at=None).values_list("pk", flat=True).first()


def service_account(name: str, path: str) -> str | None:
    """Return the user name of a project's service account. One query."""
    found = User.objects.filter(kind="service", display_name=name, project__path=path).exclude(
        project__state="archived"
    )
    return found.values_list("username", flat=True).first()
