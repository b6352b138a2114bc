"""The change feed: what was done, in an order in which nothing comes late, for whoever keeps up with it."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db.models import BooleanField
from django.db.models.expressions import RawSQL

from pools.domain.access import Access
from pools.models import AuditEvent
from pools.selectors import audit, pages, seals

NOW: Final = "now"
"""In the place of a cursor: what happens from now on."""
_MOVES_EVERY: Final = 4096
_COLUMNS: Final = ("id", "at", "action", "object_kind", "object_id", "object_name", "project_id", "actor", "request_id")


class EventRow(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was done to an object. What the object is now, its own address tells."""

    id: int
    at: datetime
    action: str
    object_kind: str
    object_id: str
    object_name: str
    project_id: UUID | None
    project: str | None
    actor: str
    request_id: str


class Feed(msgspec.Struct, frozen=True, kw_only=True):
    """Events in their order. ``cursor`` is where to go on; ``is_complete``: there is nothing more for now.

    ``version`` changes with the events, and now and then without any, so that who waits long takes a newer cursor.
    """

    rows: list[EventRow]
    cursor: str
    is_complete: bool
    version: str


def after(*, cursor: str | None, limit: int, access: Access) -> Feed:
    """Return what this one may know of and was done behind the cursor; None is the beginning. Two queries.

    Only transactions older than every running one are told of, so that none can commit in front of what was told.
    Raises Invalid.
    """
    horizon = seals.transaction_now()
    if cursor == NOW:
        return _feed([], (horizon, 0), horizon, is_complete=True)
    place = pages.decode(cursor, audit.PLACE) if cursor else seals.BEGINNING
    query = AuditEvent.objects.filter(audit.behind(place), _before(horizon), audit.visible(access, "event"))
    found: Any = query.order_by(audit.BY_XID, "id").values(*_COLUMNS, xid=audit.XID, project=audit.project_path())
    rows = list(found[: limit + 1])
    if len(rows) > limit:
        last = rows[limit - 1]
        return _feed(rows[:limit], (int(last["xid"]), last["id"]), horizon, is_complete=False)
    return _feed(rows, max((horizon, 0), place), horizon, is_complete=True)


def _feed(rows: list[dict[str, Any]], place: tuple[int, int], horizon: int, *, is_complete: bool) -> Feed:
    last = rows[-1]["id"] if rows else 0
    for row in rows:
        del row["xid"]
    return Feed(
        rows=[EventRow(**row) for row in rows],
        cursor=pages.encode(place),
        is_complete=is_complete,
        version=f"{len(rows)}-{last}-{horizon // _MOVES_EVERY}.",
    )


def _before(horizon: int) -> RawSQL:
    """Return the condition on rows of transactions before the horizon; it uses the index."""
    return RawSQL('"audit_event"."xid" < %s::xid8', [str(horizon)], output_field=BooleanField())
