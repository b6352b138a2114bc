"""Moves allocations and targets on and kills itself at one point: `python -m tests.crash.applying POOL_ID POINT`.

Points inside the platform's calls are faults of the simulated platform itself.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any
from uuid import UUID

import django

POINTS = (
    "before the targets are marked",
    "after the targets are marked",
    "after the turn",
    "before it is written down",
    "before it is sent",
    "before the outcome commits",
    "after the outcome",
    "before the allocation moves",
)


def main(pool_id: str, point: str) -> None:
    """Do what the hints of one change lead to, and die there with SIGKILL."""
    django.setup()
    from django.utils import timezone

    from pools.reconcile import allocations, targets
    from pools.reconcile.link import Link
    from pools.services import sql
    from pools.services import targets as turns

    if point == "before the targets are marked":
        sql.run = _dying_at("target_want", real=sql.run)
    elif point == "after the targets are marked":
        targets.run = _dying
    elif point == "after the turn":
        setattr(Link, "connector", _dying)  # noqa: B010
    elif point == "before it is written down":
        turns.note_sending = _dying
    elif point == "before it is sent":
        turns.note_sending = _then_dying(turns.note_sending)
    elif point == "before the outcome commits":
        turns._finish = _then_dying(turns._finish)
    elif point == "after the outcome":
        targets._move_on = _dying
    elif point == "before the allocation moves":
        sql.run = _dying_at("allocation_bound", "claim_free", real=sql.run)
    allocations.advance(clock=timezone.now)
    targets.run(pool_id=UUID(pool_id), clock=timezone.now)
    allocations.advance(clock=timezone.now)


def _dying(*_args: Any, **_kwargs: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def _then_dying(real: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> None:
        real(*args, **kwargs)
        _dying()

    return wrapped


def _dying_at(*names: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(cursor: Any, name: str, *more: Any) -> None:
        real(cursor, name, *more)
        if name in names:
            _dying()

    return wrapped


if __name__ == "__main__":
    main(*sys.argv[1:])
