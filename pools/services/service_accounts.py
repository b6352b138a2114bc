"""Accounts of programs: tokens and no log-in, one role, in a project or on the platform.

Their user names hold a colon, which no person's can, and never change; ``display_name`` is what people call them.
"""

import re
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import IntegrityError, transaction

from pools.domain.actors import Actor
from pools.domain.errors import FieldError, Invalid, ServiceAccountMissing, ServiceAccountNameTaken, UserChanged
from pools.models import ApiToken, Project, RoleBinding, User
from pools.selectors import access
from pools.services import audit, members, projects, writing

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


@writing.transaction
def make(*, project_id: UUID | None, name: str, role: str, actor: Actor, now: datetime) -> User:
    """Make a service account with a role not above the own one; ``project_id`` None makes one of the platform.

    Raises Invalid, ServiceAccountNameTaken, RoleTooHigh, Denied, ProjectSuspended, ProjectArchived, ProjectMissing.
    """
    project = projects.locked(project_id) if project_id else None
    if not _NAME.fullmatch(name):
        detail = (
            "A name has 1 to 63 lower-case letters, digits and hyphens, and begins and ends with a letter or digit."
        )
        raise Invalid(fields=(FieldError("name", "bad_name", detail),))
    if project is None:
        actor.access.require("service_account", "create", [])
    members.require_role(role, on_platform=project is None)
    members.require_may_give(actor.access, role, project)
    if project is not None:
        projects.require_open(project)
    account = User(username=_username(name, project), display_name=name, kind="service", project=project)
    account.set_unusable_password()
    try:
        with transaction.atomic():
            account.save(force_insert=True)
    except IntegrityError:
        raise ServiceAccountNameTaken(name=name) from None
    RoleBinding.objects.create(user=account, project=project, role=role, created_at=now)
    _record(actor, "service_account.made", account, None, {"role": role}, now)
    return account


@writing.transaction
def edit(
    *,
    account_id: UUID,
    role: str | None = None,
    is_active: bool | None = None,
    generation: int | None = None,
    actor: Actor,
    now: datetime,
) -> User:
    """Give it another role, or switch it off or on; while it is off, its tokens are worth nothing.

    Raises ServiceAccountMissing, UserChanged, RoleTooHigh, Invalid.
    """
    account, binding = _locked(account_id)
    if generation is not None and account.generation != generation:
        raise UserChanged
    members.require_may_give(actor.access, binding.role, account.project)
    before: dict[str, object] = {"role": binding.role, "is_active": account.is_active}
    after: dict[str, object] = {}
    if role is not None and role != binding.role:
        members.require_role(role, on_platform=account.project is None)
        members.require_may_give(actor.access, role, account.project)
        after["role"] = binding.role = role
        binding.save(update_fields=["role"])
    if is_active is not None and is_active != account.is_active:
        account.is_active = after["is_active"] = is_active
    if after:
        account.generation += 1
        account.save(update_fields=["is_active", "generation"])
        _record(actor, "service_account.edited", account, {name: before[name] for name in after}, after, now)
    return account


@writing.transaction
def remove(*, account_id: UUID, actor: Actor, now: datetime) -> None:
    """Switch it off for good, revoke its tokens and free its name. Its row stays, for what it did.

    Raises ServiceAccountMissing, RoleTooHigh.
    """
    account, binding = _locked(account_id)
    members.require_may_give(actor.access, binding.role, account.project)
    revoked = ApiToken.objects.filter(user=account, revoked_at=None).update(revoked_at=now)
    binding.delete()
    before = {"role": binding.role, "is_active": account.is_active, "username": account.username}
    account.is_active, account.username = False, f"removed:{account.pk}"
    account.generation += 1
    account.save(update_fields=["is_active", "username", "generation"])
    _record(actor, "service_account.removed", account, before, {"is_active": False, "tokens_revoked": revoked}, now)


def _username(name: str, project: Project | None) -> str:
    """The random end of the project's id: its path may be longer than a user's name, and changes."""
    return f"sa:{name}:{project.pk.hex[-12:]}" if project else f"sa:{name}"


def _locked(account_id: UUID) -> tuple[User, RoleBinding]:
    accounts = User.objects.select_for_update(of=("self",)).select_related("project")
    account = accounts.filter(pk=account_id, kind="service").first()
    binding = RoleBinding.objects.filter(user=account, source="hand").first() if account else None
    if account is None or binding is None:
        raise ServiceAccountMissing
    return account, binding


def _record(
    actor: Actor,
    action: str,
    account: User,
    before: dict[str, object] | None,
    after: dict[str, object] | None,
    now: datetime,
) -> None:
    project = account.project
    if project is not None and before is None:
        after = {"project": project.path, **(after or {})}
    audit.record(
        actor,
        action,
        "service_account",
        account.pk,
        account.display_name,
        before,
        after,
        now,
        project_id=project.pk if project else None,
    )
    access.forget()
