"""How broken up what is free is: by pool and model, with the largest shapes that still fit in one piece."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_safe
from msgspec import UNSET

from pools.selectors import fragmentation
from pools.selectors.fragmentation import FragmentationRow, LargestShape, TrendDay
from pools.web import allocation_view, charts, figures, listing, pages
from pools.web.listing import Filter

_FILTERS: Final = (
    Filter("pool", gettext_lazy("Pool")),
    Filter("model", gettext_lazy("Model")),
    Filter("vendor", gettext_lazy("Vendor")),
)


@require_safe
@pages.allowed("capacity")
def index(request: HttpRequest) -> HttpResponse:
    """Pools and models by name. People of projects see of their pools what fits, and not how much is free."""
    access = pages.access(request)
    found = listing.read(
        request,
        _FILTERS,
        lambda params, cursor: fragmentation.page(
            params=params, cursor=cursor, limit=listing.PAGE_ROWS, access=access, now=pages.now()
        ),
    )
    context = {
        "sees_sums": access.everywhere("pool", "read"),
        "may_ask": access.somewhere("allocation", "create"),
        "may_add": access.everywhere("pool", "create"),
    }
    return pages.page(
        request, "fragmentation/list.html", {**found.context(_presented), **context}, here="fragmentation"
    )


def _presented(row: FragmentationRow) -> dict[str, Any]:
    """Return the row as a plain dict.

    Added: model_name, shapes [{text, words}] (the largest first), share, bar, described, trend, trend_words.
    """
    shown = msgspec.structs.asdict(row)
    shapes = [{"text": _text(each), "words": words(each)} for each in reversed(row.largest)]
    shown |= {"model_name": allocation_view.model_name(row.model), "shapes": shapes}
    if isinstance(row.unusable_milli, int) and row.free_milli is not UNSET:
        shown |= {
            "share": figures.percent(row.unusable_milli, row.free_milli),
            "bar": charts.parts([("s-faulty", row.unusable_milli)], row.free_milli),
            "described": _("%(lost)s of %(free)s free devices are of no use to a request like those that came")
            % {"lost": figures.devices(row.unusable_milli), "free": figures.devices(row.free_milli)},
        }
    if row.trend is not UNSET and any(each.score is not None for each in row.trend):
        shown |= _trend(row.trend)
    return shown


def _trend(days: Sequence[TrendDay]) -> dict[str, Any]:
    """Return {trend, trend_words}: a column for each day between the first and the last, and in words how it went."""
    scores = {each.day: each.score for each in days}
    first, last = min(scores), max(scores)
    known = [score for _, score in sorted(scores.items()) if score is not None]
    ends = {
        "first": figures.percent(round(1000 * known[0]), 1000),
        "last": figures.percent(round(1000 * known[-1]), 1000),
    }
    return {
        "trend": charts.trend([scores.get(first + timedelta(days=day)) for day in range((last - first).days + 1)]),
        "trend_words": _("From %(first)s to %(last)s in %(days)s")
        % {**ends, "days": figures.duration(86_400 * max((last - first).days, 1))},
    }


def words(shape: LargestShape) -> str:
    """Return a shape as people say it: 3 members × 8 devices, 2 of them in one rack, ..."""
    sizes = {"members": figures.number(shape.members), "devices": figures.number(shape.devices_per_member)}
    told = ngettext("%(members)s member × %(devices)s", "%(members)s members × %(devices)s", shape.members) % sizes
    more = []
    if shape.members > 1 and shape.members_in_one_rack is not None:
        more.append(_of(shape.members_in_one_rack, shape, _("all in one rack"), _("%(number)s in one rack")))
    if shape.devices_per_member > 1 and shape.members_in_link_groups is not None:
        linked = _("each within a link group"), _("%(number)s within link groups")
        more.append(_of(shape.members_in_link_groups, shape, *linked))
    return ", ".join([told, *more])


def _of(members: int, shape: LargestShape, all_of_them: str, some: str) -> str:
    return all_of_them if members == shape.members else some % {"number": figures.number(members)}


def _text(shape: LargestShape) -> str:
    return f"{figures.number(shape.members)} × {shape.devices_per_member}"
