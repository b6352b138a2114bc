"""The quota rows of a tenant: what is put in the place of a project's, and what follows for all the others."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from pools.domain import quota_trees
from pools.domain.quota_fields import NUMBERS, QuotaWanted
from pools.domain.quota_trees import Scope
from pools.domain.quotas import Row
from pools.models import ChipModel, Pool, Project, Quota
from pools.selectors import quota_counts

_COLUMNS: Final = tuple(field.name for field in fields(Row))
_DERIVED: Final = ("parent_id", "open_guarantee_milli")
_WRITTEN: Final = (*NUMBERS, "parent", "open_guarantee_milli", "used_milli", "generation", "changed_at")


class Difference(NamedTuple):
    """What a project's quotas were and are, as the audit tells it: only rows that differ."""

    before: list[dict[str, Any]]
    after: list[dict[str, Any]]


def replace(project: Project, wanted: Mapping[Scope, QuotaWanted], now: datetime) -> Difference | None:
    """Let the project have exactly these quotas; None when it has them already.

    The caller holds the lock of the tenant's tree. All rows of the tenant are locked by (depth, id): claims wait, and
    those that come after look again, for the generation of every row that they share with the project is raised.
    A new row begins with what is used already. One that goes takes nothing with it: what is used stays used, and
    nothing new is given for lack of a quota. Lowered below what is used, a row only refuses what is new.
    """
    tenant = _locked(project.lineage[0])
    present = {_scope(row): row for row in tenant if row.project_id == project.pk}
    removed = [row for scope, row in present.items() if scope not in wanted]
    new = [_new(project, scope, wanted[scope], now) for scope in wanted if scope not in present]
    edited = [row for scope, row in present.items() if scope in wanted and _numbers(row) != _numbers(wanted[scope])]
    if not (removed or new or edited):
        return None
    before = _told([*removed, *edited])
    for row in edited:
        for name in NUMBERS:
            setattr(row, name, getattr(wanted[_scope(row)], name))
    _insert(new)
    gone = {row.pk for row in removed}
    left = [*(row for row in tenant if row.pk not in gone), *new]
    touched = _arranged(left, {row.pk for row in edited}, now)
    if removed or new:
        touched |= {row.pk for row in left if _shares_claims(row.project, project)}
    _update([row for row in left if row.pk in touched])
    Quota.objects.filter(pk__in=gone).delete()  # last: until now rows below referred to them
    return Difference(before, _told([*new, *edited]))


def _locked(root_id: UUID) -> list[Quota]:
    rows = Quota.objects.filter(project__lineage__contains=[root_id]).select_related("project")
    return list(rows.select_for_update(of=("self",), no_key=True).order_by("depth", "id"))


def _scope(row: Quota) -> Scope:
    return quota_trees.scope(row.model_id, row.profile, row.pools)


def _numbers(row: Quota | QuotaWanted) -> list[int | None]:
    return [getattr(row, name) for name in NUMBERS]


def _new(project: Project, scope: Scope, wanted: QuotaWanted, now: datetime) -> Quota:
    return Quota(
        project=project,
        model_id=scope.model_id,
        profile=scope.profile,
        pools=None if scope.pools is None else list(scope.pools),
        depth=len(project.lineage),
        created_at=now,
        changed_at=now,
        **dict(zip(NUMBERS, _numbers(wanted), strict=True)),
    )


def _insert(new: list[Quota]) -> None:
    Quota.objects.bulk_create(new)
    used = quota_counts.used([row.pk for row in new])
    for row in new:
        row.used_milli = used[row.pk]


def _arranged(rows: list[Quota], edited: set[UUID], now: datetime) -> set[UUID]:
    """Put parents and open guarantees right; return the ids of rows that differ from the database."""
    found = [Row(**{name: getattr(row, name) for name in _COLUMNS}) for row in rows]
    quota_trees.arrange(found, {row.project_id: row.project.lineage for row in rows})
    touched = set(edited)
    for row, is_now in zip(rows, found, strict=True):
        for name in _DERIVED:
            if getattr(row, name) != getattr(is_now, name):
                setattr(row, name, getattr(is_now, name))
                touched.add(row.pk)
        if row.pk in edited:
            row.changed_at = now
    return touched


def _shares_claims(one: Project, other: Project) -> bool:
    """True when a claim may count in rows of both: one is above the other."""
    return one.pk in other.lineage or other.pk in one.lineage


def _update(rows: list[Quota]) -> None:
    for row in rows:
        row.generation += 1
    Quota.objects.bulk_update(rows, _WRITTEN, 500)


def _told(rows: list[Quota]) -> list[dict[str, Any]]:
    slugs = dict(ChipModel.objects.filter(pk__in={row.model_id for row in rows}).values_list("pk", "slug"))
    pool_ids = {pool_id for row in rows for pool_id in row.pools or ()}
    names = dict(Pool.objects.filter(pk__in=pool_ids).values_list("pk", "name")) if pool_ids else {}
    return [
        {
            "model": slugs[row.model_id] if row.model_id else None,
            "profile": row.profile,
            "pools": None if row.pools is None else sorted(names[pool_id] for pool_id in row.pools),
            **dict(zip(NUMBERS, _numbers(row), strict=True)),
        }
        for row in rows
    ]
