"""What an allocation costs: asked for by REST alone or in bulk, by a batch of the services, and by many at once."""

import random
import statistics
from collections.abc import Mapping
from functools import partial
from typing import Any

from django.utils import timezone

from ocenter import garbage
from pools.domain.actors import SYSTEM
from pools.services import allocations, claims
from pools.services.batches import Made
from tests.bench import place_rush, place_world
from tests.bench.accounting import growth_exponent, percentile
from tests.bench.fleet import Fleet
from tests.bench.frame import Frame
from tests.bench.place_clients import Call, Clients, serving
from tests.bench.place_world import World

CLIENTS = 32
BATCH = 1_000
SIZES = (1_000, 10_000, 100_000, 1_000_000)
QUICK_SIZES = (1_000, 100_000)


def run(frame: Frame) -> None:
    """Measure how it grows with the fleet, and the rest on the largest one."""
    by_size: dict[int, float] = {}
    for size in QUICK_SIZES if frame.is_quick else SIZES:
        world = place_world.fill(frame, Fleet(devices=size))
        by_size[size] = _alone(frame, world)
    note = "a claim of its own by the services: " + ", ".join(f"{size:,} {ms:.2f} ms" for size, ms in by_size.items())
    frame.results.record("place_growth_exp", growth_exponent(by_size), note)
    _batches(frame, world)
    with serving(CLIENTS) as (pid, clients):
        web = frame.meter(web=pid)
        _singles(frame, web, clients, world)
        _bulks(frame, web, clients, world)
        _what_ifs(frame, web, clients, world)
    place_rush.contention(frame, world)
    place_rush.churn(frame, world)
    frame.empty()


def _alone(frame: Frame, world: World) -> float:
    """Return the CPU ms of a claim of its own, which is given back outside of the measurement."""
    dice, count = random.Random(1), 20 if frame.is_quick else 50
    meter, costs = frame.meter(), []
    for turn in range(3 if frame.is_quick else 9):
        place_world.observe()
        asked = [world.asked(dice) for _ in range(count)]
        made: list[Any] = []
        cost = meter.measure(lambda: made.extend(_submit([each]) for each in asked))  # noqa: B023  # used at once
        got = [answer for (answer,) in made if isinstance(answer, Made)]
        for answer in got:
            allocations.release(allocation_id=answer.allocation_id, actor=SYSTEM, now=timezone.now())
        if turn:  # the first one loads what a process loads once
            costs.append(sum(cost.values()) / max(len(got), 1) * 1000)
    return statistics.median(costs)


def _submit(asked: list[Any]) -> list[claims.Answer]:
    return claims.submit(asked, now=timezone.now())


def _batches(frame: Frame, world: World) -> None:
    garbage.settle()  # as the servers do
    dice, meter, costs = random.Random(2), frame.meter(), []
    for turn in range(2 if frame.is_quick else 8):
        place_world.observe()
        asked = [world.asked(dice) for _ in range(BATCH)]
        answers: list[Any] = []
        cost = meter.measure(lambda: answers.extend(_submit(asked)))  # noqa: B023  # used at once
        if turn:
            costs.append(_each(cost, sum(isinstance(answer, Made) for answer in answers)))
    note = f"claims.submit of {BATCH:,}: {_split(costs)}"
    frame.results.record("batch1000_cpu_ms", _median(costs), note)


def _singles(frame: Frame, meter: Any, clients: Clients, world: World) -> None:
    dice, count, costs = random.Random(3), 200 if frame.is_quick else 1_500, []
    for turn in range(3 if frame.is_quick else 6):
        place_world.observe()
        calls = [_call(world, dice) for _ in range(count)]
        clients.statuses.clear()
        cost = meter.measure(partial(clients.post_all, calls))
        if turn:
            costs.append(_each(cost, clients.statuses[201]))
    note = f"POST /allocations on {CLIENTS} connections, {_split(costs)}; the last: {dict(clients.statuses)}"
    frame.results.record("rest_single_cpu_ms", _median(costs), note)


def _call(world: World, dice: random.Random) -> Call:
    team = world.team(dice)
    return "/api/v1/allocations", team.token, world.body(dice, team)


def _bulks(frame: Frame, meter: Any, clients: Clients, world: World) -> None:
    dice = random.Random(4)
    for size, calls_most in ((100, 20), (1_000, 4)):
        costs = []
        for turn in range(2 if frame.is_quick else 6):
            place_world.observe()
            calls = [_bulk(world, dice, size) for _ in range(2 if frame.is_quick else calls_most)]
            answers: list[Any] = []
            cost = meter.measure(lambda: answers.extend(clients.post_all(calls)))  # noqa: B023  # used at once
            if turn:
                results = [each for answer in answers for each in answer["results"]]
                costs.append(_each(cost, sum(each["status"] == 201 for each in results)))
        frame.results.record(f"rest_bulk{size}_cpu_ms", _median(costs), f"an allocation, of {size}: {_split(costs)}")


def _bulk(world: World, dice: random.Random, size: int) -> Call:
    """A request for one tenant's teams, of whom its token may ask."""
    token = world.team(dice).token
    teams = [team for team in world.teams if team.token == token]
    items = [world.body(dice, dice.choice(teams)) for _ in range(size)]
    return "/api/v1/allocations/bulk", token, {"items": items}


def _what_ifs(frame: Frame, meter: Any, clients: Clients, world: World) -> None:
    dice, costs = random.Random(5), []
    kinds: list[Mapping[str, Any]] = [
        {}, {"devices_per_member": 8}, {"share": {"milli": 300}, "devices_per_member": 1},
        {"members": 4, "devices_per_member": 2}, {"policy": "spread"}, {"devices_per_member": 64},
    ]  # fmt: skip
    for turn in range(2 if frame.is_quick else 12):
        for kind in kinds:
            place_world.observe()
            team = world.team(dice)
            call = "/api/v1/what-if", team.token, world.body(dice, team, **kind)
            cost = meter.measure(lambda: [clients.post(call) for _ in range(5)])  # noqa: B023  # used at once
            if turn:
                costs.append(_each(cost, 5))
    every = [sum(cost.values()) for cost in costs]
    frame.results.record("whatif_p95_cpu_ms", percentile(every, 95), f"median {statistics.median(every):.1f}")


def _each(cost: Mapping[str, float], count: int) -> dict[str, float]:
    return {part: seconds / max(count, 1) * 1000 for part, seconds in cost.items()}


def _median(costs: list[dict[str, float]]) -> float:
    return statistics.median(sum(cost.values()) for cost in costs)


def _split(costs: list[dict[str, float]]) -> str:
    return " + ".join(f"{part} {statistics.median(cost[part] for cost in costs):.3f}" for part in costs[0])
