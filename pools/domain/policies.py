"""Policies: of all places where a request fits, which one to take. Each is a pure rule, and least wins."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

from msgspec import Struct

from pools.domain.candidates import PoolView
from pools.domain.knowledge import Knowledge, Wants

Given = Callable[[PoolView, Decimal | None], float]
"""What a policy thinks of a pool, given what one device of the model costs there per hour (None: no price is named)."""

NAMES: Final = ("pack", "spread", "cheapest", "preferred")
COMPARED: Final = "best-fit"  # no policy of ours: it is there for comparison


class Policy(Struct, frozen=True, kw_only=True):
    """``given`` compares pools and models, ``wants`` placements where ``given`` is equal."""

    name: str
    given: Given
    wants: Wants


def find(name: str, order: Sequence[str] = ()) -> Policy:
    """Return the policy of that name. ``order`` are names or ids of pools, the most liked first, for ``preferred``.

    pack: the least share of everybody's room (packing.Prices). spread: the emptiest row. cheapest: the lowest price,
    then as pack; pools without a price last. preferred: the pools in their order, others last, then as pack.
    Raises KeyError for another name.
    """
    if name == "preferred":
        return Policy(name=name, given=_Order(tuple(order)), wants=loss)
    return _POLICIES[name]


def loss(known: Knowledge, before: int, after: int) -> float:
    """The share of everybody's room that goes."""
    return known.value(before) - known.value(after)


def most_free(known: Knowledge, before: int, after: int) -> float:
    """The emptiest row first."""
    return -sum(known.seen_as(after).free_milli)


def least_free(known: Knowledge, before: int, after: int) -> float:
    """The fullest row first."""
    return sum(known.seen_as(after).free_milli)


def _alike(pool: PoolView, price: Decimal | None) -> float:
    return 0.0


def _price(pool: PoolView, price: Decimal | None) -> float:
    return float("inf") if price is None else float(price)


class _Order(Struct, frozen=True):
    """The place of a pool in a list; equal lists are equal rules."""

    names: tuple[str, ...]

    def __call__(self, pool: PoolView, price: Decimal | None) -> float:
        for place, name in enumerate(self.names):
            if name in (pool.name, str(pool.id)):
                return place
        return len(self.names)


_POLICIES: Final = {
    policy.name: policy
    for policy in (
        Policy(name="pack", given=_alike, wants=loss),
        Policy(name="spread", given=_alike, wants=most_free),
        Policy(name="cheapest", given=_price, wants=loss),
        Policy(name=COMPARED, given=_alike, wants=least_free),
    )
}
