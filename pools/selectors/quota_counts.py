"""What quota rows should count, from the allocations that hold something now."""

from collections.abc import Collection
from dataclasses import fields, replace
from typing import Final, NamedTuple
from uuid import UUID

from django.db import connection

from pools.domain import quota_trees, states
from pools.domain.quotas import Row

# The live ones are summed up first: there are many, and few projects, models and pools that they are of.
_USED: Final = """
WITH live AS MATERIALIZED (
    SELECT a.project_id, a.model_id, a.profile, a.pool_id, sum(a.milli) AS milli, sum(a.units_milli) AS units_milli
    FROM allocation a WHERE a.state = ANY(%(holding)s) GROUP BY a.project_id, a.model_id, a.profile, a.pool_id
), used AS MATERIALIZED (
    SELECT q.id, sum(CASE WHEN q.model_id IS NULL THEN l.units_milli ELSE l.milli END)::bigint AS milli
    FROM live l JOIN project p ON p.id = l.project_id CROSS JOIN unnest(p.lineage) above (project_id)
    JOIN quota q ON q.project_id = above.project_id AND (q.model_id IS NULL OR q.model_id = l.model_id)
        AND (q.profile IS NULL OR q.profile = l.profile) AND (q.pools IS NULL OR l.pool_id = ANY(q.pools))
    GROUP BY q.id
)
"""
_COLUMNS: Final = tuple(field.name for field in fields(Row))
_USED_OF: Final = f"""
{_USED} SELECT q.id, coalesce(u.milli, 0) FROM quota q LEFT JOIN used u ON u.id = q.id WHERE q.id = ANY(%(ids)s)
"""
_ALL: Final = f"""
{_USED} SELECT p.path, m.slug, coalesce(u.milli, 0), {", ".join(f"q.{name}" for name in _COLUMNS)}
FROM quota q JOIN project p ON p.id = q.project_id LEFT JOIN chip_model m ON m.id = q.model_id
LEFT JOIN used u ON u.id = q.id ORDER BY p.path, q.id
"""


class Miscount(NamedTuple):
    """A counter that is not what follows from the allocations. ``model`` is None for compute units."""

    quota_id: UUID
    project: str
    model: str | None
    profile: str | None
    counter: str
    stored_milli: int
    right_milli: int


class Count(NamedTuple):
    """How many rows there are, and what is wrong with them."""

    rows: int
    miscounts: list[Miscount]


def used(quota_ids: Collection[UUID]) -> dict[UUID, int]:
    """Return what these rows should count as used, by id. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_USED_OF, {"holding": list(states.ALLOCATION_HOLDING), "ids": list(quota_ids)})
        return dict(cursor.fetchall())


def checked() -> Count:
    """Count everything anew and compare. One query, so that no claim can come in between."""
    with connection.cursor() as cursor:
        cursor.execute(_ALL, {"holding": list(states.ALLOCATION_HOLDING)})
        found = cursor.fetchall()
    stored = [Row(*values) for _, _, _, *values in found]
    right = [replace(row, used_milli=used_milli) for row, (_, _, used_milli, *_) in zip(stored, found, strict=True)]
    quota_trees.add_up(right)
    return Count(
        len(found),
        [
            Miscount(is_now.id, path, slug, is_now.profile, name, getattr(is_now, name), getattr(should_be, name))
            for (path, slug, *_), is_now, should_be in zip(found, stored, right, strict=True)
            for name in ("used_milli", "open_guarantee_milli")
            if getattr(is_now, name) != getattr(should_be, name)
        ],
    )
