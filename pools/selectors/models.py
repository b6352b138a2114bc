"""Chip models, and how many of each the fleet has."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db.models import Q, QuerySet

from pools.domain import filters
from pools.domain.errors import ModelMissing
from pools.models import ChipModel, Profile
from pools.selectors import capacity, pages
from pools.selectors.pages import Page

FILTERS: Final = {
    "vendor": filters.words,
    "is_catalogued": filters.flag,
    "q": filters.phrase,
}


class ProfileRow(msgspec.Struct, frozen=True, kw_only=True):
    """A way to cut a device: a fixed share of its compute and memory."""

    name: str
    kind: str
    milli: int
    memory_mib: int
    max_per_device: int


class ModelRow(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of accelerator. ``slug`` is its name in requests. Not ``is_catalogued``: known from a platform only.

    ``memory_mib`` is null when nobody knows. ``fleet`` is what all pools have of it, null when none; ``source`` says
    where the facts come from.
    """

    id: UUID
    slug: str
    vendor: str
    name: str
    memory_mib: int | None
    interconnect: str
    compute_unit_milli: int
    is_catalogued: bool
    source: str
    profiles: list[ProfileRow]
    fleet: capacity.ModelShare | None


def page(*, params: Mapping[str, str], cursor: str | None, limit: int) -> Page[ModelRow]:
    """Return models by slug. Three queries. Raises Invalid."""
    wanted = filters.read(params, FILTERS)
    query = ChipModel.objects.all()
    if "vendor" in wanted:
        query = query.filter(vendor__in=wanted["vendor"])
    if "is_catalogued" in wanted:
        query = query.filter(is_catalogued=wanted["is_catalogued"])
    if "q" in wanted:
        query = query.filter(Q(name__icontains=wanted["q"]) | Q(slug__icontains=wanted["q"]))
    found = pages.cut(_columns(query), pages.BY_SLUG, cursor, limit)
    return Page(_rows(found.rows), found.next_cursor)


def one(reference: str) -> ModelRow:
    """Return a model by slug or id. Three queries. Raises ModelMissing."""
    by_id = filters.as_uuid(reference)
    condition = Q(pk=by_id) if by_id else Q(slug=reference)
    if "\x00" in reference or not (rows := _rows(list(_columns(ChipModel.objects.filter(condition))))):
        raise ModelMissing
    return rows[0]


def _columns(query: QuerySet[ChipModel]) -> QuerySet[Any, Any]:
    plain = [name for name in ModelRow.__struct_fields__ if name not in ("profiles", "fleet")]
    rows: QuerySet[Any, Any] = query.values(*plain)
    return rows


def _rows(found: list[dict[str, Any]]) -> list[ModelRow]:
    model_ids = [row["id"] for row in found]
    profiles: dict[UUID, list[ProfileRow]] = {}
    for row in (
        Profile.objects.filter(model__in=model_ids)
        .order_by("-milli", "name")
        .values("model_id", *ProfileRow.__struct_fields__)
    ):
        profiles.setdefault(row.pop("model_id"), []).append(ProfileRow(**row))
    fleet = capacity.of_models(model_ids)
    return [
        ModelRow(
            profiles=profiles.get(row["id"], []),
            fleet=fleet.get(row["id"]),
            **(row | {"memory_mib": row["memory_mib"] or None}),
        )
        for row in found
    ]
