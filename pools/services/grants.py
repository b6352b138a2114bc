"""Which projects may use a pool, each with all below it. A pool without grants is used by nobody."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from pools import dispatch
from pools.domain.actors import Actor
from pools.domain.errors import ProjectArchived, ProjectMissing
from pools.models import Pool, PoolGrant, Project
from pools.services import audit, pools, writing


@writing.transaction
def replace(
    *, pool_id: UUID, project_ids: Collection[UUID], generation: int | None = None, actor: Actor, now: datetime
) -> Pool:
    """Let exactly these projects use the pool; none lets nobody.

    Grants to archived projects, which count for nothing, go too unless they are named.
    Raises PoolMissing, PoolChanged, ProjectMissing, ProjectArchived (for a new one).
    """
    pool = pools.locked(pool_id, generation)
    present = set(PoolGrant.objects.filter(pool=pool).values_list("project_id", flat=True))
    _change(pool, set(project_ids) - present, present - set(project_ids), actor, now)
    return pool


@writing.transaction
def add(*, pool_id: UUID, project_id: UUID, actor: Actor, now: datetime) -> Pool:
    """Let one more project use the pool; one that may already still may.

    Raises PoolMissing, ProjectMissing, ProjectArchived.
    """
    pool = pools.locked(pool_id)
    if not PoolGrant.objects.filter(pool=pool, project=project_id).exists():
        _change(pool, {project_id}, set(), actor, now)
    return pool


@writing.transaction
def remove(*, pool_id: UUID, project_id: UUID, actor: Actor, now: datetime) -> Pool:
    """Let a project use the pool no longer; one that may not still may not. Raises PoolMissing."""
    pool = pools.locked(pool_id)
    if PoolGrant.objects.filter(pool=pool, project=project_id).exists():
        _change(pool, set(), {project_id}, actor, now)
    return pool


def _change(pool: Pool, added: set[UUID], removed: set[UUID], actor: Actor, now: datetime) -> None:
    if not added and not removed:
        return
    named = {project.pk: project for project in Project.objects.filter(pk__in=added | removed).order_by("path")}
    for project_id in added:
        if project_id not in named:
            raise ProjectMissing
        if named[project_id].state == "archived":
            raise ProjectArchived(path=named[project_id].path)
    PoolGrant.objects.filter(pool=pool, project__in=removed).delete()
    PoolGrant.objects.bulk_create(PoolGrant(pool=pool, project_id=each, created_at=now) for each in added)
    pools.save(pool)
    if added:
        dispatch.advance_queue()
    audit.record_all(
        actor,
        [
            audit.Entry("pool.grant_revoked", before={"project": project.path}, project_id=project.pk)
            if project.pk in removed
            else audit.Entry("pool.granted", after={"project": project.path}, project_id=project.pk)
            for project in named.values()
        ],
        "pool",
        pool.pk,
        pool.name,
        now,
    )
