"""Links by which somebody gets a role, and an account where there is none. Shown once, used once, 256 random bits."""

import secrets
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID

from django.contrib.auth import password_validation
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError

from pools.domain.access import Access
from pools.domain.actors import Actor
from pools.domain.errors import (
    FieldError,
    Invalid,
    InvitationEnded,
    InvitationForOther,
    InvitationMissing,
    InvitationNeedsLogin,
    UserMissing,
)
from pools.models import Invitation, Project, RoleBinding, User
from pools.selectors import access, logins
from pools.selectors import invitations as seen
from pools.services import audit, members, projects, users, writing

LASTS: Final = timedelta(days=7)


@writing.transaction
def invite(*, project_id: UUID | None, email: str, role: str, actor: Actor, now: datetime) -> tuple[Invitation, str]:
    """Return an invitation and the secret of its link, which is stored nowhere.

    ``project_id`` None invites to the platform, with one of its roles or with none ("").
    Raises Invalid, RoleTooHigh, Denied, ProjectSuspended, ProjectArchived, ProjectMissing.
    """
    project = projects.locked(project_id) if project_id else None
    email = email.strip().lower()
    try:
        User._meta.get_field("email").run_validators(email)  # its form and its length
    except ValidationError:
        raise Invalid(fields=(FieldError("email", "bad_value", "This is no e-mail address."),)) from None
    if project is None:
        actor.access.require("invitation", "create", [])
    if project is not None or role:
        members.require_role(role, on_platform=project is None)
        members.require_may_give(actor.access, role, project)
    if project is not None:
        projects.require_open(project)
    secret = secrets.token_urlsafe(32)
    made = Invitation.objects.create(
        project=project,
        email=email,
        role=role,
        hash=_hash(secret),
        invited_by=actor.name[:255],
        created_at=now,
        expires_at=now + LASTS,
    )
    _record(actor, "invitation.made", made, project, now)
    return made, secret


@writing.transaction
def withdraw(*, invitation_id: UUID, actor: Actor, now: datetime) -> None:
    """Make an invitation worthless. Raises InvitationEnded, InvitationMissing, RoleTooHigh."""
    invitation = _locked(now, pk=invitation_id)
    if invitation.role:
        members.require_may_give(actor.access, invitation.role, invitation.project)
    invitation.ended_at = now
    invitation.save(update_fields=["ended_at"])
    _record(actor, "invitation.withdrawn", invitation, invitation.project, now)


@writing.transaction
def accept(*, secret: str, user_id: UUID, actor: Actor, now: datetime) -> User:
    """Take up an invitation with the account that is logged in, whose e-mail address it must be for.

    A role that the user has there already is raised and never lowered.
    Raises InvitationMissing, InvitationEnded, InvitationForOther, UserMissing.
    """
    invitation = _open(secret, now)
    user = User.objects.filter(pk=user_id, kind="person", is_active=True).first()
    if user is None:
        raise UserMissing
    if user.email.lower() != invitation.email:
        raise InvitationForOther
    _take_up(invitation, user, actor, now)
    return user


def accept_as_new(
    *, secret: str, username: str, password: str, display_name: str = "", request_id: str = "", now: datetime
) -> User:
    """Take up an invitation with a new account of these fields and the invitation's e-mail address.

    Raises Invalid (also for a weak password), UserNameTaken, InvitationNeedsLogin when there is an account of this
    address, InvitationMissing, InvitationEnded.
    """
    email = seen.opened(secret, now).email  # a made-up link is not worth the time that a password takes
    user = User(username=username.strip(), display_name=display_name.strip(), email=email)
    _require_strong(password, user)
    user.password = make_password(password)  # takes its time, so before any lock
    return _accept_as_new(secret, user, request_id, now)


@writing.transaction
def _accept_as_new(secret: str, user: User, request_id: str, now: datetime) -> User:
    invitation = _open(secret, now)
    if logins.with_email(invitation.email):
        raise InvitationNeedsLogin
    users.store_new(user)
    actor = Actor(name=user.username, request_id=request_id, access=Access(user.pk, user.username))
    users.record_created(actor, user, now)
    _take_up(invitation, user, actor, now)
    return user


def path(secret: str) -> str:
    """Return the address of the console's page for a link's secret."""
    return f"/invitation/{secret}/"


def _take_up(invitation: Invitation, user: User, actor: Actor, now: datetime) -> None:
    invitation.ended_at, invitation.accepted_by = now, user
    invitation.save(update_fields=["ended_at", "accepted_by"])
    if invitation.role:
        _give(invitation, user, now)
    _record(actor, "invitation.accepted", invitation, invitation.project, now)
    access.forget()


def _give(invitation: Invitation, user: User, now: datetime) -> None:
    found = RoleBinding.objects.filter(user=user, project=invitation.project, source="hand")
    if invitation.project is None:
        found = found.filter(role=invitation.role)  # on the platform roles stand beside each other
    binding = found.first() or RoleBinding(user=user, project=invitation.project, role=invitation.role, created_at=now)
    binding.role = members.higher(binding.role, invitation.role)
    binding.save()


def _open(secret: str, now: datetime) -> Invitation:
    """Return the invitation, locked, that somebody can take up now."""
    project_id = Invitation.objects.filter(hash=_hash(secret)).values_list("project", flat=True).first()
    if project_id is not None:
        projects.locked(project_id)  # before the invitation, as whoever archives does
    return _locked(now, hash=_hash(secret))


def _locked(now: datetime, **which: object) -> Invitation:
    rows = Invitation.objects.select_for_update(of=("self",)).select_related("project")
    invitation = rows.filter(**which).first()
    if invitation is None:
        raise InvitationMissing
    if invitation.ended_at is not None or invitation.expires_at <= now:
        raise InvitationEnded
    return invitation


def _hash(secret: str) -> bytes:
    return sha256(secret.encode()).digest()


def _require_strong(password: str, user: User) -> None:
    try:
        password_validation.validate_password(password, user)
    except ValidationError as error:
        raise Invalid(fields=tuple(FieldError("password", "too_weak", text) for text in error.messages)) from None


def _record(actor: Actor, action: str, row: Invitation, project: Project | None, now: datetime) -> None:
    after = {"email": row.email, "role": row.role, "project": project.path if project else None}
    audit.record(
        actor, action, "invitation", row.pk, row.email, None, after, now, project_id=project.pk if project else None
    )
