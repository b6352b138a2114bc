"""Drift as people and programs see it, and which pools have targets to compare."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db import connection
from django.db.models import F, Q, QuerySet

from pools.domain import drift as rules
from pools.domain import filters, states, targets
from pools.domain.access import Access
from pools.domain.errors import DriftMissing
from pools.models import Allocation, Drift, Member
from pools.selectors import access as rights
from pools.selectors import pages, references
from pools.selectors.pages import Page

FILTERS: Final = {"pool": filters.words, "state": filters.some_of(rules.STATES)}
_NEWEST_FIRST: Final = pages.Order(("id",), tuple[UUID], is_descending=True)
# A pool that does not answer is asked by its syncs.
_DUE: Final = """
SELECT p.id, p.kind FROM pool p JOIN pool_sync s ON s.pool_id = p.id
WHERE p.state = ANY(%(states)s) AND s.consecutive_failures = 0 AND s.observed_at IS NOT NULL AND EXISTS (
    SELECT FROM target t WHERE t.pool_id = p.id AND t.due_at IS NULL AND t.found IS NOT NULL
        AND t.checked_at < least(s.observed_at, %(before)s))
ORDER BY p.id
"""


class DriftedAllocation(msgspec.Struct, frozen=True, kw_only=True):
    """An allocation with an order on the target. ``is_gone``: nothing of it is there."""

    id: UUID
    name: str
    project: str
    is_gone: bool


class DriftRow(msgspec.Struct, frozen=True, kw_only=True):
    """A target that does not carry on its platform what it shall.

    ``code`` is differs, gone, or that of the platform's refusal; ``calls`` [{verb, object, body}] would make it as
    ordered. ``policy`` is the pool's. ``outcome`` is agrees, repaired, adopted or over.
    """

    id: UUID
    pool: str
    pool_id: UUID
    target_kind: str
    target: str
    node: str | None
    code: str
    state: str
    policy: str
    calls: list[dict[str, Any]]
    trouble: dict[str, Any] | None
    allocations: list[DriftedAllocation]
    may_repair: bool
    may_adopt: bool
    opened_at: datetime
    closed_at: datetime | None
    outcome: str | None


def due_pools(now: datetime) -> list[tuple[UUID, str]]:
    """Return (pool id, kind) of the pools with confirmed targets that were not looked at lately. One query."""
    before = now - timedelta(seconds=rules.COMPARE_SECONDS)
    with connection.cursor() as cursor:
        cursor.execute(_DUE, {"states": list(states.POOL_STATES_SYNCED), "before": before})
        return list(cursor.fetchall())


def page(*, params: Mapping[str, str], cursor: str | None, limit: int, access: Access) -> Page[DriftRow]:
    """Return drift, the newest first; what is over if asked for. Three queries, one more by names of pools."""
    wanted = filters.read(params, FILTERS)
    query = Drift.objects.filter(rights.pools(access, "drift", column="pool"))
    if "pool" in wanted:
        query = query.filter(pool__in=references.pool_ids(wanted["pool"], access))
    query = query.filter(state__in=wanted["state"]) if "state" in wanted else query.filter(closed_at=None)
    found = pages.cut(_columns(query), _NEWEST_FIRST, cursor, limit)
    orders = _allocations(found.rows)
    return pages.mapped(found, lambda row: _row(row, orders))


def one(drift_id: UUID, access: Access) -> DriftRow:
    """Return one. Three queries. Raises DriftMissing."""
    rows = list(_columns(Drift.objects.filter(rights.pools(access, "drift", column="pool"), pk=drift_id)))
    if not rows:
        raise DriftMissing
    return _row(rows[0], _allocations(rows))


def _columns(query: QuerySet[Drift]) -> QuerySet[Any, Any]:
    rows: QuerySet[Any, Any] = query.values(
        *(
            "id",
            "pool_id",
            "target_id",
            "code",
            "state",
            "calls",
            "trouble",
            "gone",
            "opened_at",
            "closed_at",
            "outcome",
        ),
        pool_name=F("pool__name"),
        policy=F("pool__drift_policy"),
        target_kind=F("target__kind"),
        target_ref=F("target__ref"),
        node_name=F("target__node__name"),
    )
    return rows


def _allocations(rows: list[dict[str, Any]]) -> dict[UUID, list[tuple[UUID, str, str]]]:
    """Return (id, name, project) of the allocations on each target."""
    on = Member.objects.filter(
        Q(order_state__in=states.ORDER_PRESENT), target_id__in=[row["target_id"] for row in rows]
    ).values_list("target_id", "allocation_id")
    pairs = sorted(set(on))
    found = Allocation.objects.filter(id__in={id for _, id in pairs}).values_list("id", "name", "project__path")
    named = {id: (id, name, path) for id, name, path in found}
    orders: dict[UUID, list[tuple[UUID, str, str]]] = {}
    for target_id, allocation_id in pairs:
        if target_id is not None and allocation_id in named:
            orders.setdefault(target_id, []).append(named[allocation_id])
    return orders


def _row(found: dict[str, Any], orders: Mapping[UUID, list[tuple[UUID, str, str]]]) -> DriftRow:
    row = dict(found)
    gone = set(row.pop("gone"))
    is_open = row["state"] in ("open", "ignored")
    return DriftRow(
        pool=row.pop("pool_name"),
        target=row.pop("target_ref"),
        node=row.pop("node_name"),
        allocations=[
            DriftedAllocation(id=id, name=name, project=path, is_gone=str(id) in gone)
            for id, name, path in orders.get(row.pop("target_id"), ())
        ],
        may_repair=is_open and row["code"] != targets.NOT_OURS,
        may_adopt=is_open and bool(gone),
        **row,
    )
