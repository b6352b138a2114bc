"""Observes a pool and kills itself at one point: `python -m tests.crash.dying POOL_ID POINT`."""

import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

import django

POINTS = (
    "before the turn",
    "after the turn",
    "between pages",
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
    from pools.services import sql, turns
    from pools.services.inventory import Merge

    inventory.BATCH_NODES = 5
    if point == "before the turn":
        turns.take = _dying
    elif point == "after the turn":
        inventory.credentials.of_pool = _dying
    elif point == "between pages":
        inventory.Watch.page = _at_call(3, inventory.Watch.page)
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


if __name__ == "__main__":
    main(*sys.argv[1:])
