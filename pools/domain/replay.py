"""Replays a trace of requests through the placement code: what share of a fleet's devices ends up given out?

The experiment of "Beware of Fragmentation" (USENIX ATC 2023): requests sorted by name are shuffled, then copies of
randomly drawn ones follow until they ask for 1.3 times the fleet. One that fits is placed, nothing ever leaves.
"""

import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from uuid import UUID

from msgspec import Struct

from pools.domain.board import Board
from pools.domain.candidates import Candidate, Card, PoolView, View
from pools.domain.knowledge import Knowledge
from pools.domain.lanes import Lane
from pools.domain.packing import Mix, Prices
from pools.domain.policies import Policy
from pools.domain.rows import Need
from pools.domain.shapes import NodeState, Shape

OVERLOAD = 1.3
RENEWED_SHARE = 0.05
READ_AT = (100, 130)


class Reading(Struct, frozen=True):
    """How one seed went: percent of the fleet's devices placed when so many percent were asked for, and its speed."""

    at_percent: Mapping[int, float]
    curve: Sequence[float]
    decisions: int
    seconds: float


class Fleet:
    """The nodes of a trace on a board, each model a pool of its own. Of equally good nodes the first is taken."""

    def __init__(self, nodes: Sequence[NodeState], policy: Policy, prices: Mapping[str, Decimal] | None = None) -> None:
        """``prices`` are per device and hour, by model."""
        view = _view(nodes, prices or {})
        self.total_milli = sum(sum(node.free_milli) for node in nodes)
        self.placed_milli = 0
        self._board = Board(view, Knowledge(view.prices, view.chips))
        self._policy = policy
        self._given = [policy.given(view.pools[_pool(row)], _price(view.pools[_pool(row)])) for row in view.candidates]
        self._mix = Mix()
        self._seen = 0
        self._renew()

    def place(self, shape: Shape) -> bool:
        """Place a request where its score is least, and tell whether it fits anywhere."""
        self._mix.note(shape)
        self._seen += 1
        # What is known of the mix doubles fast in the beginning, and prices of almost nothing break up whole nodes.
        if self._changed_milli >= RENEWED_SHARE * self.total_milli or self._seen >= 2 * self._seen_at_renewal:
            self._renew()
        lane = self._lanes.get(shape)
        if lane is None:
            lane = self._lanes[shape] = self._lane(shape)
        if (found := lane.best()) is None:
            return False
        _, number, best = found
        self._board.take(number, best)
        self.placed_milli += shape.total_milli
        self._changed_milli += shape.total_milli
        return True

    def _lane(self, shape: Shape) -> Lane:
        need = Need(
            form="share" if shape.devices else "cpu",
            devices=shape.devices,
            milli=shape.milli,
            cpu_milli=shape.cpu_milli,
            memory_mib=shape.memory_mib,
        )
        rows = enumerate(self._board.view.candidates)
        allowed = [
            (number, self._given[number]) for number, row in rows if not shape.models or row.model in shape.models
        ]
        return Lane(self._board, self._board.known.ways(need, self._policy.wants), allowed)

    def _renew(self) -> None:
        states = Counter(self._board.known.seen_as(slot.state) for slot in self._board.slots)
        self._board.known.reprice(Prices(self._mix.counts, states))
        self._lanes: dict[Shape, Lane] = {}
        self._changed_milli = 0
        self._seen_at_renewal = self._seen


def _view(nodes: Sequence[NodeState], prices: Mapping[str, Decimal]) -> View:
    models = {model: UUID(int=number) for number, model in enumerate(dict.fromkeys(node.model for node in nodes))}
    return View(
        pools=tuple(
            PoolView(id=pool_id, name=model, prices={(model, None): prices[model]} if model in prices else {})
            for model, pool_id in models.items()
        ),
        candidates=tuple(
            Candidate(
                capacity_id=UUID(int=number),
                pool_id=models[node.model],
                node_id=UUID(int=number),
                model=node.model,
                cards=tuple(Card(position, milli, 0) for position, milli in enumerate(node.free_milli, start=1)),
                cpu_free_milli=node.cpu_milli,
                memory_free_mib=node.memory_mib,
            )
            for number, node in enumerate(nodes)
        ),
        prices=Prices({}, {}),
    )


def _pool(row: Candidate) -> int:
    return row.pool_id.int


def _price(pool: PoolView) -> Decimal | None:
    return pool.prices.get((pool.name, None))


def arrivals(requests: Sequence[Shape], fleet_milli: int, seed: int) -> Iterator[Shape]:
    """Yield the requests in the order of a seed until they ask for 1.3 times the fleet."""
    source = random.Random(seed)  # noqa: S311 - the seed makes an experiment repeatable, it guards nothing
    shuffled = list(requests)
    source.shuffle(shuffled)
    asked_milli = 0
    for shape in shuffled:
        asked_milli += shape.total_milli
        yield shape
    while asked_milli < OVERLOAD * fleet_milli:
        shape = source.choice(requests)
        asked_milli += shape.total_milli
        yield shape


def replay(
    nodes: Sequence[NodeState],
    requests: Sequence[Shape],
    *,
    seed: int,
    policy: Policy,
    prices: Mapping[str, Decimal] | None = None,
) -> Reading:
    """Replay one seed. A reading at x % is the mean over the requests at which the arrived share rounds to x %."""
    began = time.process_time()
    fleet = Fleet(nodes, policy, prices)
    placed_at: dict[int, list[float]] = {}
    arrived_milli = decisions = 0
    for shape in arrivals(requests, fleet.total_milli, seed):
        fleet.place(shape)
        decisions += 1
        arrived_milli += shape.total_milli
        arrived_percent = round(100 * arrived_milli / fleet.total_milli)
        placed_at.setdefault(arrived_percent, []).append(100 * fleet.placed_milli / fleet.total_milli)
    curve = [0.0]
    for percent in range(1, READ_AT[-1] + 1):
        placed = placed_at.get(percent)
        # A small fleet is asked for in large steps; between two of them it is as after the first.
        curve.append(sum(placed) / len(placed) if placed else curve[-1])
    return Reading(
        at_percent={percent: round(curve[percent], 2) for percent in READ_AT},
        curve=curve,
        decisions=decisions,
        seconds=time.process_time() - began,
    )
