"""All devices of the fleet, one of them, and hardware that two pools show."""

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from pools.domain.errors import DeviceMissing
from pools.selectors import changes, devices, fleet
from pools.web import device_view, differences, listing, pages

_CHANGES = 20


@require_safe
@pages.on_platform("device")
def index(request: HttpRequest) -> HttpResponse:
    """Devices, a page at a time."""
    now = pages.now()
    found = listing.read(
        request,
        device_view.FILTERS,
        lambda params, cursor: devices.page(
            params=params, cursor=cursor, limit=listing.PAGE_ROWS, now=now, access=pages.access(request)
        ),
    )
    return pages.page(request, "devices/list.html", found.context(device_view.presented), here="devices")


@require_safe
@pages.on_platform("device")
def device(request: HttpRequest, device_id: UUID) -> HttpResponse:
    """One device: what it is, who uses it, what happened to it."""
    try:
        found = device_view.presented(devices.one(device_id, pages.now(), pages.access(request)))
    except DeviceMissing:
        raise Http404 from None
    happened = changes.of_object(object_id=device_id, params={}, cursor=None, limit=_CHANGES)
    context = {
        "device": found,
        "attributes": sorted(found["attributes"].items()),
        "twins": fleet.twins_of(device_id),
        "changes": [differences.presented(row) for row in happened.rows],
    }
    return pages.page(request, "devices/device.html", context, here="devices")


@require_safe
@pages.on_platform("device")
def twins(request: HttpRequest) -> HttpResponse:
    """Hardware that two pools show: counted twice until an operator says which pool gives it out."""
    pairs = fleet.twins()
    context = {"pairs": pairs[: fleet.SHOWN_TWINS], "has_more": len(pairs) > fleet.SHOWN_TWINS}
    return pages.page(request, "devices/twins.html", context, here="twins")
