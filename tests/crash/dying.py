"""Observes a pool and kills itself at one point: `python -m tests.crash.dying POOL_ID POINT`."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any
from uuid import UUID

import django
import psycopg
from psycopg import _copy_base

POINTS = (
    "before the turn",
    "after the turn",
    "between pages",
    "inside a copy",
    "before a merge commits",
    "after a merge",
    "before it concludes",
    "before losses commit",
    "after the losses",
    "before the end commits",
    "after the end",
)


def main(pool_id: str, point: str) -> None:
    """Run, and die there with SIGKILL as by the kernel's OOM killer."""
    django.setup()
    from django.db import transaction
    from django.utils import timezone

    from pools.reconcile import conclusion, inventory
    from pools.services import inventory as merges
    from pools.services import sql, turns
    from pools.services.inventory import Merge

    inventory.BATCH_NODES = 5
    if point == "before the turn":
        turns.take = _dying
    elif point == "after the turn":
        inventory.credentials.of_pool = _dying
    elif point == "between pages":
        inventory.Watch.page = _at_call(3, inventory.Watch.page)
    elif point == "inside a copy":
        _copy_base.BUFFER_SIZE = 0
        merges._copy = in_copy(2, merges._copy, _die)
    elif point == "before a merge commits":
        sql.run = _when(lambda cursor, name, *more: name == "refresh_hosts", sql.run, times=2)
    elif point == "after a merge":
        Merge.batch = _at_call(2, Merge.batch)
    elif point == "before it concludes":
        inventory.conclude = _dying
    elif point == "before losses commit":
        sql.run = _then_dies(lambda cursor, name, *more: name == "settle", sql.run)
    elif point == "after the losses":
        conclusion.turns.finish = _dying
    elif point == "before the end commits":
        transaction.Atomic.__exit__ = _when_ending(transaction.Atomic.__exit__)
    elif point == "after the end":
        inventory._hint_at_follow_up = _dying
    inventory.run(pool_id=UUID(pool_id), clock=timezone.now)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _dying(*_args: Any, **_kwargs: Any) -> None:
    _die()


def _at_call(number: int, real: Callable[..., Any]) -> Callable[..., Any]:
    return _when(lambda *_args, **_more: True, real, times=number)


def _when(is_it: Callable[..., bool], real: Callable[..., Any], times: int = 1) -> Callable[..., Any]:
    left = times

    @wraps(real)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= is_it(*args, **kwargs)
        if left == 0:
            _die()
        return real(*args, **kwargs)

    return wrapped


def _then_dies(is_it: Callable[..., bool], real: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(real)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = real(*args, **kwargs)
        if is_it(*args, **kwargs):
            _die()
        return result

    return wrapped


def _when_ending(real: Callable[..., Any]) -> Callable[..., Any]:
    """Die when the transaction that ends the run is about to commit."""
    from pools.models import SyncRun

    @wraps(real)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if SyncRun.objects.filter(ended_at__isnull=False, state="succeeded").count() > _ended_before:
            _die()
        return real(*args, **kwargs)

    _ended_before = SyncRun.objects.filter(ended_at__isnull=False, state="succeeded").count()
    return wrapped


def in_copy(number: int, real: Callable[..., None], then: Callable[[], None]) -> Callable[..., None]:
    """Return a ``_copy`` that calls ``then`` when the server has read devices of a batch and waits for more.

    psycopg must send every row at once for it: its ``BUFFER_SIZE`` is 0.
    """
    left = number

    def wrapped(cursor: Any, table: str, columns: str, rows: Sequence[tuple[Any, ...]]) -> None:
        nonlocal left
        left -= table == "incoming_device"
        is_it = table == "incoming_device" and left == 0
        real(cursor, table, columns, _interrupted(cursor.connection, rows, then) if is_it else rows)

    return wrapped


def _interrupted(
    connection: "psycopg.Connection[Any]", rows: Sequence[tuple[Any, ...]], then: Callable[[], None]
) -> Iterator[tuple[Any, ...]]:
    middle = len(rows) // 2
    yield from rows[:middle]
    connection.pgconn.flush()
    deadline = time.monotonic() + 10
    with another(connection) as watching:
        while not _read_bytes(watching, connection.info.backend_pid):
            assert time.monotonic() < deadline, "the server got nothing"
            time.sleep(0.01)
    then()
    yield from rows[middle:]


def another(connection: "psycopg.Connection[Any]") -> "psycopg.Connection[Any]":
    """Open a connection to the same database as the same user."""
    return psycopg.connect(connection.info.dsn, password=connection.info.password, autocommit=True)


def _read_bytes(watching: "psycopg.Connection[Any]", pid: int) -> int:
    """How many bytes of its COPY a server process has read."""
    row = watching.execute("SELECT bytes_processed FROM pg_stat_progress_copy WHERE pid = %s", [pid]).fetchone()
    return row[0] if row else 0


if __name__ == "__main__":
    main(*sys.argv[1:])
