"""Whom a log-in means."""

from typing import Final

from django.db.models.functions import Lower
from django.db.models.lookups import Exact

from pools.models import User

_TRIED: Final = 5  # of those who share an e-mail address


def of(login: str) -> list[User]:
    """Return the user of this name, else those with this e-mail address; upper and lower case are the same. One query.

    Nobody has proved that an address is theirs, so the password tells which of them it is.
    """
    wanted = login.strip().lower()
    if not wanted:
        return []
    by_name, by_email = Exact(Lower("username"), wanted), Exact(Lower("email"), wanted)
    found = list(User.objects.filter(by_name | by_email).order_by("pk")[:_TRIED])
    return [user for user in found if user.username.lower() == wanted] or found


def with_email(email: str) -> list[User]:
    """Return the people with this e-mail address who can log in. One query."""
    people = User.objects.filter(Exact(Lower("email"), email.strip().lower()), kind="person", is_active=True)
    return list(people.order_by("pk")[:_TRIED])
