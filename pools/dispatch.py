"""Names of tasks, and how they are sent: after the commit, and never so that a lost message or a dead broker matters.

A message is a hint that a row may be due. The sweep finds what no hint announced.
"""

from collections.abc import Mapping
from enum import StrEnum
from functools import partial
from typing import Final
from uuid import UUID

import structlog
from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

from pools.domain.queues import DEFAULT_QUEUE, TIME_LIMITS
from pools.domain.queues import observe_queue as observe_queue

log = structlog.get_logger(__name__)

HINT_EXPIRES_SECONDS: Final = 120
VERIFY_SECONDS: Final = 4 * 3600


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
    _after_commit(Task.ADVANCE_QUEUE, DEFAULT_QUEUE)


def advance_allocations() -> None:
    """Hint that allocations were claimed or are to be given back."""
    _after_commit(Task.ADVANCE_ALLOCATIONS, DEFAULT_QUEUE)


def apply(pool_id: UUID, kind: str) -> None:
    """Hint that targets of the pool are due."""
    _after_commit(Task.APPLY_POOL, observe_queue(kind), pool_id=str(pool_id))


def compare(pool_id: UUID, kind: str) -> None:
    """Hint that targets of the pool are to be compared with what is there."""
    _after_commit(Task.COMPARE_POOL, observe_queue(kind), pool_id=str(pool_id))


def _after_commit(task: Task, queue: str, **ids: str) -> None:
    transaction.on_commit(partial(_send, task, queue, ids))


def _send(task: Task, queue: str, ids: dict[str, str], limits: Mapping[str, int] | None = None) -> None:
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
