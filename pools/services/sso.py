"""Single sign-on: who comes for the first time, and roles that follow the provider's groups."""

from collections.abc import Collection
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import connection

from pools.domain import ids
from pools.domain.actors import Actor
from pools.domain.errors import UserMissing
from pools.models import RoleBinding, SsoGroup, User
from pools.selectors import access
from pools.services import audit, writing

GROUPS_MOST: Final = 1000

_REMOVE: Final = """
DELETE FROM role_binding b WHERE b.user_id = %(user)s AND b.source = 'sso' AND NOT EXISTS (
    SELECT FROM sso_group g
    WHERE g.name = ANY(%(groups)s) AND g.role = b.role AND g.project_id IS NOT DISTINCT FROM b.project_id
)
"""


@writing.transaction
def joined(*, user_id: UUID, actor: Actor, now: datetime) -> None:
    """Note that a user was made by the first single sign-on. It has no role yet."""
    user = User.objects.get(pk=user_id)
    after = {"username": user.username, "email": user.email, "display_name": user.display_name}
    audit.record(actor, "user.joined_by_sso", "user", user.pk, user.username, None, after, now)


@writing.transaction
def follow(*, user_id: UUID, groups: Collection[str], actor: Actor, now: datetime) -> None:
    """Make the roles that come from single sign-on exactly what these groups give. Roles given by hand stay.

    A group that nobody has mapped gives nothing. Raises UserMissing.
    """
    user = User.objects.select_for_update().filter(pk=user_id).first()
    if user is None:
        raise UserMissing
    names = list(groups)[:GROUPS_MOST]
    before = _roles(user)
    with connection.cursor() as cursor:
        cursor.execute(_REMOVE, {"user": user.pk, "groups": names})
    mapped = SsoGroup.objects.filter(name__in=names).values_list("project_id", "role").distinct()
    RoleBinding.objects.bulk_create(
        [
            RoleBinding(id=ids.new_id(), user=user, project_id=project_id, role=role, source="sso", created_at=now)
            for project_id, role in mapped
        ],
        ignore_conflicts=True,
    )
    after = _roles(user)
    if before != after:
        changed = {"roles": before}, {"roles": after}
        audit.record(actor, "user.sso_roles_changed", "user", user.pk, user.username, *changed, now)
        access.forget()


def _roles(user: User) -> list[str]:
    """Roles from single sign-on as words: ``auditor``, ``viewer of acme/research``."""
    rows = RoleBinding.objects.filter(user=user, source="sso").values_list("role", "project__path")
    return sorted(f"{role} of {path}" if path else role for role, path in rows)
