"""All nodes of the fleet, and one of them."""

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from pools.domain.errors import NodeMissing
from pools.selectors import changes, devices, nodes
from pools.web import device_view, differences, listing, node_view, pages

_CHANGES = 20


@require_safe
@pages.on_platform("node")
def index(request: HttpRequest) -> HttpResponse:
    """Nodes by name, a page at a time."""
    now = pages.now()
    found = listing.read(
        request,
        node_view.FILTERS,
        lambda params, cursor: nodes.page(
            params=params, cursor=cursor, limit=listing.PAGE_ROWS, now=now, access=pages.access(request)
        ),
    )
    return pages.page(request, "nodes/list.html", found.context(node_view.presented), here="nodes")


@require_safe
@pages.on_platform("node")
def node(request: HttpRequest, node_id: UUID) -> HttpResponse:
    """One node: what it has, who uses it, what happened to it."""
    now = pages.now()
    try:
        found = node_view.presented(nodes.one(node_id, now, pages.access(request)))
    except NodeMissing:
        raise Http404 from None
    params = {"node": str(node_id)} | ({"state": "retired"} if found["retired_at"] else {})
    on_it = devices.page(params=params, cursor=None, limit=listing.PAGE_ROWS, now=now, access=pages.access(request))
    happened = changes.of_object(object_id=node_id, params={}, cursor=None, limit=_CHANGES)
    context = {
        "node": found,
        "devices": [device_view.presented(row) for row in on_it.rows],
        "has_more_devices": on_it.next_cursor is not None,
        "changes": [differences.presented(row) for row in happened.rows],
    }
    return pages.page(request, "nodes/node.html", context, here="nodes")
