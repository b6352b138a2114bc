"""What is asked for and what is free on one node, as far as placement sees it. Pure values."""

from collections.abc import Iterator
from typing import NamedTuple


class Shape(NamedTuple):
    """What one member asks of one node: ``devices`` of ``milli`` each (1000 = a whole one), CPU and memory of the host.

    Empty ``models`` are any. Equal shapes are the same kind of request.
    """

    cpu_milli: int
    memory_mib: int
    devices: int
    milli: int
    models: frozenset[str] = frozenset()

    @property
    def total_milli(self) -> int:
        """All that it asks of devices."""
        return self.devices * self.milli


class NodeState(NamedTuple):
    """What is free on a node. ``free_milli`` has an entry a device, largest first, so that equal nodes are equal."""

    cpu_milli: int
    memory_mib: int
    model: str
    free_milli: tuple[int, ...]


def after(state: NodeState, shape: Shape) -> Iterator[NodeState]:
    """Yield the states that a node can be in after it took the shape, none when it does not fit.

    A part of a device goes to any free level of the node, several devices to the fullest that have room.
    """
    cpu_milli, memory_mib = state.cpu_milli - shape.cpu_milli, state.memory_mib - shape.memory_mib
    if cpu_milli < 0 or memory_mib < 0 or (shape.models and state.model not in shape.models):
        return
    free = state.free_milli
    if shape.devices == 0:
        yield NodeState(cpu_milli, memory_mib, state.model, free)
        return
    fitting = sum(1 for milli in free if milli >= shape.milli)
    if fitting < shape.devices:
        return
    if shape.devices == 1:
        firsts = [free.index(level) for level in dict.fromkeys(free[:fitting])]
    else:
        firsts = [fitting - shape.devices]
    for first in firsts:
        left = list(free)
        for position in range(first, first + shape.devices):
            left[position] -= shape.milli
        left.sort(reverse=True)
        yield NodeState(cpu_milli, memory_mib, state.model, tuple(left))
