"""Keep a turn while its run waits for a slow platform."""

import threading
from collections.abc import Callable
from datetime import datetime
from types import TracebackType

import structlog
from django.db import DatabaseError, InterfaceError, connection

from pools.services import turns
from pools.services.turns import Turn, TurnLost

log = structlog.get_logger(__name__)

DATABASE_FAILURES = (DatabaseError, InterfaceError)  # a connection that the server closed may show as either


class Heartbeat:
    """Makes a turn last longer every few seconds, in a thread with a database connection of its own.

    A worker that is killed stops beating, so its turn is free within ``turns.TURN_SECONDS``.
    """

    def __init__(self, turn: Turn, *, clock: Callable[[], datetime]) -> None:
        self._turn = turn
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="turn-heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(timeout=turns.BEAT_SECONDS)

    def _beat(self) -> None:
        while not self._stop.wait(turns.BEAT_SECONDS):
            try:
                turns.keep(self._turn, now=self._clock())
            except TurnLost:
                log.warning("turn_lost", pool=self._turn.pool_name, run=str(self._turn.run_id))
                return  # the next merge transaction finds out and ends the run
            except DATABASE_FAILURES:
                connection.close()  # the server may be back at the next beat
        connection.close()
