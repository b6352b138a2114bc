"""Sync runs as people and programs see them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db.models import F, QuerySet

from pools.domain import filters, states
from pools.domain.access import Access
from pools.domain.errors import RunMissing
from pools.models import SyncRun
from pools.selectors import access as rights
from pools.selectors import pages, references
from pools.selectors.pages import Page

FILTERS: Final = {
    "pool": filters.words,
    "state": filters.some_of(states.RUN_STATES),
    "trigger": filters.some_of(states.RUN_TRIGGERS),
    "kind": filters.some_of(states.RUN_KINDS),
    "is_dry_run": filters.flag,
}


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """One observation of a pool. seen … retired count nodes and devices together; ``counts`` has them apart.

    ``hold`` says what waits for a person. ``error`` is {code, message, platform_words}. ``phases`` is in seconds.
    """

    id: UUID
    pool: UUID
    pool_name: str
    kind: str
    trigger: str
    state: str
    is_dry_run: bool
    complete: bool
    seen: int
    created: int
    changed: int
    unchanged: int
    missing: int
    retired: int
    counts: dict[str, Any]
    pages: int
    byte_count: int
    warnings: list[Any]
    error: dict[str, Any] | None
    hold: dict[str, Any] | None
    phases: dict[str, Any]
    actor: str
    request_id: str
    decided_by: str
    queued_at: datetime
    started_at: datetime | None
    heartbeat_at: datetime | None
    ended_at: datetime | None


class RunDetail(RunRow, frozen=True, kw_only=True):
    """A run with what a dry run would change first."""

    preview: Any


def page(*, params: Mapping[str, str], cursor: str | None, limit: int, access: Access) -> Page[RunRow]:
    """Return runs, the newest first. One query, one more for names of pools in the filter. Raises Invalid."""
    query = _columns(matching(params, access), RunRow)
    return pages.mapped(pages.cut(query, pages.NEWEST_RUN_FIRST, cursor, limit), _row)


def matching(params: Mapping[str, str], access: Access) -> QuerySet[SyncRun]:
    """Return the runs that the filters let through. One query for names of pools in the filter. Raises Invalid."""
    wanted = filters.read(params, FILTERS)
    query = SyncRun.objects.filter(rights.pools(access, "sync_run", column="pool"))
    if "pool" in wanted:
        query = query.filter(pool__in=references.pool_ids(wanted["pool"], access))
    for name in ("state", "trigger", "kind"):
        if name in wanted:
            query = query.filter(**{f"{name}__in": wanted[name]})
    if "is_dry_run" in wanted:
        query = query.filter(is_dry_run=wanted["is_dry_run"])
    return query


def one(run_id: UUID, access: Access) -> RunDetail:
    """Return one run with its preview. One query. Raises RunMissing."""
    row = _columns(
        SyncRun.objects.filter(rights.pools(access, "sync_run", column="pool"), pk=run_id), RunDetail
    ).first()
    if row is None:
        raise RunMissing
    return RunDetail(pool=row.pop("of_pool"), **row)


def _columns(query: QuerySet[SyncRun], shape: type[RunRow]) -> QuerySet[Any, Any]:
    plain = [name for name in shape.__struct_fields__ if name not in ("pool", "pool_name")]
    rows: QuerySet[Any, Any] = query.values(*plain, of_pool=F("pool_id"), pool_name=F("pool__name"))
    return rows


def _row(row: dict[str, Any]) -> RunRow:
    return RunRow(pool=row.pop("of_pool"), **row)
