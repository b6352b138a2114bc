"""Flavors: named templates of requests, and what they cost now."""

from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db.models import OuterRef, Q, QuerySet, Subquery

from pools.domain import filters
from pools.domain.errors import FlavorMissing
from pools.models import Flavor, Price
from pools.selectors import pages
from pools.selectors.pages import Page

FILTERS: Final = {"q": filters.phrase}
_COLUMNS: Final = ("id", "name", "description", "spec", "generation", "created_at")


class FlavorRow(msgspec.Struct, frozen=True, kw_only=True):
    """``spec`` are the fields of a request that it sets. ``price_per_hour`` is of one member, null without a price."""

    id: UUID
    name: str
    description: str
    spec: dict[str, Any]
    price_per_hour: Decimal | None
    generation: int
    created_at: datetime


def page(*, params: Mapping[str, str], cursor: str | None, limit: int, now: datetime) -> Page[FlavorRow]:
    """Return flavors by name. One query. Raises Invalid."""
    wanted = filters.read(params, FILTERS)
    query = Flavor.objects.filter(removed_at=None)
    if "q" in wanted:
        query = query.filter(Q(name__icontains=wanted["q"]) | Q(description__icontains=wanted["q"]))
    return pages.mapped(pages.cut(_priced(query, now), pages.BY_NAME, cursor, limit), lambda row: FlavorRow(**row))


def one(reference: str, now: datetime) -> FlavorRow:
    """Return a flavor by name or id. One query. Raises FlavorMissing, also for a removed one."""
    by_id = filters.as_uuid(reference)
    condition = Q(pk=by_id) if by_id else Q(name=reference.replace("\x00", ""))
    found = _priced(Flavor.objects.filter(condition, removed_at=None), now).first()
    if found is None:
        raise FlavorMissing
    return FlavorRow(**found)


def ids(references: Collection[str]) -> list[UUID]:
    """Return the ids of several flavors by name or id. One query. Raises Invalid that names the nearest name."""
    by_id = [pk for word in references if (pk := filters.as_uuid(word))]
    names = [word for word in references if filters.as_uuid(word) is None and "\x00" not in word]
    rows = Flavor.objects.filter(Q(pk__in=by_id) | Q(name__in=names), removed_at=None).values_list("pk", "name")
    known = {reference: pk for pk, name in rows for reference in (str(pk), name)}
    for word in references:
        if word not in known:
            raise filters.unknown(
                "flavor", word, list(Flavor.objects.filter(removed_at=None).values_list("name", flat=True))
            )
    return [known[word] for word in references]


def _priced(query: QuerySet[Flavor], now: datetime) -> QuerySet[Any, Any]:
    price = Price.objects.filter(flavor=OuterRef("pk"), pool=None, from_at__lte=now).order_by("-from_at")
    rows: QuerySet[Any, Any] = query.values(*_COLUMNS, price_per_hour=Subquery(price.values("per_hour")[:1]))
    return rows
