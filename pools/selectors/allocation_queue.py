"""Those who wait, in the order in which they come, as far as the caller may know of them."""

from typing import Final
from uuid import UUID

from django.db.models import BooleanField, F
from django.db.models.expressions import RawSQL

from pools.domain.access import Access
from pools.models import Allocation, Project
from pools.selectors import access as rights
from pools.selectors import allocations, pages
from pools.selectors.allocations import AllocationRow
from pools.selectors.pages import Instant, Order, Page

_ORDER: Final = Order(("priority", "is_borrowed", "queued_at", "id"), tuple[int, bool, Instant, UUID])


def page(*, cursor: str | None, limit: int, access: Access) -> Page[AllocationRow]:
    """Return allocations that wait, the next one first: by priority, over-quota last, then by age.

    ``queue.position`` counts all who wait. Four queries. Raises Invalid for a cursor that is none of ours.
    """
    query = Allocation.objects.filter(state="queued")
    if not access.everywhere("allocation", "read"):
        query = query.filter(project__in=Project.objects.filter(rights.projects(access, "allocation")))
    if cursor:
        priority, is_borrowed, queued_at, id = pages.decode(cursor, _ORDER)
        behind = RawSQL(
            "(-allocation.priority, allocation.is_borrowed, allocation.queued_at, allocation.id) > (%s, %s, %s, %s)",
            (-priority, is_borrowed, queued_at, id),
            output_field=BooleanField(),
        )
        query = query.filter(behind)
    ordered = query.order_by(F("priority").desc(), "is_borrowed", "queued_at", "id")
    found = list(ordered.values_list(*_ORDER.columns)[: limit + 1])
    rows = allocations.some([each[-1] for each in found[:limit]])
    place = {each[-1]: number for number, each in enumerate(found)}
    return Page(
        sorted(rows, key=lambda row: place[row.id]), pages.encode(found[limit - 1]) if len(found) > limit else None
    )
