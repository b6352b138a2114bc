"""From the names that people use to ids, and from label selectors to conditions."""

import re
from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

from django.db.models import Q

from pools.domain import filters
from pools.domain.errors import PoolMissing
from pools.domain.labels import Requirement
from pools.models import ChipModel, Pool

_NAME: Final = re.compile(r"[a-z0-9-]{1,63}")
_NAMES_TRIED: Final = 1000


def pool_id(reference: str) -> UUID:
    """Return the id of the pool with this name or id. Raises PoolMissing, also for one that was removed."""
    by_id = filters.as_uuid(reference)
    if by_id is None and not _NAME.fullmatch(reference):
        raise PoolMissing
    condition = Q(pk=by_id) if by_id else Q(name=reference)
    pk = Pool.objects.filter(condition, removed_at=None).values_list("pk", flat=True).first()
    if pk is None:
        raise PoolMissing
    return pk


def pool_ids(references: Collection[str]) -> list[UUID]:
    """Return the ids of several pools by name or id, in one query. Raises Invalid that names the nearest name."""
    ids = {pk for word in references if (pk := filters.as_uuid(word))}
    names = {word for word in references if filters.as_uuid(word) is None}
    found = list(Pool.objects.filter(Q(pk__in=ids) | Q(name__in=names, removed_at=None)).values_list("pk", "name"))
    known = {reference for pk, name in found for reference in (str(pk), name)}
    for word in references:
        if word.lower() not in known:
            raise filters.unknown("pool", word, _pool_names())
    return [pk for pk, _ in found]


def model_ids(slugs: Collection[str]) -> list[UUID]:
    """Return the ids of several models by slug, in one query. Raises Invalid that names the nearest slug."""
    found = dict(ChipModel.objects.filter(slug__in=slugs).values_list("slug", "pk"))
    for slug in slugs:
        if slug not in found:
            known = ChipModel.objects.order_by("slug").values_list("slug", flat=True)[:_NAMES_TRIED]
            raise filters.unknown("model", slug, list(known))
    return list(found.values())


def labelled(requirements: Sequence[Requirement], *columns: str) -> Q:
    """Return the condition that the labels in one of the JSON columns meet every requirement."""
    condition = Q()
    for wanted in requirements:
        found = Q()
        for column in columns:
            found |= Q(**_looks(column, wanted))
        condition &= found if wanted.operator == "is" else ~found
    return condition


def _looks(column: str, wanted: Requirement) -> dict[str, Any]:
    if wanted.value is None:
        return {f"{column}__has_key": wanted.key}
    return {f"{column}__contains": {wanted.key: wanted.value}}


def _pool_names() -> list[str]:
    return list(Pool.objects.filter(removed_at=None).order_by("name").values_list("name", flat=True)[:_NAMES_TRIED])
