"""All devices of the fleet, one of them, and hardware that two pools show."""

from functools import partial
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from pools.domain.errors import DeviceMissing
from pools.selectors import changes, devices
from pools.selectors import twins as shared
from pools.services import twins as giving
from pools.web import device_view, differences, forms, listing, pages
from pools.web.forms import Form

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
        "twins": shared.of_device(device_id),
        "changes": [differences.presented(row) for row in happened.rows],
    }
    return pages.page(request, "devices/device.html", context, here="devices")


@require_safe
@pages.on_platform("device")
def twins(request: HttpRequest) -> HttpResponse:
    """Hardware that two pools show, and which of them gives it out."""
    pairs = shared.pairs()
    context = {
        "pairs": pairs[: shared.SHOWN],
        "has_more": len(pairs) > shared.SHOWN,
        "may_move": pages.access(request).everywhere("device", "operate"),
    }
    return pages.page(request, "devices/twins.html", context, here="twins")


@require_http_methods(["GET", "HEAD", "POST"])
@pages.on_platform("device", "operate")
def give_out(request: HttpRequest, device_id: UUID) -> HttpResponse:
    """Let the pool of this device give the card out instead of the other one."""
    try:
        found = devices.one(device_id, pages.now(), pages.access(request))
    except DeviceMissing:
        raise Http404 from None
    words = {"card": f"{found.model_name} {found.node_name} {found.ref}", "pool": found.pool_name}
    form = Form(
        heading=_("Let %(pool)s give out %(card)s") % words,
        submit=_("Give it out there"),
        back=reverse("twins"),
        back_label=_("Seen twice"),
        here="twins",
        consequences=(
            _("%(pool)s counts this card and gives it out from now on. In the other pool it counts for nothing.")
            % words,
            _("Refused while the other pool has given it out, held or booked it, or shows ocenter's marker on it."),
            _("Nothing changes on the platforms. Whoever uses the card there without ocenter goes on to."),
        ),
    )
    done = _("%(pool)s gives out %(card)s now.") % words
    return forms.confirmed(request, form, partial(giving.give_out, device_id=device_id), done)
