"""Accounts of people, and their roles on the platform."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from pools.domain import roles as table
from pools.domain.actors import Actor
from pools.domain.errors import FieldError, Invalid, UserChanged, UserLastAdmin, UserMissing, UserNameTaken
from pools.models import RoleBinding, User
from pools.selectors import access
from pools.services import audit, sessions, writing

EDITABLE: Final = ("email", "display_name", "is_active")
_DISPLAY_NAME_LONGEST: Final = 150


@writing.transaction
def create(*, username: str, email: str, display_name: str = "", actor: Actor, now: datetime) -> User:
    """Make an account without a password and without any role. Raises Invalid, UserNameTaken."""
    user = User(username=username.strip(), email=email.strip().lower(), display_name=display_name.strip())
    user.set_unusable_password()
    store_new(user)
    record_created(actor, user, now)
    return user


@writing.transaction
def edit(
    *, user_id: UUID, changes: Mapping[str, Any], generation: int | None = None, actor: Actor, now: datetime
) -> User:
    """Change some of email, display_name and is_active of a person. Whoever is switched off is logged out everywhere.

    Raises Invalid, UserLastAdmin, UserChanged, UserMissing.
    """
    user = _locked(user_id, generation)
    wrong = [FieldError(name[:64], "unknown_field", "This cannot be edited.") for name in changes.keys() - {*EDITABLE}]
    known = {name: _clean(name, changes[name]) for name in EDITABLE if name in changes}
    if wrong := wrong + list(_mistakes(**known)):
        raise Invalid(fields=tuple(wrong))
    before = {name: getattr(user, name) for name in known}
    changed = {name: value for name, value in known.items() if value != before[name]}
    if not changed:
        return user
    for name, value in changed.items():
        setattr(user, name, value)
    user.generation += 1
    with an_admin_is_left():
        user.save(update_fields=[*changed, "generation"])
    if changed.get("is_active") is False:
        sessions.end_in_transaction(user, because="switched_off", actor=actor, now=now)
    before = {name: before[name] for name in changed}
    audit.record(actor, "user.edited", "user", user.pk, user.username, before, changed, now)
    access.forget()
    return user


@writing.transaction
def set_platform_roles(
    *, user_id: UUID, roles: Collection[str], generation: int | None = None, actor: Actor, now: datetime
) -> User:
    """Let a person have exactly these roles on the platform by hand; those from single sign-on stay beside them.

    Raises Invalid, UserLastAdmin, UserChanged, UserMissing.
    """
    if unknown := [role for role in roles if role not in table.PLATFORM_ROLES]:
        detail = f'"{unknown[0][:64]}" is not known. Allowed are {", ".join(table.PLATFORM_ROLES)}.'
        raise Invalid(fields=(FieldError("roles", "not_a_choice", detail),))
    user, wanted = _locked(user_id, generation), set(roles)
    with an_admin_is_left():
        bindings = RoleBinding.objects.filter(user=user, project=None, source="hand")
        before = set(bindings.values_list("role", flat=True))
        if before == wanted:
            return user
        bindings.exclude(role__in=wanted).delete()
        RoleBinding.objects.bulk_create(
            RoleBinding(user=user, role=role, created_at=now) for role in sorted(wanted - before)
        )
    user.generation += 1
    user.save(update_fields=["generation"])
    change = {"roles": sorted(before)}, {"roles": sorted(wanted)}
    audit.record(actor, "user.platform_roles_changed", "user", user.pk, user.username, *change, now)
    access.forget()
    return user


# --- shared with invitations and groups -------------------------------------------------------------------------------


def store_new(user: User) -> None:
    """Insert a checked account. Raises Invalid, UserNameTaken."""
    wrong = list(_mistakes(email=user.email, display_name=user.display_name))
    try:
        User._meta.get_field("username").clean(user.username, user)
    except ValidationError:
        detail = "A name has 1 to 150 letters, digits and @ . + - _"
        wrong.insert(0, FieldError("username", "bad_name", detail))
    if wrong:
        raise Invalid(fields=tuple(wrong))
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError as error:
        if "username" in (getattr(getattr(error.__cause__, "diag", None), "constraint_name", None) or ""):
            raise UserNameTaken(name=user.username) from None
        raise


def record_created(actor: Actor, user: User, now: datetime) -> None:
    """Write the audit row of a new account."""
    after = {name: getattr(user, name) for name in ("username", "email", "display_name")}
    audit.record(actor, "user.created", "user", user.pk, user.username, None, after, now)


@contextmanager
def an_admin_is_left() -> Iterator[None]:
    """Raise UserLastAdmin when the write within leaves nobody who may do everything and can log in.

    The lock comes first: of two administrators who take each other's role at once, the second sees the write of the
    first.
    """
    admins = RoleBinding.objects.filter(project=None, role="admin")
    list(admins.select_for_update().order_by("pk").values_list("pk"))
    left = admins.filter(user__kind="person", user__is_active=True)
    had_one = left.exists()
    yield
    if had_one and not left.exists():
        raise UserLastAdmin


def _locked(user_id: UUID, generation: int | None) -> User:
    user = User.objects.select_for_update(no_key=True).filter(pk=user_id, kind="person").first()
    if user is None:
        raise UserMissing
    if generation is not None and user.generation != generation:
        raise UserChanged
    return user


def _clean(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return value.strip().lower() if name == "email" else value.strip()


def _mistakes(*, email: str = "", display_name: str = "", is_active: bool = True) -> Iterator[FieldError]:
    if email:
        try:
            User._meta.get_field("email").run_validators(email)  # its form and its length
        except ValidationError:
            yield FieldError("email", "bad_value", "This is no e-mail address.")
    if len(display_name) > _DISPLAY_NAME_LONGEST:
        yield FieldError("display_name", "too_long", f"At most {_DISPLAY_NAME_LONGEST} characters are allowed.")
