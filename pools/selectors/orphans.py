"""Orphans as people and programs see them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db.models import F, OuterRef, Q, QuerySet, Subquery

from pools.domain import filters, orphans
from pools.domain.access import Access
from pools.domain.errors import OrphanMissing
from pools.models import Allocation, Operation, Orphan
from pools.selectors import access as rights
from pools.selectors import pages, references
from pools.selectors.pages import Page

FILTERS: Final = {
    "pool": filters.words,
    "state": filters.some_of(orphans.STATES),
    "origin": filters.some_of(orphans.ORIGINS),
}
_NEWEST_FIRST: Final = pages.Order(("id",), tuple[UUID], is_descending=True)
_STATES: Final = {
    "open": Q(closed_at=None, reap_asked_at=None),
    "reaping": Q(closed_at=None, reap_asked_at__isnull=False),
    "closed": Q(closed_at__isnull=False),
}


class OrphanRow(msgspec.Struct, frozen=True, kw_only=True):
    """Something on a platform that carries our marker and belongs to no claim that lives.

    ``holder`` is its name on the platform, ``places`` [{node, device}] where it was seen. ``allocation`` had the marker
    last. ``origin`` is seen (by a sync) or left (of a removed pool; ``is_pool_removed`` until another one has it). It
    may be reaped from ``reapable_at`` on; ``trouble`` {code, message, words, class} is what stands in the way of that.
    ``outcome`` is gone, claimed, reaped or adopted.
    """

    id: UUID
    pool: str
    pool_id: UUID
    is_pool_removed: bool
    marker: str
    holder: str
    milli: int
    memory_mib: int
    places: list[dict[str, Any]]
    origin: str
    state: str
    outcome: str | None
    allocation: UUID | None
    allocation_name: str | None
    allocation_state: str | None
    project: str | None
    trouble: dict[str, Any] | None
    opened_at: datetime
    reapable_at: datetime
    reap_asked_at: datetime | None
    closed_at: datetime | None


def page(*, params: Mapping[str, str], cursor: str | None, limit: int, access: Access) -> Page[OrphanRow]:
    """Return orphans, the newest first; those that are over if asked for. One query, one more by names of pools."""
    wanted = filters.read(params, FILTERS)
    query = Orphan.objects.filter(rights.pools(access, "orphan", column="pool"))
    if "pool" in wanted:
        query = query.filter(pool__in=references.pool_ids(wanted["pool"], access))
    if "origin" in wanted:
        query = query.filter(origin__in=wanted["origin"])
    any_of = Q()
    for state in wanted.get("state", ("open", "reaping")):
        any_of |= _STATES[state]
    return pages.mapped(pages.cut(_columns(query.filter(any_of)), _NEWEST_FIRST, cursor, limit), _row)


def one(orphan_id: UUID, access: Access) -> OrphanRow:
    """Return an orphan. One query. Raises OrphanMissing."""
    found = _columns(Orphan.objects.filter(rights.pools(access, "orphan", column="pool"), pk=orphan_id)).first()
    if found is None:
        raise OrphanMissing
    return _row(found)


def _columns(query: QuerySet[Orphan]) -> QuerySet[Any, Any]:
    last = Operation.objects.filter(target_ref=OuterRef("marker"), action="apply").order_by("-id")
    of = Allocation.objects.filter(pk=OuterRef("of_allocation"))
    rows: QuerySet[Any, Any] = query.annotate(
        of_allocation=Subquery(last.values("allocation_id")[:1]),
        allocation_name=Subquery(of.values("name")[:1]),
        allocation_state=Subquery(of.values("state")[:1]),
        of_project=Subquery(of.values("project__path")[:1]),
    ).values(
        *("id", "pool_id", "marker", "holder", "milli", "memory_mib", "places", "origin", "outcome", "opened_at"),
        *("reap_asked_at", "closed_at", "of_allocation", "allocation_name", "allocation_state", "of_project"),
        pool_name=F("pool__name"),
        is_pool_removed=Q(pool__removed_at__isnull=False),
        trouble=F("target__trouble"),
    )
    return rows


def _row(found: dict[str, Any]) -> OrphanRow:
    row = dict(found)
    allocation, project, pool = row.pop("of_allocation"), row.pop("of_project"), row.pop("pool_name")
    if row["reap_asked_at"] is None or row["closed_at"] is not None:
        row["trouble"] = None
    return OrphanRow(
        **row,
        pool=pool,
        allocation=allocation,
        project=project,
        state=orphans.state(is_closed=row["closed_at"] is not None, is_asked=row["reap_asked_at"] is not None),
        reapable_at=orphans.reapable_at(row["opened_at"]),
    )
