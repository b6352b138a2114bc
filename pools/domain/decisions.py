"""What the planner answers: where every member goes and why, or why none of it is possible."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from msgspec import Struct


class Placed(Struct, frozen=True, kw_only=True):
    """One member at its place: ``milli`` and ``mib`` at each of the positions, CPU and memory of the host.

    ``capacity_id`` is None for a member without devices, ``host_id`` for one that takes nothing of its host.
    ``node_id`` is None where only the pool is promised. ``starts`` are those of a profile's pieces, by position.
    """

    index: int
    pool_id: UUID
    capacity_id: UUID | None = None
    node_id: UUID | None = None
    node_name: str = ""
    positions: tuple[int, ...] = ()
    starts: tuple[int, ...] | None = None
    milli: int = 0
    mib: int = 0
    host_id: UUID | None = None
    cpu_milli: int = 0
    memory_mib: int = 0


class Loss(Struct, frozen=True, kw_only=True):
    """A kind of request and the share of its room that goes with the placement: 0.021 of ``8 x nvidia-h100-80gb``."""

    kind: str
    share: float


class Alternative(Struct, frozen=True, kw_only=True):
    """A place that was not chosen: the best of another pool, model or node. ``nodes`` are those alike."""

    pool_id: UUID
    model: str | None
    nodes: int
    score: float
    price_per_hour: Decimal | None = None


class Explanation(Struct, frozen=True, kw_only=True):
    """Why there. ``promised`` is the pool's grain: what the platform keeps of it."""

    policy: str
    promised: str
    losses: tuple[Loss, ...] = ()
    chosen_over: tuple[Alternative, ...] = ()
    prices_version: int = 0
    rank: int = 0  # which of any_of it is, from 0


class Decision(Struct, frozen=True, kw_only=True):
    """Where it goes. ``milli`` is what all members take of devices. ``score`` is the policy's, less is better.

    ``fragmentation_delta`` is the expected share of everybody's room that goes with it (``packing``), whatever the
    policy. ``price_per_hour`` is of all members, None where the pool names no price.
    """

    pool_id: UUID
    model: str | None
    profile: str | None
    devices_per_member: int
    members: tuple[Placed, ...]
    milli: int
    score: float
    fragmentation_delta: float
    price_per_hour: Decimal | None
    explanation: Explanation

    def capacity_ids(self) -> set[UUID]:
        """Return the rows that it takes of, those of hosts among them."""
        return {row for placed in self.members for row in (placed.capacity_id, placed.host_id) if row is not None}


class PoolRefusal(Struct, frozen=True, kw_only=True):
    """Why a pool does not do. ``nodes`` are how many of its nodes refuse for this reason."""

    pool_id: UUID
    code: str
    nodes: int = 0


class Change(Struct, frozen=True, kw_only=True):
    """A small change with which it would fit. ``patch`` are fields of the request; empty where others have to act."""

    code: str
    detail: str
    patch: dict[str, Any] = {}


class Refusal(Struct, frozen=True, kw_only=True):
    """Why it does not fit: ``code`` is the one that tells most, ``pools`` says it for each pool.

    Where ``is_exhausted`` is False the read was not all there is: read on and ask again.
    """

    code: str
    pools: tuple[PoolRefusal, ...] = ()
    is_exhausted: bool = True
