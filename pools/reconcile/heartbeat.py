"""Keep a turn while its holder waits for a slow platform."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final

from django.db import DatabaseError, InterfaceError, connection

DATABASE_FAILURES = (DatabaseError, InterfaceError)  # a connection that the server closed may show as either
BEAT_SECONDS: Final = 10


class Heartbeat:
    """Makes a turn last longer every few seconds, in a thread with a database connection of its own.

    ``keep`` does it, and returns False when it is over with that. A worker that is killed stops beating, so its turn
    runs out soon.
    """

    def __init__(self, keep: Callable[[], bool]) -> None:
        self._keep = keep
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="turn-heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(timeout=BEAT_SECONDS)

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            try:
                if not self._keep():
                    return  # what is written next finds out, and ends it
            except DATABASE_FAILURES:
                connection.close()  # the server may be back at the next beat
        connection.close()
