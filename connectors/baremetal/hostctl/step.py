"""One change of a host."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Step:
    """One change. ``users`` are the accounts that are not as they shall be before it is done."""

    verb: str
    object: str
    do: Callable[[], None] = field(compare=False)
    body: Mapping[str, Any] = field(default_factory=dict)
    users: frozenset[str] = frozenset()

    @property
    def told(self) -> dict[str, Any]:
        """The step for the control plane and for people."""
        return {"verb": self.verb, "object": self.object, "body": dict(self.body)}

    def __str__(self) -> str:
        about = f" ({', '.join(sorted(self.users))})" if self.users else ""
        return f"{self.verb} {self.object}{about}"
