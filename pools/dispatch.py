"""Names of tasks, and how they are sent: after the commit, and never so that a lost message or a dead broker matters.

A message is a hint that a row may be due. The sweep finds what no hint announced.
"""

from enum import StrEnum
from functools import partial
from typing import Final
from uuid import UUID

import structlog
from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

log = structlog.get_logger(__name__)

DEFAULT_QUEUE: Final = "default"
HINT_EXPIRES_SECONDS: Final = 120


class Task(StrEnum):
    """What may be asked of the workers."""

    TICK = "ocenter.tick"
    OBSERVE_POOL = "ocenter.observe_pool"
    CHECK_POOL = "ocenter.check_pool"


def observe_queue(kind: str) -> str:
    """Return the queue of a platform kind: a slow platform keeps only its own waiting."""
    return f"observe.{kind}"


def observe(pool_id: UUID, kind: str) -> None:
    """Hint that a run of the pool may be due."""
    _after_commit(Task.OBSERVE_POOL, observe_queue(kind), pool_id=str(pool_id))


def check(pool_id: UUID, kind: str) -> None:
    """Hint that a check of the pool, or of its new credential, is wanted."""
    _after_commit(Task.CHECK_POOL, observe_queue(kind), pool_id=str(pool_id))


def _after_commit(task: Task, queue: str, **ids: str) -> None:
    transaction.on_commit(partial(_send, task, queue, ids))


def _send(task: Task, queue: str, ids: dict[str, str]) -> None:
    try:
        current_app.send_task(task.value, kwargs=ids, queue=queue, expires=HINT_EXPIRES_SECONDS, retry=False)
    except (OperationalError, OSError):
        log.warning("hint_not_sent", task=task.value, queue=queue, **ids)
