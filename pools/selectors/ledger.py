"""Who held how much from when to when: pairs of the ledger's events as rows, one for each device."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db import connection

from pools.domain import filters
from pools.domain.access import Access
from pools.models import Project
from pools.selectors import access as rights
from pools.selectors import pages, projects, references
from pools.selectors.pages import Page

FILTERS: Final = {
    "from": filters.instant,
    "to": filters.instant,
    "project": filters.words,
    "under": filters.words,
    "pool": filters.words,
    "allocation": filters.words,
    "kind": filters.some_of(("hold", "reserve", "use")),
}
_IN_ORDER: Final = pages.Order(("xid", "event_id", "place"), tuple[pages.Number, pages.Number, pages.Number])
# An event lasts until the next of the same thing; of what was given back the milli are 0. Devices only: what was taken
# of hosts is CPU. The place is said twice, since indexes know no positions.
_ROWS: Final = """
SELECT e.id, p.at, e.allocation_id, a.name, t.path, pool.name, m.slug, c.profile, c.device_ids[p.place],
    e.milli / cardinality(e.positions), e.price_per_hour / cardinality(e.positions), e.at, next.at, e.kind, e.certainty,
    e.corrects, e.xid::text
FROM ledger_event e JOIN allocation a ON a.id = e.allocation_id JOIN project t ON t.id = e.project_id
    JOIN capacity c ON c.id = e.capacity_id AND c.kind <> 'host' JOIN pool ON pool.id = e.pool_id
    LEFT JOIN chip_model m ON m.id = c.model_id
    CROSS JOIN LATERAL unnest(e.positions) WITH ORDINALITY p (place, at)
    LEFT JOIN LATERAL (
        SELECT at FROM ledger_event n WHERE n.allocation_id = e.allocation_id AND n.member_index = e.member_index
            AND n.capacity_id = e.capacity_id AND n.kind = e.kind AND n.id > e.id ORDER BY n.id LIMIT 1) next ON true
WHERE e.milli > 0 AND (e.xid, e.id) >= (%(xid)s::xid8, %(event_id)s)
    AND (e.xid, e.id, p.at) > (%(xid)s::xid8, %(event_id)s, %(place)s)
    AND (%(to)s::timestamptz IS NULL OR e.at < %(to)s)
    AND (%(from)s::timestamptz IS NULL OR next.at IS NULL OR next.at > %(from)s)
    AND (%(projects)s::uuid[] IS NULL OR e.project_id = ANY(%(projects)s))
    AND (%(pools)s::uuid[] IS NULL OR e.pool_id = ANY(%(pools)s))
    AND (%(allocations)s::uuid[] IS NULL OR e.allocation_id = ANY(%(allocations)s))
    AND (%(kinds)s::text[] IS NULL OR e.kind = ANY(%(kinds)s))
ORDER BY e.xid, e.id, p.at LIMIT %(limit)s
"""


class LedgerRow(msgspec.Struct, frozen=True, kw_only=True):
    """An interval [from, to) in which an allocation had so much of a device; ``to_at`` null: it still has.

    ``device`` is null where the platform tells none. ``kind``: a hold is never billed, reserve is from the claim until
    it can be used, then use. ``certainty``: assigned by us, observed, or unknown. ``price_per_hour`` is of this row.
    """

    event_id: int
    place: int
    allocation: UUID
    name: str
    project: str
    pool: str
    model: str | None
    profile: str | None
    device: UUID | None
    milli: int
    price_per_hour: Decimal | None
    from_at: datetime
    to_at: datetime | None
    kind: str
    certainty: str
    corrects: int | None


def page(*, params: Mapping[str, str], cursor: str | None, limit: int, access: Access) -> Page[LedgerRow]:
    """Return what was held between two instants, in the order in which it began. Raises Invalid.

    One query, more for names in filters and for projects in which one may read the ledger.
    """
    wanted = filters.read(params, FILTERS)
    xid, event_id, place = pages.decode(cursor, _IN_ORDER) if cursor else (0, 0, 0)
    behind = {"xid": str(xid), "event_id": event_id, "place": place, "limit": limit + 1}
    with connection.cursor() as database:
        database.execute(_ROWS, _params(wanted, access) | behind)
        found = database.fetchall()
    rows = [LedgerRow(**dict(zip(LedgerRow.__struct_fields__, row[:-1], strict=True))) for row in found[:limit]]
    if len(found) <= limit:
        return Page(rows, None)
    return Page(rows, pages.encode([int(found[limit - 1][-1]), rows[-1].event_id, rows[-1].place]))


def _params(wanted: Mapping[str, Any], access: Access) -> dict[str, Any]:
    visible = Project.objects.all()
    is_limited = not access.everywhere("ledger", "read")
    if is_limited:
        visible = visible.filter(rights.projects(access, "ledger"))
    if "project" in wanted:
        visible = visible.filter(pk__in=projects.project_ids(wanted["project"], access))
    if "under" in wanted:
        visible = visible.filter(lineage__overlap=projects.project_ids(wanted["under"], access))
    is_limited = is_limited or "project" in wanted or "under" in wanted
    of_allocations = (
        [pk for word in wanted["allocation"] if (pk := filters.as_uuid(word))] if "allocation" in wanted else None
    )
    return {
        "from": wanted.get("from"),
        "to": wanted.get("to"),
        "projects": list(visible.values_list("pk", flat=True)) if is_limited else None,
        "pools": references.pool_ids(wanted["pool"], access) if "pool" in wanted else None,
        "allocations": of_allocations,
        "kinds": list(wanted["kind"]) if "kind" in wanted else None,
    }
