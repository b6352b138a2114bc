"""A read of the distinct states, with one row for each, decides as well as a read of all nodes."""

import random
from collections import Counter
from uuid import UUID

from pools.domain.candidates import Candidate, Card, View
from pools.domain.decisions import Decision
from pools.domain.packing import Prices
from pools.domain.planner import plan
from pools.domain.request import Choice, PerMember, Share, Wanted
from pools.domain.shapes import NodeState, Shape
from tests.domain.views import H100, chips, pool

STATES = 6
KINDS = (  # devices, milli, CPU, how often of 20
    (1, 1000, 4000, 6),
    (1, 500, 2000, 6),
    (1, 250, 1000, 3),
    (2, 1000, 8000, 2),
    (4, 1000, 16_000, 2),
    (8, 1000, 32_000, 1),
)


class Fleet:
    """Forty nodes, decided one request at a time from a read of all of them, or of some states only."""

    def __init__(self, states):
        self.nodes = {number: (96_000, (1000,) * size) for number, size in enumerate([8] * 25 + [4] * 15)}
        self._states = states
        self.placed_milli = 0

    def place(self, request, mix, seed):
        answer = plan(self._read(mix, seed), request)
        if isinstance(answer, Decision):
            (member,) = answer.members
            cpu_milli, free = self.nodes[member.node_id.int]
            left = list(free)
            for position in member.positions:
                left[position - 1] -= member.milli
            self.nodes[member.node_id.int] = cpu_milli - member.cpu_milli, tuple(left)
            self.placed_milli += answer.milli

    def _read(self, mix, seed):
        alike: dict[NodeState, list[int]] = {}
        for number, (cpu_milli, free) in self.nodes.items():
            alike.setdefault(NodeState(cpu_milli, 0, H100, tuple(sorted(free, reverse=True))), []).append(number)
        prices = Prices(mix, Counter({state: len(numbers) for state, numbers in alike.items()}))
        if self._states is None:
            chosen = [(number, 1) for number in self.nodes]
        else:
            open_states = [state for state in alike if any(state.free_milli)]
            random.Random(seed).shuffle(open_states)
            # Draw from every level of what is free, not the first that come.
            open_states.sort(key=lambda state: (state.free_milli[0] < 1000, sum(state.free_milli)), reverse=True)
            step = max(1, len(open_states) / self._states)
            kept = [open_states[int(place * step)] for place in range(min(self._states, len(open_states)))]
            chosen = [(alike[state][0], len(alike[state])) for state in kept]
        rows = tuple(self._row(number, count) for number, count in chosen)
        return View(pools=(pool(),), candidates=rows, chips=chips(), prices=prices)

    def _row(self, number, alike):
        cpu_milli, free = self.nodes[number]
        return Candidate(
            capacity_id=UUID(int=number),
            pool_id=pool().id,
            node_id=UUID(int=number),
            model=H100,
            cards=tuple(Card(position, milli, 0) for position, milli in enumerate(free, start=1)),
            host_id=UUID(int=500 + number),
            cpu_free_milli=cpu_milli,
            alike=alike,
        )


def requests(seed, milli):
    source, asked = random.Random(seed), 0
    while asked < milli:
        devices, part, cpu_milli, _ = source.choices(KINDS, [kind[3] for kind in KINDS])[0]
        asked += devices * part
        share = None if part == 1000 else Share(milli=part)
        host = PerMember(cpu_milli=cpu_milli)
        yield Wanted(any_of=(Choice(model=H100),), devices_per_member=devices, share=share, per_member=host)


class TestStates:
    def test_do_not_lose_the_quality_of_all_nodes(self):
        mix = {Shape(cpu, 0, devices, milli, frozenset({H100})): often for devices, milli, cpu, often in KINDS}
        every, some = Fleet(None), Fleet(STATES)

        for number, request in enumerate(requests(7, 260_000)):
            every.place(request, mix, number)
            some.place(request, mix, number)

        assert every.placed_milli > 0.95 * 260_000
        assert some.placed_milli > 0.99 * every.placed_milli
