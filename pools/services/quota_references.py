"""From the models, profiles and pools that people name in quotas to scopes, all mistakes at once."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

from django.db.models import Q

from pools.domain import filters, quota_fields, quota_trees
from pools.domain.access import Access
from pools.domain.errors import FieldError, Invalid
from pools.domain.quota_fields import QuotaWanted
from pools.domain.quota_trees import Scope
from pools.models import CapacityRollup, ChipModel, Pool, PoolGrant, Profile, Project, Quota
from pools.selectors import access as rights

MISTAKES_MOST: Final = 100
"""Then nobody looks any further: to find what was meant takes time."""


def scopes(project: Project, rows: Sequence[QuotaWanted], access: Access) -> dict[Scope, QuotaWanted]:
    """Return the rows by what they count. Raises Invalid that names every wrong field of every row, up to a bound."""
    wrong = quota_fields.mistakes(rows)
    if wrong and not wrong[0].field:
        raise Invalid(fields=tuple(wrong))  # too many to look them all up
    found = _Found(project, rows, access)
    places: dict[Scope, int] = {}
    for number, row in enumerate(rows):
        mistakes = found.mistakes(f"[{number}]", row)
        if not mistakes and (first := places.setdefault(found.scope(row), number)) != number:
            detail = f"This counts the same as [{first}]; leave one of the two out."
            mistakes = [FieldError(f"[{number}]", "duplicate", detail)]
        wrong += mistakes
        if len(wrong) >= MISTAKES_MOST:
            break
    if wrong:
        raise Invalid(fields=tuple(wrong))
    return {scope: rows[number] for scope, number in places.items()}


class _Found:
    """What the caller may name, read once for all rows, and each kind only when a row names one."""

    def __init__(self, project: Project, rows: Sequence[QuotaWanted], access: Access) -> None:
        self._models: dict[str, UUID] = {}
        self._profiles: dict[UUID | None, set[str]] = {}
        self._pools: dict[str, UUID] = {}
        self._usable: set[UUID] = set()
        if any(row.model is not None for row in rows):
            self._models = dict(ChipModel.objects.order_by("slug").values_list("slug", "pk"))
        if any(row.profile is not None for row in rows):
            # Those of the catalogue, and those that platforms count apart.
            catalogued = Profile.objects.values_list("model_id", "name")
            counted = CapacityRollup.objects.exclude(profile=None).values_list("model_id", "profile")
            for model_id, name in [*catalogued, *counted]:
                self._profiles.setdefault(model_id, set()).add(str(name))
        if any(row.pools for row in rows):
            self._read_pools(project, access)

    def mistakes(self, place: str, row: QuotaWanted) -> list[FieldError]:
        wrong = []
        if row.model is not None and (model_id := _identified(row.model, self._models)) is None:
            wrong.append(_unknown(f"{place}.model", row.model, self._models))
        elif row.model is not None and row.profile is not None:
            profiles = self._profiles.get(model_id, set())
            if row.profile not in profiles:
                wrong.append(_unknown(f"{place}.profile", row.profile, profiles))
        for number, word in enumerate((row.pools or [])[: quota_fields.POOLS_MOST]):
            field, pool_id = f"{place}.pools[{number}]", _identified(word, self._pools)
            if pool_id is None:
                wrong.append(_unknown(field, word, self._pools))
            elif pool_id not in self._usable:
                detail = f'"{word[:64]}" is not granted to this project; grant it first, or leave it out.'
                wrong.append(FieldError(field, "not_granted", detail))
        return wrong

    def scope(self, row: QuotaWanted) -> Scope:
        """Return what a row without mistakes counts."""
        model_id = None if row.model is None else _identified(row.model, self._models)
        pools = None if row.pools is None else [pk for word in row.pools if (pk := _identified(word, self._pools))]
        return quota_trees.scope(model_id, row.profile, pools)

    def _read_pools(self, project: Project, access: Access) -> None:
        live = Pool.objects.filter(rights.pools(access), removed_at=None).order_by("name")
        self._pools = dict(live.values_list("name", "pk"))
        # A row must be able to bind what only projects below may use.
        granted = PoolGrant.objects.filter(Q(project__in=project.lineage) | Q(project__lineage__contains=[project.pk]))
        self._usable = set(granted.values_list("pool_id", flat=True))
        # What a quota names already may stay in it, whatever became of the pool since.
        for pools in Quota.objects.filter(project=project).exclude(pools=None).values_list("pools", flat=True):
            for pool_id in pools or ():
                self._usable.add(pool_id)
                self._pools.setdefault(str(pool_id), pool_id)


def _identified(word: str, known: Mapping[str, UUID]) -> UUID | None:
    """Return the id that a name or id stands for, None when nothing is known by it."""
    by_id = filters.as_uuid(word)
    return by_id if by_id is not None and by_id in known.values() else known.get(word)


def _unknown(field: str, word: str, known: Iterable[str]) -> FieldError:
    names = [name for name in known if filters.as_uuid(name) is None]
    detail = f'"{word[:64]}" is not known. {filters.meant(word, names)}'.rstrip()
    return FieldError(field, "bad_value", detail)
