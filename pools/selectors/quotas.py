"""A project's quotas with what is used, borrowed and left of each."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from pools.domain import quotas
from pools.domain.access import Access
from pools.domain.quotas import Row
from pools.models import Pool, Project, Quota
from pools.selectors import access as rights

_COLUMNS: Final = tuple(field.name for field in fields(Row))


class QuotaRow(msgspec.Struct, frozen=True, kw_only=True):
    """How much a project and all below may have at once, of a model, of a profile of it, or (``model`` null) of all.

    Milli-devices; where ``model`` is null milli compute units. ``pools`` are names (ids of pools that are gone), null
    is all. Limits of null: borrow without limit, lend all, no hard limit. ``borrowed_milli`` is what is used beyond the
    nominal, ``lent_milli`` what of the nominal cannot be had just now because others use it, ``available_milli`` what
    these rows and those above still give. ``parent`` is the project whose row of the same scope is right above, and
    ``parent_limit_milli`` what that may use at most: null where there is none, or none that the caller may see.
    """

    id: UUID
    model: str | None
    profile: str | None
    pools: list[str] | None
    nominal_milli: int
    borrow_limit_milli: int | None
    lend_limit_milli: int | None
    hard_limit_milli: int | None
    weight: int
    used_milli: int
    borrowed_milli: int
    lent_milli: int
    available_milli: int
    parent: str | None
    parent_limit_milli: int | None
    changed_at: datetime


def of_project(project: Project, access: Access) -> list[QuotaRow]:
    """Return the quotas of a project in the order of their making. One query, one more when any names pools."""
    return of_projects({project.pk: project.lineage}, access).get(project.pk, [])


def of_projects(lineages: Mapping[UUID, Sequence[UUID]], access: Access) -> dict[UUID, list[QuotaRow]]:
    """Return the quotas of several projects, by project; ``lineages`` are the ids from the root down to each."""
    above = {project_id for lineage in lineages.values() for project_id in lineage}
    query = Quota.objects.filter(project__in=above).order_by("id")
    found = list(query.values(*_COLUMNS, "model__slug", "project__path", "project__lineage", "changed_at"))
    rows = {each["id"]: Row(**{name: each[name] for name in _COLUMNS}) for each in found}
    own = [each for each in found if each["project_id"] in lineages]
    pools = _names({pool_id for each in own for pool_id in each["pools"] or ()}, access)
    seen = {each["id"]: each for each in found if access.within("quota", "read", each["project__lineage"])}
    by_project: dict[UUID, list[QuotaRow]] = defaultdict(list)
    for each in own:
        by_project[each["project_id"]].append(_row(each, _chain(rows[each["id"]], rows), pools, seen))
    return by_project


def _names(pool_ids: Collection[UUID], access: Access) -> dict[UUID, str]:
    """Return the names by which these pools can be named again: that of one which is gone may be another's."""
    if not pool_ids:
        return {}
    live = Pool.objects.filter(rights.pools(access), pk__in=pool_ids, removed_at=None)
    return dict(live.values_list("pk", "name"))


def _chain(row: Row, rows: Mapping[UUID, Row]) -> list[Row]:
    chain = [row]
    while (parent_id := chain[-1].parent_id) is not None:
        chain.append(rows[parent_id])
    return chain


def _row(
    found: Mapping[str, Any], chain: Sequence[Row], pools: Mapping[UUID, str], seen: Mapping[UUID, Mapping[str, Any]]
) -> QuotaRow:
    row, parent = chain[0], chain[1] if len(chain) > 1 and chain[1].id in seen else None
    available = quotas.room(chain)
    own = row.nominal_milli if row.hard_limit_milli is None else min(row.nominal_milli, row.hard_limit_milli)
    return QuotaRow(
        id=row.id,
        model=found["model__slug"],
        profile=row.profile,
        pools=None if row.pools is None else sorted(pools.get(each, str(each)) for each in row.pools),
        nominal_milli=row.nominal_milli,
        borrow_limit_milli=row.borrow_limit_milli,
        lend_limit_milli=row.lend_limit_milli,
        hard_limit_milli=row.hard_limit_milli,
        weight=row.weight,
        used_milli=row.used_milli,
        borrowed_milli=row.borrowed_milli,
        lent_milli=max(0, own - row.used_milli - available),
        available_milli=available,
        parent=seen[parent.id]["project__path"] if parent else None,
        parent_limit_milli=parent.limit_milli if parent else None,
        changed_at=found["changed_at"],
    )
