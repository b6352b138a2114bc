"""What a new installation needs before its first page."""

import secrets

from django.utils import timezone

from pools.domain.actors import SYSTEM
from pools.models import RoleBinding, User
from pools.services import audit, models, writing

ADMIN_NAME = "admin"


def load_catalogue() -> int:
    """Make the chip models of the database equal to the catalogue; return how many there are."""
    return models.load_catalogue(now=timezone.now())


@writing.transaction
def first_admin() -> str | None:
    """Make the first administrator and return the password, which is stored nowhere. None: there is one already."""
    if RoleBinding.objects.filter(role="admin", user__is_active=True).exists():
        return None
    password, now = secrets.token_urlsafe(15), timezone.now()
    made = User.objects.create_user(username=ADMIN_NAME, password=password)
    RoleBinding.objects.create(user=made, role="admin", created_at=now)
    audit.record(SYSTEM, "user.first_admin_made", "user", made.pk, ADMIN_NAME, None, None, now)
    return password
