"""/calendar"""

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.selectors import calendar, peaks


class Calendar(base.View):
    """What is on, and what will be."""

    rights = {"GET": ("allocation", "read")}

    @schema.listing(
        "calendar.list",
        "List leases, holds, scheduled starts and bookings between two instants, by beginning",
        calendar.CalendarRow,
        calendar.FILTERS,
    )
    def get(self, request: Request) -> Response:
        params, cursor, limit = parsing.listing(request)
        page = calendar.page(params=params, cursor=cursor, limit=limit, access=auth.access(request), now=timezone.now())
        return base.listing(request, page)


class Peaks(base.View):
    """How full it will be."""

    rights = {"GET": ("allocation", "read")}

    @schema.listing(
        "calendar.peaks",
        "List by pool and model the most that is taken together in each interval between two instants",
        peaks.LaneRow,
        peaks.FILTERS,
    )
    def get(self, request: Request) -> Response:
        params, cursor, limit = parsing.listing(request)
        page = peaks.page(params=params, cursor=cursor, limit=limit, access=auth.access(request), now=timezone.now())
        return base.listing(request, page)
