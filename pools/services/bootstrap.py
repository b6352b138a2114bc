"""What a new installation needs before its first page."""

import secrets

from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from pools.domain.actors import SYSTEM
from pools.services import audit, models

ADMIN_NAME = "admin"


def load_catalogue() -> int:
    """Make the chip models of the database equal to the catalogue; return how many there are."""
    return models.load_catalogue(now=timezone.now())


@transaction.atomic(durable=True)
def first_admin() -> str | None:
    """Make the first administrator and return the password, which is stored nowhere. None: there is one already."""
    users = get_user_model().objects
    if users.filter(is_superuser=True).exists():
        return None
    password = secrets.token_urlsafe(15)
    made = users.create_superuser(username=ADMIN_NAME, password=password)
    audit.record(SYSTEM, "user.first_admin_made", "user", str(made.pk), ADMIN_NAME, None, None, timezone.now())
    return password
