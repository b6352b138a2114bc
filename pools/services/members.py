"""Who has which role in a project. Nobody gives or takes a role above the own one."""

from datetime import datetime
from uuid import UUID

from django.db.models import Exists, OuterRef

from pools.domain import roles
from pools.domain.access import Access
from pools.domain.actors import Actor
from pools.domain.errors import (
    FieldError,
    Invalid,
    MemberExists,
    MemberFromSso,
    MemberLastOwner,
    MemberMissing,
    RoleTooHigh,
    UserMissing,
)
from pools.models import Project, RoleBinding, User
from pools.selectors import access, users
from pools.services import audit, projects, writing


@writing.transaction
def add(*, project_id: UUID, user: str, role: str, actor: Actor, now: datetime) -> RoleBinding:
    """Give somebody, by name or id, a role in the project and all below.

    Only people who are in the tenant's tree already can be named, others are invited; an administrator names anybody.
    Raises UserMissing, MemberExists, RoleTooHigh, Invalid, ProjectSuspended, ProjectArchived, ProjectMissing.
    """
    project = projects.locked(project_id)
    require_role(role)
    require_may_give(actor.access, role, project)
    projects.require_open(project)
    member = _nameable(user, project, actor.access)
    binding, is_new = RoleBinding.objects.get_or_create(
        user=member, project=project, source="hand", defaults={"role": role, "created_at": now}
    )
    if not is_new:
        raise MemberExists
    _record(actor, "member.added", project, member, None, {"role": role}, now)
    return binding


@writing.transaction
def change(*, project_id: UUID, user: str, role: str, actor: Actor, now: datetime) -> RoleBinding:
    """Give a member another role in the project.

    Raises MemberMissing, MemberFromSso, MemberLastOwner, RoleTooHigh, Invalid, ProjectMissing.
    """
    project = projects.locked(project_id)
    require_role(role)
    binding = _by_hand(user, project)
    for each in (binding.role, role):
        require_may_give(actor.access, each, project)
    if binding.role == role:
        return binding
    before, binding.role = {"role": binding.role}, role
    binding.save(update_fields=["role"])
    _require_an_owner(before["role"], project, actor.access)
    _record(actor, "member.changed", project, binding.user, before, {"role": role}, now)
    return binding


@writing.transaction
def remove(*, project_id: UUID, user: str, actor: Actor, now: datetime) -> None:
    """Take a member's role in the project; what it has from above stays.

    Raises MemberMissing, MemberFromSso, MemberLastOwner, RoleTooHigh, ProjectMissing.
    """
    project = projects.locked(project_id)
    binding = _by_hand(user, project)
    require_may_give(actor.access, binding.role, project)
    binding.delete()
    _require_an_owner(binding.role, project, actor.access)
    _record(actor, "member.removed", project, binding.user, {"role": binding.role}, None, now)


# --- shared with invitations and service accounts ---------------------------------------------------------------------


def require_role(role: str, *, on_platform: bool = False) -> None:
    """Raise Invalid unless it is a role of projects (or of the platform)."""
    choices = roles.PLATFORM_ROLES if on_platform else roles.PROJECT_ROLES
    if role not in choices:
        raise Invalid(fields=(FieldError("role", "not_a_choice", f"Allowed are {', '.join(choices)}."),))


def require_may_give(access: Access, role: str, project: Project | None) -> None:
    """Raise RoleTooHigh for a role above the own one there; ``project`` None is the platform."""
    if not access.may_give(role, project.lineage if project else []):
        raise RoleTooHigh(role=role)


def higher(one: str, other: str) -> str:
    """Return the one of two roles in a project that may do more."""
    return one if roles.gives(one, other) else other


def _nameable(reference: str, project: Project, access: Access) -> User:
    people = User.objects.filter(users.referred(reference), kind="person", is_active=True)
    if not access.everywhere("member", "create"):
        roles_here = RoleBinding.objects.filter(user=OuterRef("pk"), project__lineage__0=project.lineage[0])
        people = people.filter(Exists(roles_here.exclude(project__state="archived")))
    found = people.first()
    if found is None:
        raise UserMissing
    return found


def _by_hand(reference: str, project: Project) -> RoleBinding:
    bindings = RoleBinding.objects.select_related("user").filter(
        users.referred(reference, "user__"), project=project, user__kind="person"
    )
    found = {each.source: each for each in bindings}
    if "hand" not in found:
        raise MemberFromSso if found else MemberMissing
    return found["hand"]


def _require_an_owner(taken: str, project: Project, access: Access) -> None:
    """A tenant's people may not leave it without an owner; it is asked after the write, which goes if it is so."""
    if taken != "owner" or project.parent_id is not None or access.everywhere("member", "edit"):
        return
    owners = RoleBinding.objects.filter(project=project, role="owner", user__kind="person", user__is_active=True)
    if not owners.exists():
        raise MemberLastOwner


def _record(
    actor: Actor,
    action: str,
    project: Project,
    member: User,
    before: dict[str, str] | None,
    after: dict[str, str] | None,
    now: datetime,
) -> None:
    where = {"project": project.path}
    audit.record(
        actor,
        action,
        "member",
        member.pk,
        member.username,
        before and {**where, **before},
        after and {**where, **after},
        now,
        project_id=project.pk,
    )
    access.forget()
