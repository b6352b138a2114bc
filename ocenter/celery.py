"""The Celery application: one queue and one time limit for each platform (pools/domain/queues.py).

A message is a hint that a row may be due. PostgreSQL holds the truth, so losing or repeating a message changes nothing.
"""

import os
import sys
from typing import Any

from celery import Celery
from celery.signals import (
    heartbeat_sent,
    setup_logging,
    task_postrun,
    task_prerun,
    worker_init,
    worker_process_init,
)
from django.conf import settings
from django.db import connection
from django_structlog.celery.steps import DjangoStructLogInitStep

from ocenter import child, health
from pools.domain import queues

TASK_SECONDS = 600
"""For tasks that bring no limit of their own."""
CONNECTION_SECONDS = 10
"""So long a process keeps its connection to the database, which plans its statements once. No longer: a plan that was
made for a small table stays with the connection when the table has grown."""
LONGEST_TASK_SECONDS = max(TASK_SECONDS, *(limits["time_limit"] for limits in queues.TIME_LIMITS.values()))

app = Celery("ocenter", broker=settings.BROKER_URL)
app.conf.update(
    timezone="UTC",
    enable_utc=True,
    accept_content=["json"],
    task_serializer="json",
    result_serializer="json",
    task_ignore_result=True,
    task_default_queue=queues.DEFAULT_QUEUE,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_soft_time_limit=TASK_SECONDS,
    task_time_limit=TASK_SECONDS + 60,
    broker_transport_options={
        # Longer than any task may take, or a running task is handed out a second time.
        "visibility_timeout": LONGEST_TASK_SECONDS + 300,
        "socket_keepalive": True,
        # For senders only. A hint may be lost; without this each one waited 6 s for a broker that is not there.
        "max_retries": 0,
    },
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    worker_prefetch_multiplier=1,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    CELERY_DB_REUSE_MAX=sys.maxsize,  # or Celery closes it around each task
    worker_hijack_root_logger=False,
)
app.autodiscover_tasks(["pools"])
app.steps["worker"].add(DjangoStructLogInitStep)


@setup_logging.connect
def _keep_our_logs(**_signal: Any) -> None:
    """Connected so that Celery leaves the logging alone that Django has set up."""


@heartbeat_sent.connect
def _note_heartbeat(**_signal: Any) -> None:
    health.note(health.WORKER, settings.CACHE_URL)


_worker_pid = 0


@worker_init.connect
def _remember_the_worker(**_signal: Any) -> None:
    global _worker_pid
    _worker_pid = os.getpid()


@worker_process_init.connect
def _die_with_the_worker(**_signal: Any) -> None:
    """Otherwise a process that is in the middle of a task would outlive a killed worker."""
    child.die_with_parent(_worker_pid)


@worker_process_init.connect
def _keep_the_connection(**_signal: Any) -> None:
    """Task after task uses the connection of its process, until it is old."""
    connection.settings_dict["CONN_MAX_AGE"] = CONNECTION_SECONDS
    task_prerun.connect(_look_at_the_connection)
    task_postrun.connect(_close_after_trouble)


def _look_at_the_connection(**_signal: Any) -> None:
    """Close it if it is old, and let its first use see whether the server is still there."""
    connection.close_if_unusable_or_obsolete()


def _close_after_trouble(state: str, **_signal: Any) -> None:
    """A task that broke off may leave its connection in the middle of a query, or with a lock of its session."""
    if state != "SUCCESS":
        connection.close()
