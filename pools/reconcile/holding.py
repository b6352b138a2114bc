"""Hold a target while its platform is waited for: beats keep the turn, and the wait ends before the turn does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

import structlog

from pools.reconcile.heartbeat import Heartbeat
from pools.services import targets
from pools.services.targets import Turn, TurnLost

log = structlog.get_logger(__name__)

# A worker whose beats do not arrive lets go so long before another one may take the target.
LET_GO_SECONDS: Final = 5


class Holding:
    """A turn whose end moves on. ``until`` is when it runs out as far as this process knows."""

    def __init__(self, turn: Turn, clock: Callable[[], datetime], calls_left: Callable[[], float]) -> None:
        self.until = turn.until
        self._turn = turn
        self._clock = clock
        self._calls_left = calls_left

    def left_seconds(self) -> float:
        """Return how long the platform may still be waited for."""
        return min(self._calls_left(), (self.until - self._clock()).total_seconds() - LET_GO_SECONDS)

    def keep(self) -> bool:
        """Make it last longer, unless it is lost or what waits should have let go; return whether it was kept."""
        if self._calls_left() <= 0:
            return False
        try:
            self.until = targets.keep(self._turn, now=self._clock())
        except TurnLost:
            log.warning("target_turn_lost", target=self._turn.target.ref)
            return False
        return True


@contextmanager
def holding(turn: Turn, clock: Callable[[], datetime], calls_left: Callable[[], float]) -> Iterator[Holding]:
    """Yield the turn, kept until the end of the block; no longer than there are seconds left for calls."""
    held = Holding(turn, clock, calls_left)
    with Heartbeat(held.keep):
        yield held
