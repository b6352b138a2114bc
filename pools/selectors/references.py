"""From the names that people use to ids, and from label selectors to conditions."""

import re
from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

from django.db.models import Q
from psycopg.types.json import Jsonb

from pools.domain import filters
from pools.domain.access import Access
from pools.domain.errors import Denied, PoolMissing, ProjectMissing, UserMissing
from pools.domain.labels import Requirement
from pools.models import ChipModel, Pool, Project, User
from pools.selectors import access as rights

_NAME: Final = re.compile(r"[a-z0-9-]{1,63}")
_PATH: Final = re.compile(r"[a-z0-9-]{1,63}(?:/[a-z0-9-]{1,63}){0,7}")
_NAMES_TRIED: Final = 1000


def pool_id(
    reference: str, access: Access, *, noun: str = "pool", verb: str = "read", also_removed: bool = False
) -> UUID:
    """Return the id of the pool with this name or id, for somebody who wants to do this to it. One query.

    Raises PoolMissing, also for a pool that the caller may not know of, and for a removed one unless ``also_removed``
    and given by its id; Denied for one that may be known and not touched.
    """
    by_id = filters.as_uuid(reference)
    if by_id is None and not _NAME.fullmatch(reference):
        raise PoolMissing
    condition = Q(pk=by_id) if by_id else Q(name=reference)
    if by_id is None or not also_removed:
        condition &= Q(removed_at=None)
    pk = Pool.objects.filter(condition, rights.pools(access)).values_list("pk", flat=True).first()
    if pk is None:
        raise PoolMissing
    if verb != "read" and not access.everywhere(noun, verb):
        raise Denied
    return pk


def pool_ids(references: Collection[str], access: Access) -> list[UUID]:
    """Return the ids of several pools by name or id, in one query. Raises Invalid that names the nearest name."""
    ids = {pk for word in references if (pk := filters.as_uuid(word))}
    names = {word for word in references if filters.as_uuid(word) is None}
    named = Pool.objects.filter(Q(pk__in=ids) | Q(name__in=names, removed_at=None), rights.pools(access))
    found = list(named.values_list("pk", "name"))
    known = {reference for pk, name in found for reference in (str(pk), name)}
    for word in references:
        if word.lower() not in known:
            raise filters.unknown("pool", word, _pool_names(access))
    return [pk for pk, _ in found]


def project(
    reference: str, access: Access, *, noun: str = "project", verb: str = "read", above: bool = False
) -> Project:
    """Return the project with this path or id, for somebody who wants to do this to the noun in it. One query.

    ``above``: the right is needed in the project above it, as for what its own people may not decide.
    Raises ProjectMissing, also for a project that the caller may not know of; Denied for one that may be known.
    """
    by_id = filters.as_uuid(reference)
    if by_id is None and not _PATH.fullmatch(reference):
        raise ProjectMissing
    condition = Q(pk=by_id) if by_id else Q(path=reference) & ~Q(state="archived")
    found = Project.objects.filter(condition, rights.projects(access)).first()
    if found is None:
        raise ProjectMissing
    if (noun, verb) != ("project", "read") and not access.within(
        noun, verb, found.lineage[:-1] if above else found.lineage
    ):
        raise Denied
    return found


def user_id(reference: str, access: Access, *, noun: str = "user", verb: str = "read") -> UUID:
    """Return the id of the user with this name or id, for somebody who wants to do this to the noun. One query.

    Raises UserMissing, also for whoever may not know of users; Denied.
    """
    by_id = filters.as_uuid(reference)
    condition = Q(pk=by_id) if by_id else Q(username=reference.replace("\x00", ""))
    found = User.objects.filter(condition).values_list("pk", flat=True).first()
    if found is None or not access.everywhere(noun, "read"):
        raise UserMissing
    if verb != "read" and not access.everywhere(noun, verb):
        raise Denied
    return found


def model_ids(slugs: Collection[str]) -> list[UUID]:
    """Return the ids of several models by slug, in one query. Raises Invalid that names the nearest slug."""
    found = dict(ChipModel.objects.filter(slug__in=slugs).values_list("slug", "pk"))
    for slug in slugs:
        if slug not in found:
            known = ChipModel.objects.order_by("slug").values_list("slug", flat=True)[:_NAMES_TRIED]
            raise filters.unknown("model", slug, list(known))
    return list(found.values())


def models_of(vendors: Collection[str] | None, slugs: Collection[str] | None) -> list[UUID]:
    """Return the ids of the models of these vendors, with these slugs, or both. Raises Invalid for unknown slugs."""
    if vendors is None:
        return model_ids(slugs or ())
    of_vendors = set(ChipModel.objects.filter(vendor__in=vendors).values_list("pk", flat=True))
    return list(of_vendors if slugs is None else of_vendors.intersection(model_ids(slugs)))


def labelled(requirements: Sequence[Requirement], *columns: str) -> Q:
    """Return the condition that the labels in one of the JSON columns meet every requirement."""
    condition = Q()
    for wanted in requirements:
        found = Q()
        for column in columns:
            found |= Q(**_looks(column, wanted))
        condition &= found if wanted.operator == "is" else ~found
    return condition


def labelled_in_sql(number: int, wanted: Requirement) -> str:
    """Return the same condition on the node ``n`` and its pool, for the requirement of this number."""
    looks = f"? %(label_{number})s" if wanted.value is None else f"@> %(label_{number})s"
    found = f"(n.labels {looks} OR n.pool_id IN (SELECT id FROM pool WHERE labels {looks}))"
    return found if wanted.operator == "is" else f"NOT {found}"


def label_params(requirements: Sequence[Requirement]) -> dict[str, Any]:
    """Return the parameters that ``labelled_in_sql`` refers to."""
    return {
        f"label_{number}": wanted.key if wanted.value is None else Jsonb({wanted.key: wanted.value})
        for number, wanted in enumerate(requirements)
    }


def _looks(column: str, wanted: Requirement) -> dict[str, Any]:
    if wanted.value is None:
        return {f"{column}__has_key": wanted.key}
    return {f"{column}__contains": {wanted.key: wanted.value}}


def _pool_names(access: Access) -> list[str]:
    return list(
        Pool.objects.filter(rights.pools(access), removed_at=None)
        .order_by("name")
        .values_list("name", flat=True)[:_NAMES_TRIED]
    )
