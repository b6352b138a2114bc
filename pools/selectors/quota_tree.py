"""The tree of projects with the quotas of each, as people look at it."""

from collections.abc import Mapping
from uuid import UUID

import msgspec

from pools.domain import filters
from pools.domain.access import Access
from pools.models import Project
from pools.selectors import pages, projects, quotas, references
from pools.selectors.pages import Page
from pools.selectors.projects import ProjectRow
from pools.selectors.quotas import QuotaRow


class ProjectQuotas(msgspec.Struct, frozen=True, kw_only=True):
    """A project and its quotas; ``lineage`` are the ids of projects from the root down to it."""

    project: ProjectRow
    lineage: tuple[UUID, ...]
    quotas: list[QuotaRow]


def page(*, params: Mapping[str, str], cursor: str | None, limit: int, access: Access) -> Page[ProjectQuotas]:
    """Return projects by path with their quotas, those of everything and of some models with ``model``.

    ``params`` are those of the list of projects besides. Four queries, fewer without quotas or pools in them, one more
    for each name in filters. Raises Invalid.
    """
    models = filters.read({"model": params.get("model", "")}, {"model": filters.words}).get("model")
    if models is not None:
        references.model_ids(models)  # refuses what nobody knows
    of_projects = {name: value for name, value in params.items() if name != "model"}
    found = projects.page(params=of_projects, cursor=cursor, limit=limit, access=access)
    ids = [row.id for row in found.rows]
    lineages = {pk: tuple(lineage) for pk, lineage in Project.objects.filter(pk__in=ids).values_list("pk", "lineage")}
    by_project = quotas.of_projects(lineages, access)

    def shown(row: ProjectRow) -> ProjectQuotas:
        own = by_project.get(row.id, [])
        counted = [each for each in own if models is None or each.model is None or each.model in models]
        return ProjectQuotas(project=row, lineage=lineages[row.id], quotas=counted)

    return pages.mapped(found, shown)
