"""Who may keep a worker's process for long: a slow or dead pool never takes the last one.

A worker has few processes. Pools that were slow or failed at their last run share a part of them, checks another, and
the rest is always there for pools that answer soon. A pool that turns out to be slow moves over, also in the middle of
a read that does not come back, or ends its run when there is no place.
"""

import fcntl
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from connectors.contract import Page

SLOW_SECONDS: Final = 10


class NoPlace(BaseException):
    """Breaks off a wait for a slow platform. No Exception, so that nobody between takes it for the platform's."""


class OutOfTime(BaseException):
    """Breaks off a wait for a platform when the run has no time left. No Exception either."""


class Lane:
    """A number of places that the processes of one worker share; made before they are forked.

    A place is a lock of the kernel on one byte of a file: it is free again when its process dies, however it dies.
    """

    def __init__(self, places: int) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the worker lives
        self._places = places
        self._taken: int | None = None

    def enter(self) -> bool:
        """Take a place if there is one, without waiting; true also when this process has one already."""
        if self._taken is not None:
            return True
        for place in range(self._places):
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            except OSError:
                continue
            self._taken = place
            return True
        return False

    def leave(self) -> None:
        """Give the place back, if this process has one."""
        if self._taken is not None:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, self._taken)
            self._taken = None


def share(processes: int) -> tuple[int, int]:
    """Return how many places there are for slow pools and for checks. From three processes on one is always free."""
    return max(1, processes // 2), max(1, processes // 4)


@contextmanager
def place(lane: Lane | None, *, is_needed: bool) -> Iterator[bool]:
    """Yield whether the work may begin. A place that was taken, now or on the way, is given back at the end.

    Without a lane there is room for all: this process works for nobody else.
    """
    if lane is None:
        yield True
        return
    try:
        yield not is_needed or lane.enter()
    finally:
        lane.leave()


@contextmanager
def patience(lane: Lane | None, left: Callable[[], float]) -> Iterator[None]:
    """Wait for a platform within; after SLOW_SECONDS the process needs a place in the lane. Raises NoPlace.

    Raises OutOfTime when no seconds are ``left``: Celery's limit would come later and look like a bug. They may become
    more while it waits.
    Within is only what talks to a platform: an alarm in the middle of a query would leave the connection to the
    database in the middle of it too, for all that the process does afterwards.

    An alarm asks, because a read may block for minutes. It goes to the main thread, where a worker's tasks run; work in
    another thread keeps nobody waiting.
    """
    if lane is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    is_over = False

    def move_over(_signal: int, _frame: object) -> None:
        if is_over:
            return  # it was on its way when the wait ended
        if (seconds := left()) <= 0:
            raise OutOfTime
        if not lane.enter():
            raise NoPlace
        signal.setitimer(signal.ITIMER_REAL, seconds)

    if (seconds := left()) <= 0:
        raise OutOfTime
    before = signal.signal(signal.SIGALRM, move_over)
    signal.setitimer(signal.ITIMER_REAL, min(SLOW_SECONDS, seconds))
    try:
        try:
            yield
        finally:
            is_over = True
    finally:  # also when the alarm came just before that line
        is_over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def until(ends_at: float) -> Callable[[], float]:
    """Return what tells how many seconds are left until an instant of the monotonic clock."""
    return lambda: ends_at - time.monotonic()


def patiently(lane: Lane | None, pages: Iterator[Page], ends_at: float) -> Iterator[Page]:
    """Yield the pages, each waited for with patience. Raises NoPlace, OutOfTime."""
    while True:
        with patience(lane, until(ends_at)):
            page = next(pages, None)
        if page is None:
            return
        yield page
