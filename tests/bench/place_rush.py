"""Many who want the same few nodes at once, and a fleet in which allocations come and go for minutes."""

import random
import time
from collections import deque
from uuid import UUID

from django.utils import timezone

from pools.domain.actors import SYSTEM
from pools.services import allocations, claims, models
from pools.services.batches import Made
from tests.bench import place_world
from tests.bench.accounting import ratio
from tests.bench.fleet import Fleet
from tests.bench.frame import Frame
from tests.bench.load import load
from tests.bench.place_clients import Clients, serving
from tests.bench.place_world import World

CLIENTS = 32
HOT = Fleet(devices=32, pools=1, models=1, taken_percent=0, faulty_percent=0, shadow_percent=0, seed=2)
LIVE = 2_000
AT_ONCE = 10

# Positions that give more than they have, or other than the claims on them say.
_OVERBOOKED = """
WITH of_claims AS (
    SELECT l.capacity_id, place, sum(l.milli) AS milli FROM claim l CROSS JOIN LATERAL unnest(l.positions) at (place)
    WHERE l.released_at IS NULL GROUP BY 1, 2)
SELECT count(*) FROM capacity c JOIN chip_model m ON m.id = c.model_id
    CROSS JOIN LATERAL unnest(c.pos_total_milli, c.pos_claimed_milli, c.pos_held_milli)
        WITH ORDINALITY at (total, claimed, held, place)
    LEFT JOIN of_claims o ON o.capacity_id = c.id AND o.place = at.place
WHERE m.slug = %s AND (at.claimed + at.held > at.total OR at.claimed + at.held <> coalesce(o.milli, 0))
"""


def contention(frame: Frame, world: World) -> None:
    """Let clients of two web servers take and give back: devices of four nodes, and of the whole fleet in turns."""
    hot = _four_nodes(frame, world)
    turns, rounds = (2, 2) if frame.is_quick else (10, 5)
    dice = random.Random(6)
    with serving(CLIENTS // 2) as (one, first), serving(CLIENTS // 2) as (other, second):
        meter = frame.meter(web=one, other=other)
        both = (first, second)

        def rush(slugs: tuple[str, ...]) -> None:
            place_world.observe()
            first.each(lambda number: _take_and_give(both[number % 2], world, slugs, turns, dice), CLIENTS)

        samples = meter.alternate({"hot": lambda: rush((hot,)), "spread": lambda: rush(world.models)}, rounds + 1)
    for each in samples.values():
        del each.slices[0]  # it loads what a process loads once
    statuses = first.statuses + second.statuses
    with frame.connect() as connection:
        (overbooked,) = connection.execute(_OVERBOOKED, [hot]).fetchone()  # type: ignore[misc]  # always a row
    note = f"{CLIENTS} clients of 2 servers on 4 nodes, answers {dict(statuses)}"
    frame.results.record("contention_overbooked", int(overbooked), note)
    frame.results.record("contention_5xx", sum(count for status, count in statuses.items() if status >= 500), note)
    frame.results.record(
        "contention_cpu_ratio", ratio(samples["hot"], samples["spread"]), f"of the hot: {samples['hot']}"
    )


def _four_nodes(frame: Frame, world: World) -> str:
    """Add a pool of four nodes that alone has a model; return the model."""
    slug = next(entry.slug for entry in models.current().entries if entry.slug not in world.models)
    with frame.connect() as raw:
        load(raw, HOT, timezone.now())
        raw.execute("UPDATE chip_model SET slug = %s WHERE slug = 'bench-2-00'", [slug])
        raw.execute("UPDATE pool SET kind = 'simulated' WHERE name = 'bench-2-000'")
    place_world.admit()
    return slug


def _take_and_give(clients: Clients, world: World, slugs: tuple[str, ...], turns: int, dice: random.Random) -> None:
    for _ in range(turns):
        team = world.team(dice)
        body = world.body(dice, team, any_of=[{"model": dice.choice(slugs)}], devices_per_member=1)
        made = clients.post(("/api/v1/allocations", team.token, body))
        if "id" in made:
            clients.post((f"/api/v1/allocations/{made['id']}/release", team.token, {}))


def churn(frame: Frame, world: World) -> None:
    """Place and release for some minutes, some thousand allocations alive, and compare the last with the first."""
    minutes, seconds = (3, 10) if frame.is_quick else (10, 60)
    dice, meter, costs = random.Random(7), frame.meter(), []
    live: deque[UUID] = deque()
    while len(live) < (LIVE // 10 if frame.is_quick else LIVE):
        live.extend(_placed(world, dice, AT_ONCE * 10))
    for _ in range(minutes):
        count = 0

        def minute() -> None:
            nonlocal count
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                made = _placed(world, dice, AT_ONCE)
                live.extend(made)
                count += len(made)
                for _ in made:
                    live.rotate(-dice.randrange(len(live)))
                    allocations.release(allocation_id=live.popleft(), actor=SYSTEM, now=timezone.now())

        place_world.observe()
        cost = meter.measure(minute)
        costs.append(sum(cost.values()) / count * 1000)
    note = f"CPU ms of placing and releasing one, by {seconds} s: {', '.join(f'{cost:.2f}' for cost in costs)}"
    frame.results.record("churn_cpu_ratio", costs[-1] / costs[0], note)


def _placed(world: World, dice: random.Random, count: int) -> list[UUID]:
    answers = claims.submit([world.asked(dice) for _ in range(count)], now=timezone.now())
    return [answer.allocation_id for answer in answers if isinstance(answer, Made)]
