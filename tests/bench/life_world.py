"""Simulated platforms that take their time for each call, and the processes of ocenter that work on them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from celery import current_app
from django.db import connection
from django.utils import timezone

from pools.domain.actors import SYSTEM
from pools.models import Allocation, ChipModel
from pools.reconcile import checks, inventory
from pools.services import pools
from tests.bench import place_world
from tests.bench.frame import Frame
from tests.bench.place_world import World

LATENCY_MS = 20
DEVICES_PER_NODE = 8
MODEL = "NVIDIA H100 80GB HBM3"
WORKERS = 2
PATIENCE_SECONDS = 300
LOOK_SECONDS = 0.2  # seldom enough to cost nothing of what is measured


def fill(frame: Frame, folder: Path, *, pool_count: int, nodes: int) -> World:
    """Register so many simulated pools, each with a fleet of its own, and those who may use all of them."""
    connection.close()
    frame.empty()
    for number in range(pool_count):
        pool = pools.register(
            name=f"life-{number:02d}", kind="simulated", credential={"token": "made up"}, mode="device",
            settings={
                "fleet": f"life-{number:02d}", "state_folder": str(folder), "seed": number, "latency_ms": LATENCY_MS,
                "nodes": nodes, "devices_per_node": DEVICES_PER_NODE, "models": MODEL,
            },
            actor=SYSTEM, now=timezone.now(),
        )  # fmt: skip
        checks.run(pool_id=pool.id, clock=timezone.now)
        pools.activate(pool_id=pool.id, actor=SYSTEM, now=timezone.now())
        inventory.run(pool_id=pool.id, clock=timezone.now)
    (slug,) = ChipModel.objects.filter(devices__isnull=False).distinct().values_list("slug", flat=True)
    return place_world.admitted(frame, (slug,))


@contextmanager
def working(workers: int = WORKERS) -> Iterator[dict[str, int]]:
    """Start workers and a beat as `manage.py up` does; give their process ids by name, once they work."""
    with ExitStack() as stack:
        names = {f"worker_{number}": "ocenter.worker" for number in range(workers)} | {"beat": "ocenter.beat"}
        pids = {name: stack.enter_context(_running(module)) for name, module in names.items()}
        until(lambda: len(current_app.control.ping(timeout=1) or ()) == workers, "the start of the workers")
        yield pids


@contextmanager
def _running(module: str) -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, "-m", module], env=dict(os.environ), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something. Raises: TimeoutError."""
    ends_at = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > ends_at:
            raise TimeoutError(f"{what} took more than {PATIENCE_SECONDS} s")
        time.sleep(LOOK_SECONDS)


def count(*states: str) -> int:
    """Return how many allocations are in these states."""
    return Allocation.objects.filter(state__in=states).count()


# --- who has had something for long -----------------------------------------------------------------------------------

# As the loop leaves it: ordered of the target of its node, carried there, handed over and to be renewed some day.
_LIVE = (
    """
    INSERT INTO target (id, pool_id, kind, ref, node_id, mode, is_tenants, generation, applied_generation, is_unknown,
                        failures, created_at, checked_at)
    SELECT new_id(), n.pool_id, 'host', n.ref, n.id, '', false, 1, 1, false, 0, now(), now()
    FROM node n WHERE EXISTS (SELECT FROM member m WHERE m.node_id = n.id)
    """,
    """
    UPDATE member m SET target_id = t.id, order_state = 'carried', order_generation = 1
    FROM target t WHERE t.node_id = m.node_id
    """,
    "UPDATE operation SET state = 'confirmed', ended_at = now()",
    "UPDATE allocation SET state = 'binding' WHERE state = 'claimed'",
    "UPDATE allocation SET state = 'active' WHERE state = 'binding'",
    """
    INSERT INTO delivery (id, pool_id, allocation_id, target_id, kind, facts, ciphertext, key_id, secret_names, due_at,
                          made_at, failures)
    SELECT new_id(), m.pool_id, m.allocation_id, m.target_id, 'token', '{}', '', '', '[]', now() + interval '1 day',
           now(), 0
    FROM member m
    """,
    "UPDATE pool_sync SET next_at = now() + interval '1 day', telemetry_next_at = now() + interval '1 day'",
)


def carry_all(frame: Frame) -> None:
    """Let all that was claimed be had long since, of platforms that were just looked at. Raises: psycopg.Error."""
    with frame.connect() as raw:
        for statement in _LIVE:
            raw.execute(statement)
    frame.settle()
