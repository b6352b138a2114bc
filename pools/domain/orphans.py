"""Orphans: what carries our marker on a platform and belongs to no claim that lives."""

from datetime import datetime, timedelta
from typing import Final

# So long people may look before anything is taken away: a claim may be on its way back, or a platform tell it late.
GRACE_SECONDS: Final = 900

# Seen by a sync; or may be left of what a removed pool carried, which nobody can see any more.
ORIGINS: Final = ("seen", "left")
# Why it is over: nothing of it is seen any more; a claim has it again; reaped, as somebody asked; attached to a claim.
OUTCOMES: Final = ("gone", "claimed", "reaped", "adopted")
STATES: Final = ("open", "reaping", "closed")


def reapable_at(opened_at: datetime) -> datetime:
    """Return from when on an orphan may be reaped."""
    return opened_at + timedelta(seconds=GRACE_SECONDS)


def state(*, is_closed: bool, is_asked: bool) -> str:
    """Return how an orphan stands: open, reaping (a worker is at it), or closed."""
    if is_closed:
        return "closed"
    return "reaping" if is_asked else "open"
