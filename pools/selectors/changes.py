"""What sync runs changed."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from pools.domain import filters
from pools.domain.access import Access
from pools.domain.errors import RunMissing
from pools.models import InventoryChange, SyncRun
from pools.selectors import access as rights
from pools.selectors import pages
from pools.selectors.pages import Page

ACTIONS: Final = ("created", "changed", "moved", "missing", "returned", "retired", "held")
FILTERS: Final = {
    "action": filters.some_of(ACTIONS),
    "object_kind": filters.some_of(("node", "device")),
}


class ChangeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One object that a run changed: ``before`` and ``after`` hold only the fields that differ."""

    id: int
    at: datetime
    run_id: UUID
    object_kind: str
    object_id: UUID
    object_name: str
    action: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def of_run(
    *, run_id: UUID, params: Mapping[str, str], cursor: str | None, limit: int, access: Access
) -> Page[ChangeRow]:
    """Return the changes of a run in their order. Two queries. Raises RunMissing, Invalid."""
    wanted = filters.read(params, FILTERS)
    if not SyncRun.objects.filter(rights.pools(access, "sync_run", column="pool"), pk=run_id).exists():
        raise RunMissing
    named = {f"{name}__in": values for name, values in wanted.items()}
    return _cut(InventoryChange.objects.filter(run_id=run_id, **named), pages.BY_NUMBER, cursor, limit)


def of_object(*, object_id: UUID, params: Mapping[str, str], cursor: str | None, limit: int) -> Page[ChangeRow]:
    """Return what happened to one node or device, the newest first. One query. Raises Invalid."""
    filters.read(params, {})
    return _cut(InventoryChange.objects.filter(object_id=object_id), pages.NEWEST_NUMBER_FIRST, cursor, limit)


def _cut(query: Any, order: pages.Order, cursor: str | None, limit: int) -> Page[ChangeRow]:
    found = pages.cut(query.values(*ChangeRow.__struct_fields__), order, cursor, limit)
    return pages.mapped(found, lambda row: ChangeRow(**row))
