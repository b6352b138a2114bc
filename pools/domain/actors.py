"""Who asks."""

from dataclasses import dataclass, field

import structlog

from pools.domain import access
from pools.domain.access import Access


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or program that writes: a user's name or ``system``, the request it came by, and its stated reason.

    ``access`` is asked where what may be done depends on more than the object: who gives which role, which token.
    """

    name: str
    request_id: str = ""
    reason: str = ""
    access: Access = field(default=access.NOBODY)


SYSTEM = Actor(name="system", access=access.SYSTEM)


def request_id() -> str:
    """Return the id of the request or task that runs now, as it stands in the logs; empty where there is none."""
    return str(structlog.contextvars.get_contextvars().get("request_id") or "")
