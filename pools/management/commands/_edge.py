"""What commands share: who types them, and refusals as a person reads them."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError
from django.db import OperationalError

from pools.domain import access
from pools.domain.actors import Actor
from pools.domain.errors import DomainError


def actor() -> Actor:
    """Return the account that types the command."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "unknown"  # a container's user without an entry in passwd
    return Actor(name=f"{name}@manage.py", access=access.SYSTEM)


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what ocenter refuses into the command's one message, a line for each wrong field."""
    try:
        yield
    except DomainError as error:
        lines = [f"  {wrong.field}: {wrong.detail}" for wrong in error.fields]
        raise CommandError("\n".join([error.msgid % error.params, *lines])) from None
    except OperationalError as error:
        first_line = str(error).strip().splitlines()[0]
        raise CommandError(
            f"The database does not answer ({first_line}). Start ocenter by `make run` or check OCENTER_DATABASE_URL."
        ) from None
