"""Which row is above which, and what each keeps for those below it: worked out anew for all rows of a tenant."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from pools.domain.quotas import Row


class Scope(NamedTuple):
    """What a row counts. ``pools`` are sorted; None is all."""

    model_id: UUID | None
    profile: str | None
    pools: tuple[UUID, ...] | None


def scope(model_id: UUID | None, profile: str | None, pools: Collection[UUID] | None) -> Scope:
    """Return the scope, the same for the same pools in whatever order."""
    return Scope(model_id, profile, None if pools is None else tuple(sorted(set(pools))))


def arrange(rows: Collection[Row], lineages: Mapping[UUID, Sequence[UUID]]) -> None:
    """Set ``parent_id`` and ``open_guarantee_milli`` of all rows of a tenant.

    Above a row is that of the same scope at the nearest project further up which has one. ``lineages`` are by project.
    """
    by_scope: dict[Scope, dict[UUID, Row]] = {}
    for row in rows:
        by_scope.setdefault(scope(row.model_id, row.profile, row.pools), {})[row.project_id] = row
    for of_project in by_scope.values():
        for row in of_project.values():
            above = reversed(lineages[row.project_id][:-1])
            row.parent_id = next((of_project[each].id for each in above if each in of_project), None)
    add_up(rows)


def add_up(rows: Collection[Row]) -> None:
    """Set ``open_guarantee_milli`` of all rows from what they use, with their parents as they are."""
    by_id = {row.id: row for row in rows}
    for row in rows:
        row.open_guarantee_milli = 0
    for row in sorted(rows, key=lambda row: -row.depth):  # what is below a row is complete before it
        if row.parent_id is not None:
            by_id[row.parent_id].open_guarantee_milli += row.kept_milli
