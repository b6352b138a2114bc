"""How much of what there is where: the sums of capacity by pool, model and profile, as a list."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db.models import F, Q, QuerySet
from msgspec import UNSET, UnsetType

from pools.domain import filters
from pools.domain.access import Access
from pools.models import CapacityRollup
from pools.selectors import access as rights
from pools.selectors import pages, references
from pools.selectors.pages import Page

FILTERS: Final = {
    "pool": filters.words,
    "vendor": filters.words,
    "model": filters.words,
    "profile": filters.words,
}
_NAMES: Final = {
    "pool_name": F("pool__name"),
    "model_slug": F("model__slug"),
    "vendor": F("model__vendor"),
}
_TOLD_TO_ALL: Final = ("id", "pool", "pool_id", "model", "vendor", "profile", "is_full")
_SUMS: Final = ("total_milli", "claimed_milli", "held_milli", "shadow_milli", "faulty_milli", "free_milli", "free_mib")


class CapacityRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a pool has of a model, in milli-devices: total = claimed + held + shadow + faulty + free.

    ``model`` is null where a resource of the platform covers several models. ``devices`` and ``free_devices`` count
    whole devices, or units where the platform counts those. People of projects are told only whether any is left.
    """

    id: int
    pool: str
    pool_id: UUID
    model: str | None
    vendor: str | None
    profile: str | None
    is_full: bool
    devices: int | UnsetType = UNSET
    free_devices: int | UnsetType = UNSET
    total_milli: int | UnsetType = UNSET
    claimed_milli: int | UnsetType = UNSET
    held_milli: int | UnsetType = UNSET
    shadow_milli: int | UnsetType = UNSET
    faulty_milli: int | UnsetType = UNSET
    free_milli: int | UnsetType = UNSET
    free_mib: int | UnsetType = UNSET


def page(*, params: Mapping[str, str], cursor: str | None, limit: int, access: Access) -> Page[CapacityRow]:
    """Return the sums of each pool that one may know of. One query, more for names in filters. Raises Invalid."""
    told = CapacityRow.__struct_fields__ if access.everywhere("pool", "read") else _TOLD_TO_ALL
    found = _cut(params, cursor, limit, access)
    return pages.mapped(found, lambda row: CapacityRow(**{name: row[name] for name in told}))


def _cut(params: Mapping[str, str], cursor: str | None, limit: int, access: Access) -> Page[dict[str, Any]]:
    wanted = filters.read(params, FILTERS)
    query = CapacityRollup.objects.filter(
        Q(units__gt=0) | Q(claimed_milli__gt=0) | Q(held_milli__gt=0),
        rights.pools(access, column="pool"),
        kind__in=("cards", "counter"),
        is_advisory=False,
        pool__removed_at=None,
    )
    if "pool" in wanted:
        query = query.filter(pool__in=references.pool_ids(wanted["pool"], access))
    if "vendor" in wanted or "model" in wanted:
        query = query.filter(model__in=references.models_of(wanted.get("vendor"), wanted.get("model")))
    if "profile" in wanted:
        query = query.filter(profile__in=wanted["profile"])
    return pages.mapped(pages.cut(_columns(query), pages.BY_NUMBER, cursor, limit), _row)


def _columns(query: QuerySet[CapacityRollup]) -> QuerySet[Any, Any]:
    rows: QuerySet[Any, Any] = query.values("id", "pool_id", "profile", "units", "free_whole", *_SUMS, **_NAMES)
    return rows


def _row(found: Mapping[str, Any]) -> dict[str, Any]:
    row = dict(found)
    renamed = {"pool": "pool_name", "model": "model_slug", "devices": "units", "free_devices": "free_whole"}
    named = {name: row.pop(column) for name, column in renamed.items()}
    return {**row, **named, "is_full": row["free_milli"] <= 0}
