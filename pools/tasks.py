"""Celery's edge: reads the database's clock, calls one function inwards, and knows nothing else."""

import multiprocessing
from typing import Any
from uuid import UUID

from celery import shared_task
from celery.signals import worker_init, worker_shutting_down

from pools import dispatch
from pools.dispatch import Task
from pools.reconcile import allocations, checks, drift, inventory, lanes, sweep, targets, telemetry
from pools.reconcile.lanes import Lane
from pools.selectors import clocks
from pools.services import models, queue, verification

# Made before the worker forks, so that its processes see when the worker is told to stop.
_stopping = multiprocessing.get_context("fork").Event()

_slow_pools: Lane | None = None
_checks: Lane | None = None


@worker_init.connect
def _divide(sender: Any, **_signal: Any) -> None:
    """Keep a process for pools that answer soon, whatever the others do, and read the catalogue once for all."""
    global _slow_pools, _checks
    _slow_pools, _checks = (Lane(places) for places in lanes.share(sender.concurrency))
    models.current()


@worker_shutting_down.connect
def _stop_softly(**_signal: Any) -> None:
    """Let running observations end between two pages instead of waiting for a whole fleet."""
    _stopping.set()


@shared_task(name=Task.TICK, ignore_result=True)
def tick(**_from_newer_senders: object) -> None:
    """Find what is due."""
    sweep.sweep(clock=clocks.of_database())


@shared_task(name=Task.OBSERVE_POOL, acks_late=True)
def observe_pool(*, pool_id: str, **_from_newer_senders: object) -> None:
    """Observe a pool if a run is due and nobody else is at it."""
    inventory.run(pool_id=UUID(pool_id), clock=clocks.of_database(), should_stop=_stopping.is_set, lane=_slow_pools)


@shared_task(name=Task.CHECK_POOL, acks_late=True)
def check_pool(*, pool_id: str, **_from_newer_senders: object) -> None:
    """Check a pool and its new credential."""
    checks.run(pool_id=UUID(pool_id), clock=clocks.of_database(), lane=_checks)


@shared_task(name=Task.TELEMETER_POOL, acks_late=True)
def telemeter_pool(*, pool_id: str, **_from_newer_senders: object) -> None:
    """Ask the devices of a pool how busy they are, if that is due and nobody is at it."""
    telemetry.run(pool_id=UUID(pool_id), clock=clocks.of_database(), lane=_checks)


@shared_task(name=Task.VERIFY_LOGS)
def verify_logs(**_from_newer_senders: object) -> None:
    """Check the audit and the ledger against their seals, if that is due and nobody is at it.

    Not acknowledged late: it may take longer than the broker waits before it gives a message to somebody else. What is
    due stands in a row, so a worker that dies at it loses nothing.
    """
    verification.run_due(now=clocks.of_database()())


@shared_task(name=Task.ADVANCE_QUEUE, acks_late=True)
def advance_queue(**_from_newer_senders: object) -> None:
    """Claim for those who wait what can be had now."""
    dispatch.begun(Task.ADVANCE_QUEUE)
    queue.advance(now=clocks.of_database()())


@shared_task(name=Task.ADVANCE_ALLOCATIONS, acks_late=True)
def advance_allocations(**_from_newer_senders: object) -> None:
    """Move allocations on as their platforms answered."""
    dispatch.begun(Task.ADVANCE_ALLOCATIONS)
    allocations.advance(clock=clocks.of_database())


@shared_task(name=Task.APPLY_POOL, acks_late=True)
def apply_pool(*, pool_id: str, **_from_newer_senders: object) -> None:
    """Let the targets of a pool that are due carry their orders."""
    dispatch.begun(Task.APPLY_POOL, pool_id=pool_id)
    targets.run(pool_id=UUID(pool_id), clock=clocks.of_database(), should_stop=_stopping.is_set, lane=_slow_pools)


@shared_task(name=Task.COMPARE_POOL, acks_late=True)
def compare_pool(*, pool_id: str, **_from_newer_senders: object) -> None:
    """Compare targets of a pool with what is there, those that were not looked at lately."""
    drift.run(pool_id=UUID(pool_id), clock=clocks.of_database(), should_stop=_stopping.is_set, lane=_checks)
