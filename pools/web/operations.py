"""Operations of all allocations: what was sent to platforms, what came of it, and what is still to be sent."""

from typing import Final

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from pools.selectors import operations
from pools.web import listing, pages, platform_work
from pools.web.listing import Filter

_FILTERS: Final = (
    Filter("state", _("State"), vocabulary="operation_state"),
    Filter("action", _("What"), vocabulary="operation_action"),
    Filter("pool", _("Pool")),
)


@require_safe
@pages.on_platform("allocation")
def index(request: HttpRequest) -> HttpResponse:
    """Those of all projects, the newest first."""
    access = pages.access(request)
    found = listing.read(
        request,
        _FILTERS,
        lambda params, cursor: operations.recent(params=params, cursor=cursor, limit=listing.PAGE_ROWS, access=access),
    )
    return pages.page(request, "operations/list.html", found.context(platform_work.of_allocation), here="operations")
