"""The chip catalogue, and the chips that platforms report and it lacks."""

from typing import Any, Final

import msgspec
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from pools.domain.errors import ModelMissing
from pools.selectors import models
from pools.selectors.models import ModelRow
from pools.web import charts, listing, pages, pool_view
from pools.web.listing import Filter

_FILTERS: Final = (
    Filter("q", _("Name"), is_wide=True),
    Filter("vendor", _("Vendor")),
    Filter("is_catalogued", _("In the catalogue"), choices=(("yes", _("yes")), ("no", _("no")))),
)


@require_safe
@pages.allowed("model")
def index(request: HttpRequest) -> HttpResponse:
    """Models, a page at a time."""
    found = listing.read(
        request,
        _FILTERS,
        lambda params, cursor: models.page(params=params, cursor=cursor, limit=listing.PAGE_ROWS),
    )
    return pages.page(request, "models/list.html", found.context(_presented), here="models")


@require_safe
@pages.allowed("model")
def model(request: HttpRequest, slug: str) -> HttpResponse:
    """One model: memory, profiles, where the facts come from, how many the fleet has."""
    try:
        found = _presented(models.one(slug))
    except ModelMissing:
        raise Http404 from None
    return pages.page(request, "models/model.html", {"model": found}, here="models")


def _presented(row: ModelRow) -> dict[str, Any]:
    found = msgspec.structs.asdict(row)
    fleet = pool_view.share(row.fleet) if row.fleet and (row.fleet.devices or row.fleet.total_milli) else None
    sources = [word for word in row.source.replace(",", " ").split() if word.startswith(("https://", "http://"))]
    return found | {
        "profiles": [msgspec.structs.asdict(profile) for profile in row.profiles],
        "fleet": fleet,
        "bar": charts.bar(fleet) if fleet else [],
        "sources": sources,
    }
