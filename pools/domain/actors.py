"""Who asks."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or program that writes: a user's name or ``system``, the request it came by, and its stated reason."""

    name: str
    request_id: str = ""
    reason: str = ""


SYSTEM = Actor(name="system")
