"""Who asks."""

from dataclasses import dataclass

import structlog


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or program that writes: a user's name or ``system``, the request it came by, and its stated reason."""

    name: str
    request_id: str = ""
    reason: str = ""


SYSTEM = Actor(name="system")


def request_id() -> str:
    """Return the id of the request or task that runs now, as it stands in the logs; empty where there is none."""
    return str(structlog.contextvars.get_contextvars().get("request_id") or "")
