"""/events"""

import msgspec
from django.utils.http import urlencode
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.domain import filters
from pools.selectors import events, pages
from pools.selectors.events import EventRow


class EventList(msgspec.Struct, frozen=True):
    """Events in their order. ``cursor`` is the next request's ``after``; ``next`` is null when nothing is left."""

    results: list[EventRow]
    next: str | None
    cursor: str


_AFTER = OpenApiParameter(
    "after", str, description="The cursor of the answer before; `now` for what happens from now on; absent: the oldest."
)
_LIMIT = OpenApiParameter(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": pages.LIMIT_MOST, "default": pages.LIMIT_DEFAULT},
    description="Events in an answer.",
)


class Events(base.View):
    """The change feed."""

    rights = {"GET": ("event", "read")}

    @schema.operation(
        "events.list",
        "Follow what changes; poll with ETag every few seconds",
        answer=EventList,
        row=EventRow,
        refusals=(422,),
        parameters=(_AFTER, _LIMIT),
        is_conditional=True,
    )
    def get(self, request: Request) -> Response:
        params, _, limit = parsing.listing(request)
        after = filters.read(params, {"after": filters.phrase}).get("after")
        feed = events.after(cursor=after, limit=limit, access=auth.access(request))
        query = urlencode([("after", feed.cursor), ("limit", limit)])
        following = None if feed.is_complete else request.build_absolute_uri(f"?{query}")
        body = {"results": feed.rows, "next": following, "cursor": feed.cursor}
        return base.unless_known(request, feed.version, lambda: Response(body))
