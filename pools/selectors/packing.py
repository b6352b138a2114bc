"""What room is worth now, as the last renewal stored it."""

from functools import lru_cache
from typing import Final

import msgspec

from pools.domain.packing import Prices
from pools.domain.shapes import Shape
from pools.selectors import prepared


class Weighed(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of request, what a unit of its room is worth, and its share of all requests."""

    shape: Shape
    weight: float
    share: float


_decoder: Final = msgspec.json.Decoder(list[Weighed])
_encoder: Final = msgspec.json.Encoder(order="deterministic")
_NONE: Final = Prices({}, {})  # one object too: what is known with it holds until the first renewal


def current() -> tuple[int, Prices]:
    """Return the version and the prices; version 0 before the first renewal, when no kind has a say. One query."""
    with prepared.cursor() as cursor:
        cursor.execute("SELECT version, weights::text FROM packing_prices ORDER BY version DESC LIMIT 1")
        found = cursor.fetchone()
    return (0, _NONE) if found is None else (found[0], _prices(found[0], found[1]))


def stored(prices: Prices) -> str:
    """Return what ``current`` reads."""
    weighed = [
        Weighed(shape=shape, weight=weight, share=prices.shares[shape]) for shape, weight in prices.weights.items()
    ]
    return _encoder.encode(weighed).decode()


def shape_text(shape: Shape) -> str:
    """Return a kind of request as JSON, equal for equal kinds."""
    return _encoder.encode(shape).decode()


@lru_cache(maxsize=2)
def _prices(version: int, weights: str) -> Prices:
    """One object for a version, since it remembers what it has valued."""
    weighed = _decoder.decode(weights)
    return Prices.of({each.shape: each.weight for each in weighed}, {each.shape: each.share for each in weighed})
