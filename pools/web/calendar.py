"""The calendar: how full pools will be, day by day, and what is on then with its beginning and its end."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext
from django.views.decorators.http import require_safe

from pools.domain import filters
from pools.domain.access import Access
from pools.selectors import calendar, peaks
from pools.selectors.calendar import CalendarRow
from pools.selectors.peaks import Interval, LaneRow
from pools.web import allocation_view, figures, listing, pages
from pools.web.listing import Filter

LANES_MOST: Final = 100
COLUMNS_MOST: Final = 31

_FILTERS: Final = (
    Filter("from", gettext_lazy("From (UTC)"), is_instant=True),
    Filter("to", gettext_lazy("Until (UTC)"), is_instant=True),
    Filter("pool", gettext_lazy("Pool")),
    Filter("model", gettext_lazy("Model")),
    Filter("project", gettext_lazy("Project")),
)


@require_safe
@pages.allowed("allocation")
def index(request: HttpRequest) -> HttpResponse:
    """Pools and models with a column a day, and entries below. People of projects see their own and what is full."""
    access, now = pages.access(request), pages.now()
    found = listing.read(
        request,
        _FILTERS,
        lambda params, cursor: calendar.page(
            params=_from_today(params, now), cursor=cursor, limit=listing.PAGE_ROWS, access=access, now=now
        ),
    )
    given = {each["name"]: each["value"] for each in found.filters if each["value"]}
    lanes, has_more = ([], False) if found.mistakes else _lanes(given, access, now)
    context = {
        "lanes": lanes,
        "has_more_lanes": has_more,
        "days": [each["day"] for each in lanes[0]["cells"]] if lanes else [],
        "sees_sums": access.everywhere("pool", "read"),
        "may_ask": access.somewhere("allocation", "create"),
    }
    return pages.page(request, "calendar/list.html", {**found.context(_presented), **context}, here="calendar")


def _from_today(params: Mapping[str, str], now: datetime) -> dict[str, str]:
    """Return the filters with today as the beginning, unless they name another."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return {"from": today.isoformat(), **params}


def _lanes(given: Mapping[str, str], access: Access, now: datetime) -> tuple[list[dict[str, Any]], bool]:
    """Return pools and models with a cell a day, or longer ones where there would be too many of them."""
    params = {name: value for name, value in _from_today(given, now).items() if name in peaks.FILTERS}
    from_at, to_at = calendar.window(filters.read(params, calendar.FILTERS), now)
    days = -(-(to_at - from_at) // timedelta(days=COLUMNS_MOST))
    params["step_seconds"] = str(days * peaks.DAY)
    page = peaks.page(params=params, cursor=None, limit=LANES_MOST, access=access, now=now)
    return [_lane(row) for row in page.rows], page.next_cursor is not None


def _lane(row: LaneRow) -> dict[str, Any]:
    """Return {pool, model_name, cells: [{day, text, tone, words}], has_conflict}."""
    cells = [_cell(each, row) for each in row.intervals]
    return {
        "pool": row.pool,
        "model_name": allocation_view.model_name(row.model),
        "cells": cells,
        "has_conflict": any(each.is_conflict is True for each in row.intervals),
    }


def _cell(each: Interval, row: LaneRow) -> dict[str, Any]:
    own, peak, reach = each.own_milli, each.peak_milli, row.reach_milli
    text, words = figures.devices(own), _("%(own)s of one's own") % {"own": figures.devices(own)}
    if isinstance(peak, int) and isinstance(reach, int):
        text = figures.devices(peak)
        words = _("%(peak)s of %(reach)s devices at most") % {"peak": text, "reach": figures.devices(reach)}
    tone = "is-bad" if each.is_conflict is True else "is-warn" if each.is_full else ""
    if each.is_conflict is True:
        words += " · " + _("more is promised than is in reach")
    elif each.is_full:
        words += " · " + _("full")
    day = timezone.localtime(each.from_at)
    # A format of Django's: letters for month and day, and what a language writes around them.
    shown = date_format(day, pgettext("format of a day", "M j"))
    return {"day": shown, "text": text if text != "0" else "", "tone": tone, "words": words}


def _presented(row: CalendarRow) -> dict[str, Any]:
    """Return the row as a plain dict. Added: title, model_name."""
    title = (row.name or str(row.allocation)[-12:]) if row.allocation else ""
    return msgspec.structs.asdict(row) | {"title": title, "model_name": allocation_view.model_name(row.model)}
