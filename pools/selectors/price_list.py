"""What an hour costs: the price list, and the rates that hold at an instant."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db.models import F, Q, QuerySet

from pools.domain import filters
from pools.domain.access import Access
from pools.models import Price
from pools.selectors import access as rights
from pools.selectors import pages
from pools.selectors.pages import Page

FILTERS: Final = {
    "model": filters.words,
    "profile": filters.words,
    "flavor": filters.words,
    "pool": filters.words,
    "at": filters.instant,
}
_NEWEST_FIRST: Final = pages.Order(("from_at", "id"), tuple[pages.Instant, UUID], is_descending=True)
_COLUMN_OF: Final = {"model": "model_slug", "flavor": "flavor_name", "pool": "pool_name"}
_NAMES: Final = {
    "model_slug": F("model__slug"),
    "flavor_name": F("flavor__name"),
    "pool_name": F("pool__name"),
}


class PriceRow(msgspec.Struct, frozen=True, kw_only=True):
    """What an hour costs from ``from_at`` on, until the next row of the same scope.

    Of a whole device of the model, of one piece where there is a profile, of a member of the flavor. ``pool`` null:
    in every pool that has no price of its own.
    """

    id: UUID
    flavor: str | None
    model: str | None
    profile: str | None
    pool: str | None
    per_hour: Decimal
    from_at: datetime


def page(*, params: Mapping[str, str], cursor: str | None, limit: int, access: Access) -> Page[PriceRow]:
    """Return prices, the latest first; with ``at`` only those that hold then. One query. Raises Invalid.

    Prices of a pool are seen by those who may know of the pool.
    """
    wanted = filters.read(params, FILTERS)
    query = Price.objects.all()
    if visible := rights.pools(access, column="pool"):  # nothing at all: every pool
        query = query.filter(Q(pool=None) | visible)
    for name, column in (("model", "model__slug"), ("profile", "profile"), ("flavor", "flavor__name")):
        if name in wanted:
            query = query.filter(**{f"{column}__in": wanted[name]})
    if "pool" in wanted:
        query = query.filter(pool__name__in=wanted["pool"])
    if "at" in wanted:
        query = query.filter(pk__in=_holding(wanted["at"]))
    found = query.values("id", "profile", "per_hour", "from_at", **_NAMES)
    return pages.mapped(pages.cut(found, _NEWEST_FIRST, cursor, limit), _row)


def one(price_id: UUID) -> PriceRow:
    """Return a price that is there. One query."""
    return _row(Price.objects.filter(pk=price_id).values("id", "profile", "per_hour", "from_at", **_NAMES).get())


def _row(found: Mapping[str, Any]) -> PriceRow:
    values = dict(found)
    names = {name: values.pop(column) for name, column in _COLUMN_OF.items()}
    return PriceRow(**names, **values)


def _holding(at: datetime) -> QuerySet[Any, Any]:
    scope = ("flavor", "model", "profile", "pool")
    latest = Price.objects.filter(from_at__lte=at).order_by(*scope, "-from_at").distinct(*scope)
    return latest.values("pk")
