"""The score of ``pack``: how much of the room of each kind of request would a placement take?

Free capacity is worth what future requests can make of it, and scarce room is worth more than plentiful room. The room
of kind k on a node is ``copies ** 0.85`` where copies is how often k fits there (less than once is nothing), R is that
summed over all nodes, and the loss of a placement is ``sum f * (room before - room after) / R`` over all kinds, where
f is a kind's share of the requests so far. The least loss wins. It is the first-order step of maximising
``sum f ln R``: nobody's room may run out first.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from pools.domain.shapes import NodeState, Shape

POWER = 0.85
_POWERS = {float(copies): copies**POWER for copies in range(65)}


class Mix:
    """Which kinds of requests came so far, refused ones too, counted by requests. Nothing is known beforehand."""

    def __init__(self) -> None:
        self.counts: Counter[Shape] = Counter()

    def note(self, shape: Shape) -> None:
        """Count a request for devices. One for CPU alone has no say in where devices go."""
        if shape.devices:
            self.counts[shape] += 1


def room(state: NodeState, shape: Shape) -> float:
    """Return the room of a kind on a node: its copies to the power of 0.85, 0 when it does not fit once."""
    return _worth(state, [(shape, 1.0)]) if not shape.models or state.model in shape.models else 0.0


def _worth(state: NodeState, kinds: Sequence[tuple[Shape, float]]) -> float:
    """Return the weighted room of kinds that ask for the same part of a device. The innermost loop: no calls in it."""
    milli = kinds[0][0].milli
    parts = sum([free // milli for free in state.free_milli])
    cpu_free, memory_free = state.cpu_milli, state.memory_mib
    worth = 0.0
    for (cpu_milli, memory_mib, devices, _, _), weight in kinds:
        copies: float = parts // devices
        power = _POWERS.get(copies)
        if cpu_milli * copies > cpu_free:
            copies, power = cpu_free / cpu_milli, None
        if memory_mib * copies > memory_free:
            copies, power = memory_free / memory_mib, None
        if copies >= 1:
            worth += weight * (copies**POWER if power is None else power)
    return worth


class Prices:
    """What a unit of each kind's room is worth: f / R of one moment. The same prices always give the same answers.

    A decision stores the prices it used; they are renewed when enough capacity has changed.
    """

    def __init__(self, mix: Mapping[Shape, int], fleet: Mapping[NodeState, int]) -> None:
        """``fleet`` counts the nodes in each state. A kind that has no room left anywhere has no say."""
        asked = sum(mix.values())
        rooms = {shape: sum(count * room(state, shape) for state, count in fleet.items()) for shape in mix}
        shares = {shape: mix[shape] / asked for shape in mix}
        self._weigh({shape: shares[shape] / left for shape, left in rooms.items() if left}, shares)

    @classmethod
    def of(cls, weights: Mapping[Shape, float], shares: Mapping[Shape, float]) -> "Prices":
        """Return the prices that were stored: f / R and f of each kind."""
        prices = cls.__new__(cls)
        prices._weigh(weights, shares)
        return prices

    def _weigh(self, weights: Mapping[Shape, float], shares: Mapping[Shape, float]) -> None:
        self.weights, self.shares = dict(weights), dict(shares)
        # Kinds that share a part of a device and its models share the count of parts of a node.
        self._groups: dict[tuple[int, frozenset[str]], list[tuple[Shape, float]]] = {}
        for shape, weight in self.weights.items():
            self._groups.setdefault((shape.milli, shape.models), []).append((shape, weight))
        self._values: dict[NodeState, float] = {}

    def value(self, state: NodeState) -> float:
        """Return what the room of all kinds on a node is worth."""
        value = self._values.get(state)
        if value is None:
            value = 0.0
            for (milli, models), kinds in self._groups.items():
                if (not models or state.model in models) and state.free_milli and state.free_milli[0] >= milli:
                    value += _worth(state, kinds)
            self._values[state] = value
        return value

    def loss(self, before: NodeState, after: NodeState) -> float:
        """Return the share of everybody's room that goes with a placement, weighted by how often it is asked for."""
        return self.value(before) - self.value(after)

    def losses(self, before: NodeState, after: NodeState) -> list[tuple[Shape, float]]:
        """Return which kinds lose what share of their room, the largest first: the explanation of a decision."""
        taken = [(shape, weight * (room(before, shape) - room(after, shape))) for shape, weight in self.weights.items()]
        return sorted(((shape, loss) for shape, loss in taken if loss > 0), key=lambda pair: -pair[1])
