"""What happened to an allocation, for those who may see it: its part of the audit."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from pools.models import AuditEvent
from pools.selectors import pages
from pools.selectors.pages import Page

_COLUMNS = ("id", "at", "action", "actor", "reason", "before", "after")


class AllocationEventRow(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was done, by whom: a person, a program, or ``system``."""

    id: int
    at: datetime
    action: str
    actor: str
    reason: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def page(*, allocation_id: UUID, cursor: str | None, limit: int) -> Page[AllocationEventRow]:
    """Return the events of an allocation, the latest first. One query. Raises Invalid."""
    query = AuditEvent.objects.filter(object_kind="allocation", object_id=str(allocation_id)).values(*_COLUMNS)
    return pages.mapped(pages.cut(query, pages.NEWEST_NUMBER_FIRST, cursor, limit), _row)


def _row(found: Mapping[str, Any]) -> AllocationEventRow:
    return AllocationEventRow(**found)
