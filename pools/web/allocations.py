"""The list of allocations, the page of one, and the queue."""

from typing import Any, Final
from uuid import UUID

import msgspec
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from pools.domain import states
from pools.domain.access import Access
from pools.domain.errors import AllocationMissing, Invalid, ProjectMissing
from pools.selectors import (
    allocation_events,
    allocation_pulse,
    allocation_queue,
    deliveries,
    making_room,
    names,
    operations,
    references,
)
from pools.selectors import allocations as reads
from pools.selectors.allocations import AllocationRow
from pools.web import allocation_view, delivery_view, listing, pages, platform_work
from pools.web.listing import Filter

_FILTERS: Final = (
    Filter("q", gettext_lazy("Name"), is_wide=True),
    Filter("state", gettext_lazy("State"), vocabulary="allocation_state"),
    Filter("project", gettext_lazy("Project")),
    Filter("pool", gettext_lazy("Pool")),
    Filter("model", gettext_lazy("Model")),
)
# What people look for, as states.
_CHIPS: Final = (
    (gettext_lazy("All"), ""),
    (gettext_lazy("In use"), "claimed,binding,active"),
    (gettext_lazy("Held"), "held"),
    (gettext_lazy("Waiting"), "pending_approval,scheduled,queued"),
    (gettext_lazy("Needs attention"), "needs_attention"),
    (gettext_lazy("Over"), "releasing,released,refused,expired"),
)
_BUSY: Final = ("claimed", "binding", "releasing")
_EVENTS_SHOWN: Final = 50
_WORK_SHOWN: Final = 20
_ACTS: Final = ("confirm", "extend", "retry", "reveal", "save", "release", "call_gone", "make_room")


@require_safe
@pages.allowed("allocation")
def index(request: HttpRequest) -> HttpResponse:
    """The allocations that one may see, the newest first."""
    access = pages.access(request)
    found = listing.read(
        request,
        _FILTERS,
        lambda params, cursor: reads.page(params=params, cursor=cursor, limit=listing.PAGE_ROWS, access=access),
    )
    chosen = request.GET.get("state", "").strip()
    context = {
        "chips": [{"label": label, "state": state, "is_here": state == chosen} for label, state in _CHIPS],
        "may_ask": access.somewhere("allocation", "create"),
        "sees_pools": access.everywhere("pool", "read"),
    }
    shown = found.context(allocation_view.presented)
    return pages.page(request, "allocations/list.html", {**shown, **context}, here="allocations")


@require_safe
@pages.allowed("allocation")
def queue(request: HttpRequest) -> HttpResponse:
    """Those who wait, the next one first. People of projects see their own and how many are before them."""
    access = pages.access(request)
    cursor = request.GET.get("cursor") or None
    try:
        page = allocation_queue.page(cursor=cursor, limit=listing.PAGE_ROWS, access=access)
    except Invalid:
        raise Http404 from None
    context = {
        "rows": [allocation_view.presented(row) for row in page.rows],
        "sees_all": access.everywhere("allocation", "read"),
        "may_ask": access.somewhere("allocation", "create"),
        "first_query": "?" if cursor else "",
        "next_query": f"cursor={page.next_cursor}" if page.next_cursor else "",
    }
    return pages.page(request, "allocations/queue.html", context, here="queue")


@require_safe
@pages.signed_in
def allocation(request: HttpRequest, allocation_id: UUID) -> HttpResponse:
    """One allocation: what it is, why it is there, what happened, and what may be done to it."""
    access = pages.access(request)
    row = found(allocation_id, access)
    shown = allocation_view.presented(row)
    events = allocation_events.page(allocation_id=row.id, cursor=None, limit=_EVENTS_SHOWN)
    pools = names.of_pools(allocation_view.alternatives(row.decision), access)
    sees_nodes = access.everywhere("node", "read")
    context = {
        "allocation": shown,
        "facts": allocation_view.facts(row.spec),
        "explanation": allocation_view.explanation(row.decision, pools, sees_nodes=sees_nodes),
        "events": [allocation_view.event(each) for each in events.rows],
        "has_more_events": events.next_cursor is not None,
        "may": may(row, access),
        "ends_soon": allocation_view.ends_soon(row, pages.now()),
        "is_given_back": row.reason in states.ALLOCATION_GIVEN_BACK,
        "is_ordered": any(member.order_state for member in row.members),
        "left_count": sum(member.order_state in states.ORDER_PRESENT for member in row.members),
        "sees_nodes": sees_nodes,
        "sees_pools": access.everywhere("pool", "read"),
        "leaving": _leaving(row, access),
        "trouble": next((member.trouble.message for member in row.members if member.trouble), ""),
        "json_address": reverse("api-allocation", args=[row.id]),
    }
    context |= _work(row.id, access) | _delivery(row.id, access) | _progress(row.state, row.id)
    return pages.page(request, "allocations/page.html", context, here="allocations")


