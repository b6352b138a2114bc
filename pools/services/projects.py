"""The tree of projects: make, edit, suspend, archive. In one tenant's tree one writer at a time."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Subquery, Value
from django.db.models.functions import Concat, Substr

from pools.domain import ids
from pools.domain import projects as rules
from pools.domain.actors import Actor
from pools.domain.errors import (
    FieldError,
    Invalid,
    ProjectArchived,
    ProjectChanged,
    ProjectHasChildren,
    ProjectMissing,
    ProjectNameTaken,
    ProjectState,
    ProjectSuspended,
)
from pools.models import ApiToken, Invitation, Project
from pools.selectors import access
from pools.services import audit, quota_rows, writing

EDITABLE: Final = ("name", "display_name", "labels")
_CHILDREN_TOLD: Final = 5


@writing.transaction
def create(
    *,
    name: str,
    parent_id: UUID | None,
    display_name: str = "",
    labels: Mapping[str, str] | None = None,
    actor: Actor,
    now: datetime,
) -> Project:
    """Make a project below the parent; None makes a tenant.

    Raises Invalid with all mistakes at once, ProjectNameTaken, ProjectSuspended, ProjectArchived, ProjectMissing.
    """
    parent = locked(parent_id) if parent_id else None
    wrong = rules.mistakes(name=name, display_name=display_name, labels=labels)
    if parent is not None and len(parent.lineage) >= rules.DEPTH_MOST:
        detail = f"A tree of projects has at most {rules.DEPTH_MOST} levels; choose a project further up."
        wrong.append(FieldError("parent", "too_deep", detail))
    if wrong:
        raise Invalid(fields=tuple(wrong))
    if parent is not None:
        require_open(parent)
    new_id = ids.new_id()
    project = Project(
        id=new_id,
        name=name,
        parent=parent,
        lineage=[*(parent.lineage if parent else ()), new_id],
        path=f"{parent.path}/{name}" if parent else name,
        display_name=display_name.strip(),
        labels=dict(labels or {}),
        created_at=now,
    )
    with _unique(project):
        project.save(force_insert=True)
    after = {"path": project.path, "display_name": project.display_name, "labels": project.labels}
    _record(actor, "project.created", project, None, after, now)
    return project


@writing.transaction
def edit(
    *, project_id: UUID, changes: Mapping[str, Any], generation: int | None = None, actor: Actor, now: datetime
) -> Project:
    """Change some of name, display_name and labels; labels are replaced as a whole.

    A name is given from above: it takes the right to edit the project above (for a tenant: the platform), else
    somebody could find out which names are taken beside the own project.
    Raises Invalid, Denied, ProjectNameTaken, ProjectArchived, ProjectChanged, ProjectMissing.
    """
    project = locked(project_id, generation)
    wrong = [FieldError(each[:64], "unknown_field", "This cannot be edited.") for each in changes.keys() - {*EDITABLE}]
    known = {field: changes[field] for field in EDITABLE if field in changes}
    if wrong := wrong + rules.mistakes(**known):
        raise Invalid(fields=tuple(wrong))
    if project.state == "archived":
        raise ProjectArchived(path=project.path)
    before = {field: getattr(project, field) for field in known}
    changed = {field: value for field, value in known.items() if value != before[field]}
    if not changed:
        return project
    if "name" in changed:
        actor.access.require("project", "edit", project.lineage[:-1])
        before["path"], changed["path"] = project.path, _renamed(project.path, changed["name"])
    for field, value in changed.items():
        setattr(project, field, value)
    with _unique(project):
        _save(project)
        if "path" in changed:
            _move_below(project, len(before["path"]))
    _record(actor, "project.edited", project, {field: before[field] for field in changed}, changed, now)
    return project


def suspend(*, project_id: UUID, generation: int | None = None, actor: Actor, now: datetime) -> Project:
    """Give nothing new to the project and all below. Raises ProjectState, ProjectChanged, ProjectMissing."""
    return _move(project_id, "active", "suspended", "project.suspended", generation, actor, now)


def resume(*, project_id: UUID, generation: int | None = None, actor: Actor, now: datetime) -> Project:
    """End a suspension. Raises ProjectState, ProjectChanged, ProjectMissing."""
    return _move(project_id, "suspended", "active", "project.resumed", generation, actor, now)


@writing.transaction
def archive(*, project_id: UUID, generation: int | None = None, actor: Actor, now: datetime) -> Project:
    """End a project: its name becomes free, roles in it count no more, its tokens and invitations are worthless.

    Its quotas go, so that nothing is kept for it any more.
    Raises ProjectHasChildren, ProjectState, ProjectChanged, ProjectMissing.
    """
    project = locked(project_id, generation)
    if project.state == "archived":
        raise ProjectState(state=project.state, wanted="archived")
    children = list(
        Project.objects.filter(parent=project)
        .exclude(state="archived")
        .order_by("name")
        .values_list("name", flat=True)[: _CHILDREN_TOLD + 1]
    )
    if children:
        more = [*children[:_CHILDREN_TOLD], *(["…"] if len(children) > _CHILDREN_TOLD else [])]
        raise ProjectHasChildren(children=", ".join(more))
    before: dict[str, Any] = {"state": project.state}
    project.state, project.archived_at = "archived", now
    _save(project)
    if (quotas := quota_rows.replace(project, {}, now)) is not None:
        before["quotas"] = quotas.before
    tokens = ApiToken.objects.filter(user__kind="service", user__project=project, revoked_at=None)
    invitations = Invitation.objects.filter(project=project, ended_at=None)
    after = {
        "state": "archived",
        "tokens_revoked": tokens.update(revoked_at=now),
        "invitations_withdrawn": invitations.update(ended_at=now),
    }
    _record(actor, "project.archived", project, before, after, now)
    access.forget()
    return project


@writing.transaction
def restore(*, project_id: UUID, generation: int | None = None, actor: Actor, now: datetime) -> Project:
    """Bring an archived project back, as active. Its tokens and invitations stay worthless, its quotas gone.

    Raises ProjectNameTaken, ProjectState, ProjectArchived or ProjectSuspended (the one above), ProjectChanged,
    ProjectMissing.
    """
    project = locked(project_id, generation)
    if project.state != "archived":
        raise ProjectState(state=project.state, wanted="active")
    if project.parent is not None:
        require_open(project.parent)
    project.state, project.archived_at = "active", None
    with _unique(project):
        _save(project)
    _record(actor, "project.restored", project, {"state": "archived"}, {"state": "active"}, now)
    access.forget()
    return project


# --- shared by the writes ---------------------------------------------------------------------------------------------


def locked(project_id: UUID, generation: int | None = None) -> Project:
    """Return the project, with its tenant's tree locked to the end of the transaction.

    The lock is on the root: a rename writes rows far from the one it is asked for, and a child is made by the path of
    what is above. Raises ProjectMissing, ProjectChanged.
    """
    own = Project.objects.filter(pk=project_id)
    root = Project.objects.filter(pk=Subquery(own.values("lineage__0")))
    if not list(root.select_for_update(no_key=True).values_list("pk")):
        raise ProjectMissing
    project = own.get()  # only now: what the lock waited for may have renamed it
    if generation is not None and project.generation != generation:
        raise ProjectChanged
    return project


def require_open(project: Project) -> None:
    """Raise ProjectArchived or ProjectSuspended when nothing new is made in a locked project."""
    if project.state == "archived":
        raise ProjectArchived(path=project.path)
    suspended = Project.objects.filter(pk__in=project.lineage, state="suspended").values_list("path", flat=True)
    if (path := suspended.order_by("path").first()) is not None:
        raise ProjectSuspended(path=path)


@writing.transaction
def _move(
    project_id: UUID, come_from: str, state: str, action: str, generation: int | None, actor: Actor, now: datetime
) -> Project:
    project = locked(project_id, generation)
    if project.state != come_from:
        raise ProjectState(state=project.state, wanted=state)
    project.state = state
    _save(project)
    _record(actor, action, project, {"state": come_from}, {"state": state}, now)
    return project


def _renamed(path: str, name: str) -> str:
    return "/".join([*path.split("/")[:-1], name])


def _move_below(project: Project, old_length: int) -> None:
    """Let the paths of all below, archived ones too, begin with the project's new one."""
    below = Project.objects.filter(lineage__contains=[project.pk]).exclude(pk=project.pk)
    below.update(path=Concat(Value(project.path), Substr("path", old_length + 1)))


def _save(project: Project) -> None:
    project.generation += 1
    project.save(force_update=True)


def _record(actor: Actor, action: str, project: Project, before: Any, after: Any, now: datetime) -> None:
    audit.record(actor, action, "project", project.pk, project.path, before, after, now, project_id=project.pk)


@contextmanager
def _unique(project: Project) -> Iterator[None]:
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        if getattr(getattr(error.__cause__, "diag", None), "constraint_name", None) == "project_path_unique":
            raise ProjectNameTaken(path=project.path) from None
        raise
