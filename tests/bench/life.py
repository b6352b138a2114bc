"""How soon what was asked for is had, how fast a queue drains, and what it costs to look after what is had.

The first two are times by the clock, over platforms that take 20 ms for each call: on a machine that does nothing else.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import connection
from django.utils import timezone

from pools import dispatch
from pools.models import AuditEvent, PoolGrant
from pools.reconcile import sweep
from pools.services import claims, fragmentation
from tests.bench import life_world, place_world
from tests.bench.accounting import percentile
from tests.bench.fleet import Fleet
from tests.bench.frame import Frame
from tests.bench.life_world import LATENCY_MS, WORKERS, working
from tests.bench.place_clients import Clients, serving
from tests.bench.place_world import World

CLIENTS = 32
PER_SECOND = 50
BULK = 1_000
POOLS, NODES = 8, 160


def run(frame: Frame) -> None:
    """Measure all three."""
    with _platforms(frame) as world, serving(CLIENTS) as (_, clients):
        _activate(frame, clients, world)
    with _platforms(frame) as world, serving(CLIENTS) as (_, clients):
        _drain(frame, clients, world)
    _sweep(frame)
    frame.empty()


@contextmanager
def _platforms(frame: Frame) -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        yield life_world.fill(frame, Path(folder), pool_count=4 if frame.is_quick else POOLS, nodes=NODES)


def _activate(frame: Frame, clients: Clients, world: World) -> None:
    """Ask so often a second, whatever became of those before."""
    dice, count = random.Random(8), PER_SECOND * (10 if frame.is_quick else 60)
    calls = [_call(world, dice) for _ in range(count)]
    asked_at: dict[str, datetime] = {}

    def ask(number: int) -> None:
        due_at = begin + number / PER_SECOND
        time.sleep(max(0.0, due_at - time.time()))
        made = clients.post(calls[number])
        asked_at[made["id"]] = datetime.fromtimestamp(due_at, tz=timezone.get_current_timezone())

    with working():
        begin = time.time() + 1
        clients.each(ask, count)
        life_world.until(lambda: life_world.count("claimed", "binding") == 0, "activation")
    told = AuditEvent.objects.filter(action="allocation.activated").values_list("object_id", "at")
    active_at = {str(id): at for id, at in told}
    waits = [(active_at[id] - at).total_seconds() for id, at in asked_at.items() if id in active_at]
    if len(waits) != count:
        raise RuntimeError(f"Of {count} only {len(waits)} are active.")
    note = (
        f"{PER_SECOND} POST /allocations a second, {LATENCY_MS} ms for each call to the platform, {WORKERS} workers; "
        f"median {statistics.median(waits):.2f}, longest {max(waits):.2f}"
    )
    frame.results.record("life_active_p95_s", percentile(waits, 95), note)


def _call(world: World, dice: random.Random) -> tuple[str, str, Mapping[str, Any]]:
    team = world.team(dice)
    return "/api/v1/allocations", team.token, world.body(dice, team, devices_per_member=1)


def _drain(frame: Frame, clients: Clients, world: World) -> None:
    """Let everybody wait for pools that nobody may use, then grant them."""
    dice, count = random.Random(9), 1_000 if frame.is_quick else 10_000
    PoolGrant.objects.all().delete()
    teams = {team.token: team for team in world.teams}
    for token in random.Random(10).choices(sorted(teams), k=count // BULK):
        items = [world.body(dice, teams[token], devices_per_member=1, queue=True) for _ in range(BULK)]
        clients.post(("/api/v1/allocations/bulk", token, {"items": items}))
    if (waiting := life_world.count("queued")) != count:
        raise RuntimeError(f"Of {count} only {waiting} wait.")
    with working():
        place_world.observe()
        begin = time.monotonic()
        place_world.admit()
        dispatch.advance_queue()
        life_world.until(lambda: life_world.count("active") == count, "draining")
        seconds = time.monotonic() - begin
    note = f"from {count:,} queued to all active in {seconds:.1f} s, {LATENCY_MS} ms for each call, {WORKERS} workers"
    frame.results.record("life_drain_per_s", count / seconds, note)


def _sweep(frame: Frame) -> None:
    """Sweep when nothing is due."""
    count = 10_000 if frame.is_quick else 100_000
    world = place_world.fill(frame, Fleet(devices=count * 8))
    dice = random.Random(11)
    for _ in range(count // BULK):
        place_world.observe()
        claims.submit([world.asked(dice) for _ in range(BULK)], now=timezone.now())
    life_world.carry_all(frame)
    while fragmentation.measure(now=timezone.now()):  # a new fleet is measured piece by piece
        pass
    sweep.sweep(clock=timezone.now)
    meter = frame.meter()
    samples = meter.repeat(lambda: sweep.sweep(clock=timezone.now), 5)
    note = f"{life_world.count('active'):,} active allocations, {samples}"
    frame.results.record("life_idle_sweep_cpu_s", samples.median(), note)
    connection.close()
