"""What projects may have at once. A project's quotas are given by the project above, a tenant's by the platform."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from pools.domain.actors import Actor
from pools.domain.errors import ProjectArchived
from pools.domain.quota_fields import QuotaWanted
from pools.models import Project
from pools.services import audit, projects, quota_references, quota_rows, writing


@writing.transaction
def replace(
    *,
    project_id: UUID,
    rows: Sequence[QuotaWanted],
    generation: int | None = None,
    actor: Actor,
    now: datetime,
) -> Project:
    """Give the project exactly these quotas; the same once more changes nothing.

    They are a part of the project: a change is its next generation.
    Raises Invalid with all mistakes at once, ProjectArchived, ProjectChanged, ProjectMissing.
    """
    project = projects.locked(project_id, generation)
    if project.state == "archived":
        raise ProjectArchived(path=project.path)
    wanted = quota_references.scopes(project, rows, actor.access)
    difference = quota_rows.replace(project, wanted, now)
    if difference is None:
        return project
    project.generation += 1
    project.save(update_fields=["generation"])
    audit.record(
        actor,
        "quota.replaced",
        "project",
        project.pk,
        project.path,
        {"quotas": difference.before},
        {"quotas": difference.after},
        now,
        project_id=project.pk,
    )
    return project