@require_safe
@pages.signed_in
def live(request: HttpRequest, allocation_id: UUID) -> HttpResponse:
    """The part of an allocation's page that sees to it that the whole page is anew when anything of it changed."""
    try:
        reads.find(str(allocation_id), pages.access(request))
    except AllocationMissing:
        raise Http404 from None
    progress = _progress(request.GET.get("state", ""), allocation_id)
    is_changed = progress["progress"]["pulse"] != request.GET.get("pulse", "")
    return pages.live(request, "allocations/progress.html", progress, is_done=is_changed)


def _progress(state: str, allocation_id: UUID) -> dict[str, Any]:
    """Return {progress: {id, state, pulse, is_busy}} for the part that refreshes itself."""
    told = {"id": allocation_id, "state": state, "pulse": allocation_pulse.pulse(allocation_id)}
    return {"progress": told | {"is_busy": state in _BUSY}}


def _leaving(row: AllocationRow, access: Access) -> list[dict[str, Any]]:
    """Return those who have to leave before it begins, for whoever may know of them."""
    is_promised = row.state == "scheduled" or (row.queue is not None and row.queue.booked_at is not None)
    if not is_promised or not access.everywhere("allocation", "read"):
        return []
    found = making_room.leaving(row.id)
    return [msgspec.structs.asdict(each) | {"title": each.name or str(each.id)[-12:]} for each in found]


def _work(allocation_id: UUID, access: Access) -> dict[str, Any]:
    """Return {steps, has_more_steps, operations, has_more_operations} of an allocation."""
    asked: dict[str, Any] = {"allocation_id": allocation_id, "cursor": None, "limit": _WORK_SHOWN, "access": access}
    steps, done = operations.plan(**asked), operations.page(**asked)
    return {
        "steps": [platform_work.step(row) for row in steps.rows],
        "has_more_steps": steps.next_cursor is not None,
        "operations": [platform_work.operation(row) for row in done.rows],
        "has_more_operations": done.next_cursor is not None,
    }


def _delivery(allocation_id: UUID, access: Access) -> dict[str, Any]:
    """Return {deliveries, has_more_deliveries, is_delivered} of an allocation."""
    page = deliveries.page(allocation_id=allocation_id, cursor=None, limit=_WORK_SHOWN, access=access, now=pages.now())
    return {
        "deliveries": [delivery_view.delivery(row) for row in page.rows],
        "has_more_deliveries": page.next_cursor is not None,
        "is_delivered": any(row.kind for row in page.rows),
    }


def found(allocation_id: UUID, access: Access) -> AllocationRow:
    """Return the allocation for somebody who may see it. Raises Http404."""
    try:
        return reads.one(reads.find(str(allocation_id), access))
    except AllocationMissing:
        raise Http404 from None


def may(row: AllocationRow, access: Access) -> dict[str, bool]:
    """Return which of ``_ACTS`` may be done to it just now, by whom asks.

    ``save`` is to say that what matters is saved, ``call_gone`` that nothing is left where somebody else stands.
    """
    try:
        lineage = references.project(str(row.project_id), access).lineage
    except ProjectMissing:
        return dict.fromkeys(_ACTS, False)
    may_edit = access.within("allocation", "edit", lineage)
    is_over = row.ended_at is not None or row.state == "releasing"
    return {
        "confirm": may_edit and row.state == "held",
        "extend": may_edit and allocation_view.is_extensible(row),
        "retry": may_edit and row.state == "needs_attention" and row.reason not in states.ALLOCATION_GIVEN_BACK,
        "reveal": may_edit and row.state in states.ALLOCATION_USABLE,
        "save": may_edit and row.state == "active" and row.before_end_state in ("running", "failed"),
        "release": not is_over and access.within("allocation", "remove", lineage),
        "call_gone": allocation_view.is_stuck(row) and access.within("allocation", "operate", lineage),
        "make_room": row.queue is not None and not row.queue.booked_at and access.everywhere("allocation", "operate"),
    }


def title(row: Any) -> str:
    """Return what an allocation is called in headings."""
    return _("Allocation %(name)s") % {"name": row["title"]}
