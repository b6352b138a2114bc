"""What people and programs did."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from pools.domain import filters
from pools.models import AuditEvent
from pools.selectors import pages
from pools.selectors.pages import Page

FILTERS: Final = {
    "actor": filters.words,
    "action": filters.words,
    "object_kind": filters.words,
    "object_id": filters.words,
    "request_id": filters.words,
}


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    """One write, by whom, in which request, with what it changed; secrets are ``***``."""

    id: int
    at: datetime
    actor: str
    request_id: str
    action: str
    object_kind: str
    object_id: str
    object_name: str
    reason: str
    before: Any
    after: Any


def page(*, params: Mapping[str, str], cursor: str | None, limit: int) -> Page[AuditRow]:
    """Return audit rows, the newest first. One query. Raises Invalid."""
    wanted = {f"{name}__in": values for name, values in filters.read(params, FILTERS).items()}
    query = AuditEvent.objects.filter(**wanted).values(*AuditRow.__struct_fields__)
    return pages.mapped(pages.cut(query, pages.NEWEST_NUMBER_FIRST, cursor, limit), lambda row: AuditRow(**row))
