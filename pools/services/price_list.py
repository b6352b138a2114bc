"""The price list. Rows are only added: what was charged can be told again for ever."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from pools.domain.actors import Actor
from pools.domain.errors import FieldError, Invalid, PriceExists
from pools.models import ChipModel, Flavor, Pool, Price, Profile
from pools.services import audit, writing

MOST_PER_HOUR: Final = Decimal(10**9)
_DECIMALS: Final = 6


@writing.transaction
def add(
    *,
    per_hour: Decimal,
    from_at: datetime | None = None,
    flavor_id: UUID | None = None,
    model_id: UUID | None = None,
    profile: str | None = None,
    pool_id: UUID | None = None,
    actor: Actor,
    now: datetime,
) -> Price:
    """Let a flavor, or a model's devices or pieces, cost so much an hour from then on (None: from now on).

    A price of the past would change what was charged already, so there is none. Raises Invalid with all mistakes,
    PriceExists.
    """
    from_at = from_at or now
    wrong = list(_mistakes(per_hour, from_at, flavor_id, model_id, profile, now))
    if wrong:
        raise Invalid(fields=tuple(wrong))
    price = Price(
        flavor_id=flavor_id,
        model_id=model_id,
        profile=profile,
        pool_id=pool_id,
        per_hour=per_hour,
        from_at=from_at,
        created_at=now,
    )
    same = Price.objects.filter(flavor=flavor_id, model=model_id, profile=profile, pool=pool_id, from_at=from_at)
    if same.exists():  # two at once: the second breaks the constraint and is told that the database refused it
        raise PriceExists
    price.save(force_insert=True)
    audit.record(actor, "price.added", "price", price.pk, _name(price), None, _told(price), now)
    return price


def _mistakes(
    per_hour: Decimal,
    from_at: datetime,
    flavor_id: UUID | None,
    model_id: UUID | None,
    profile: str | None,
    now: datetime,
) -> Iterator[FieldError]:
    is_number = per_hour.is_finite() and 0 <= per_hour <= MOST_PER_HOUR
    if not is_number or per_hour != round(per_hour, _DECIMALS):
        detail = f"A number from 0 to {MOST_PER_HOUR} with at most {_DECIMALS} decimals is needed."
        yield FieldError("per_hour", "bad_value", detail)
    if from_at < now:
        yield FieldError("from_at", "in_the_past", "A price holds from now on, or from a later instant.")
    if (flavor_id is None) == (model_id is None):
        yield FieldError("model", "required", "Name either a flavor or a model.")
    if profile is not None and flavor_id is not None:
        yield FieldError("profile", "not_taken", "A flavor has no profile of its own.")
    elif profile is not None and not Profile.objects.filter(model=model_id, name=profile).exists():
        yield FieldError("profile", "bad_value", "The model has no such profile.")


def _told(price: Price) -> dict[str, Any]:
    return {
        "per_hour": str(price.per_hour),
        "from_at": price.from_at.isoformat(),
        "pool": Pool.objects.get(pk=price.pool_id).name if price.pool_id else None,
    }


def _name(price: Price) -> str:
    if price.flavor_id:
        return Flavor.objects.get(pk=price.flavor_id).name
    assert price.model_id is not None
    slug = ChipModel.objects.get(pk=price.model_id).slug
    return f"{slug} {price.profile}" if price.profile else slug
