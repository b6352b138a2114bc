"""How much of what is free is of no use to what is asked for.

For a pool and model, with kinds k of the mix that may use the model, f_k their share among these, free the free milli
and usable_k what copies of k could take of it:

    fragmentation = sum_k f_k * (1 - usable_k / free)

0: everything is of use to everybody. 1: nobody can use anything. It is a figure to watch; decisions go by ``packing``.
"""

from collections import defaultdict
from uuid import UUID

from msgspec import Struct

from pools.domain import rows
from pools.domain.candidates import View
from pools.domain.packing import Prices
from pools.domain.shapes import NodeState, Shape


class Fragmentation(Struct, frozen=True, kw_only=True):
    """``unusable_milli`` is the expected part of ``free_milli`` that a request of the mix cannot use."""

    pool_id: UUID
    model: str
    free_milli: int
    unusable_milli: float

    @property
    def score(self) -> float:
        """From 0 to 1, 0 where nothing is free."""
        return self.unusable_milli / self.free_milli if self.free_milli else 0.0


def measure(view: View) -> tuple[Fragmentation, ...]:
    """Return the fragmentation of every pool and model. Rows that stand for several nodes count as often."""
    states: dict[tuple[UUID, str], dict[NodeState, int]] = defaultdict(lambda: defaultdict(int))
    for row in view.candidates:
        if row.model and row.node_id is not None:
            state = rows.seen_as(rows.read(row, row.profile or "")[0])
            states[row.pool_id, row.model][state] += row.alike
    return tuple(
        Fragmentation(
            pool_id=pool_id,
            model=model,
            free_milli=sum(count * sum(state.free_milli) for state, count in found.items()),
            unusable_milli=sum(count * _unusable(state, view.prices) for state, count in found.items()),
        )
        for (pool_id, model), found in states.items()
    )


def usable_milli(state: NodeState, shape: Shape) -> int:
    """Return how much of a node's free devices copies of a kind could take."""
    copies = sum(free // shape.milli for free in state.free_milli) // shape.devices
    if shape.cpu_milli:
        copies = min(copies, state.cpu_milli // shape.cpu_milli)
    if shape.memory_mib:
        copies = min(copies, state.memory_mib // shape.memory_mib)
    return copies * shape.total_milli


def _unusable(state: NodeState, prices: Prices) -> float:
    free = sum(state.free_milli)
    kinds = [(kind, share) for kind, share in prices.shares.items() if not kind.models or state.model in kind.models]
    asked = sum(share for _, share in kinds)
    return sum(share * (free - usable_milli(state, kind)) for kind, share in kinds) / asked if asked else 0.0
