"""Which role somebody has who is in a group at the identity provider. Log-in applies it (services.sso)."""

from datetime import datetime
from uuid import UUID

from pools.domain.actors import Actor
from pools.domain.errors import FieldError, Invalid, ProjectArchived, SsoGroupExists, SsoGroupMissing
from pools.models import RoleBinding, SsoGroup
from pools.selectors import access
from pools.services import audit, members, projects, users, writing

NAME_LONGEST = 255


@writing.transaction
def make(*, name: str, project_id: UUID | None, role: str, actor: Actor, now: datetime) -> SsoGroup:
    """Let a group give a role, in a project or (None) on the platform, from each one's next log-in on.

    Raises Invalid, SsoGroupExists, ProjectArchived, ProjectMissing.
    """
    project = projects.locked(project_id) if project_id else None
    members.require_role(role, on_platform=project is None)
    name = name.strip()
    if not 1 <= len(name) <= NAME_LONGEST:
        raise Invalid(fields=(FieldError("name", "bad_value", f"Write 1 to {NAME_LONGEST} characters."),))
    if project is not None and project.state == "archived":
        raise ProjectArchived(path=project.path)
    group, is_new = SsoGroup.objects.get_or_create(name=name, project=project, role=role, defaults={"created_at": now})
    if not is_new:
        raise SsoGroupExists
    _record(actor, "sso_group.made", group, now)
    return group


@writing.transaction
def remove(*, group_id: UUID, actor: Actor, now: datetime) -> None:
    """Let a group no longer give its role: at once when no other group gives it there, else from each next log-in on.

    Raises SsoGroupMissing, UserLastAdmin.
    """
    group = SsoGroup.objects.select_for_update(of=("self",)).select_related("project").filter(pk=group_id).first()
    if group is None:
        raise SsoGroupMissing
    group.delete()
    # Who is in which group only log-in tells, so while another group gives the role nobody loses it here.
    if not SsoGroup.objects.filter(project=group.project, role=group.role).exists():
        with users.an_admin_is_left():
            RoleBinding.objects.filter(project=group.project, role=group.role, source="sso").delete()
    group.pk = group_id
    _record(actor, "sso_group.removed", group, now)
    access.forget()


def _record(actor: Actor, action: str, group: SsoGroup, now: datetime) -> None:
    project = group.project
    what = {"role": group.role, "project": project.path if project else None}
    is_removal = action.endswith("removed")
    audit.record(
        actor,
        action,
        "sso_group",
        group.pk,
        group.name,
        what if is_removal else None,
        None if is_removal else what,
        now,
        project_id=project.pk if project else None,
    )
