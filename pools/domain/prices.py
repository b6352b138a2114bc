"""What an hour costs, by the price lists of a pool."""

from decimal import Decimal

from pools.domain.candidates import PoolView
from pools.domain.rows import Need


def per_member(pool: PoolView, flavor: str | None, model: str, need: Need) -> Decimal | None:
    """Return what one member costs per hour in a pool, None where no price is named.

    The flavor's price goes before that of the model's profile, and this before the model's, of which a share or a
    piece pays its part. CPU and memory of the host cost nothing of their own.
    """
    if flavor is not None and flavor in pool.flavor_prices:
        return pool.flavor_prices[flavor]
    if need.form == "cpu":
        return Decimal(0)
    if need.profile and (model, need.profile) in pool.prices:
        return need.devices * pool.prices[model, need.profile]
    if (whole := pool.prices.get((model, None))) is None:
        return None
    return whole * need.devices * need.milli / 1000
