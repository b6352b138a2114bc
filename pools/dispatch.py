"""Names of tasks, and how they are sent: after the commit, and never so that a lost message or a dead broker matters.

A message is a hint that a row may be due. The sweep finds what no hint announced. What is hinted at by every claim and
every end is told at most some times a second.
"""

import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from contextvars import copy_context
from enum import StrEnum
from functools import partial
from typing import Final
from uuid import UUID

import structlog
from celery import current_app
from django.core.cache import cache
from django.db import transaction
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from pools.domain.queues import DEFAULT_QUEUE, TIME_LIMITS
from pools.domain.queues import observe_queue as observe_queue

log = structlog.get_logger(__name__)

HINT_EXPIRES_SECONDS: Final = 120
VERIFY_SECONDS: Final = 4 * 3600
TOGETHER_SECONDS: Final = 0.1
# A message that nobody began to follow keeps others of its like back for so long: it may be lost.
WAITING_SECONDS: Final = 5


class Task(StrEnum):
    """What may be asked of the workers."""

    TICK = "ocenter.tick"
    OBSERVE_POOL = "ocenter.observe_pool"
    CHECK_POOL = "ocenter.check_pool"
    TELEMETER_POOL = "ocenter.telemeter_pool"
    VERIFY_LOGS = "ocenter.verify_logs"
    ADVANCE_QUEUE = "ocenter.advance_queue"
    ADVANCE_ALLOCATIONS = "ocenter.advance_allocations"
    APPLY_POOL = "ocenter.apply_pool"
    COMPARE_POOL = "ocenter.compare_pool"


# What is hinted at most often. One message that waits is as good as a hundred.
_ONCE: Final = frozenset({Task.ADVANCE_QUEUE, Task.ADVANCE_ALLOCATIONS, Task.APPLY_POOL})


def observe(pool_id: UUID, kind: str) -> None:
    """Hint that a run of the pool may be due. It may take as long as its kind allows."""
    _after_commit(Task.OBSERVE_POOL, observe_queue(kind), pool_id=str(pool_id))


def check(pool_id: UUID, kind: str) -> None:
    """Hint that a check of the pool, or of its new credential, is wanted."""
    _after_commit(Task.CHECK_POOL, observe_queue(kind), pool_id=str(pool_id))


def telemeter(pool_id: UUID, kind: str) -> None:
    """Hint that the devices of the pool are to be asked how busy they are."""
    _after_commit(Task.TELEMETER_POOL, observe_queue(kind), pool_id=str(pool_id))


def verify() -> None:
    """Hint that a check of the audit and the ledger is due. It reads all of them, so it may take hours."""
    limits = {"soft_time_limit": VERIFY_SECONDS, "time_limit": VERIFY_SECONDS + 60}
    transaction.on_commit(partial(_send, Task.VERIFY_LOGS, DEFAULT_QUEUE, {}, limits))


def advance_queue() -> None:
    """Hint that something became free for which others wait."""
    transaction.on_commit(_queue_hints.give)


def advance_allocations() -> None:
    """Hint that allocations were claimed or are to be given back."""
    transaction.on_commit(_allocation_hints.give)


def apply(pool_id: UUID, kind: str) -> None:
    """Hint that targets of the pool are due."""
    _after_commit(Task.APPLY_POOL, observe_queue(kind), pool_id=str(pool_id))


def compare(pool_id: UUID, kind: str) -> None:
    """Hint that targets of the pool are to be compared with what is there."""
    _after_commit(Task.COMPARE_POOL, observe_queue(kind), pool_id=str(pool_id))


def begun(task: Task, **ids: str) -> None:
    """Say that a message is followed from now on: what was committed later needs another one."""
    with suppress(RedisError):
        cache.delete(_waiting(task, ids))


def _waiting(task: Task, ids: Mapping[str, str]) -> str:
    return ":".join(("hint", task, *ids.values()))


def _is_waiting(task: Task, ids: Mapping[str, str]) -> bool:
    """Tell whether a message like this one waits already; if not, this one does from now on."""
    try:
        return not cache.add(_waiting(task, ids), 1, timeout=WAITING_SECONDS)
    except RedisError:
        return False


def _after_commit(task: Task, queue: str, **ids: str) -> None:
    transaction.on_commit(partial(_send, task, queue, ids))


def _send(task: Task, queue: str, ids: dict[str, str], limits: Mapping[str, int] | None = None) -> None:
    if task in _ONCE and _is_waiting(task, ids):
        return
    limits = limits or TIME_LIMITS.get(queue, {})
    try:
        current_app.send_task(
            task.value,
            kwargs=ids,
            queue=queue,
            expires=HINT_EXPIRES_SECONDS,
            soft_time_limit=limits.get("soft_time_limit"),
            time_limit=limits.get("time_limit"),
            retry=False,
        )
    except (OperationalError, OSError):
        log.warning("hint_not_sent", task=task.value, queue=queue, **ids)


class _Hints:
    """A hint that many commits of this process give: the first goes at once, those soon after it as one behind it.

    Each is followed by a message that was sent after its commit: what waits to be sent stops waiting before it is sent.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self.forget()
        os.register_at_fork(after_in_child=self.forget)  # the timer is the parent's

    def forget(self) -> None:
        """As if none had been given."""
        self._lock = threading.Lock()
        self._next_at, self._is_waiting = 0.0, False

    def give(self) -> None:
        """Send it now or soon; not at all while one waits to be sent."""
        with self._lock:
            wait = self._next_at - time.monotonic()
            if self._is_waiting:
                return
            self._is_waiting = wait > 0
            self._next_at = max(self._next_at, time.monotonic()) + TOGETHER_SECONDS
        if wait > 0:
            # In the caller's context, so that the task's log names a request that led to it.
            late = threading.Timer(wait, copy_context().run, [self._give_late])
            try:
                late.start()
            except RuntimeError:  # no more threads, or the process ends
                self._give_late()
        else:
            _send(self._task, DEFAULT_QUEUE, {})

    def _give_late(self) -> None:
        with self._lock:
            self._is_waiting = False
        _send(self._task, DEFAULT_QUEUE, {})


_queue_hints = _Hints(Task.ADVANCE_QUEUE)
_allocation_hints = _Hints(Task.ADVANCE_ALLOCATIONS)
