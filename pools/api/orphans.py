"""/orphans"""

from collections.abc import Callable
from typing import Any

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.domain.errors import OrphanMissing
from pools.selectors import orphans as seen
from pools.services import orphans


class Orphans(base.View):
    """What carries our marker and belongs to no claim that lives."""

    rights = {"GET": ("orphan", "read")}

    @schema.listing("orphans.list", "List orphans that are not over, the newest first", seen.OrphanRow, seen.FILTERS)
    def get(self, request: Request) -> Response:
        params, cursor, limit = parsing.listing(request)
        return base.listing(request, seen.page(params=params, cursor=cursor, limit=limit, access=auth.access(request)))


class Adopt(base.View):
    """An orphan belongs to its allocation again."""

    rights = {"POST": ("orphan", "operate")}
    missing = OrphanMissing

    @schema.operation(
        "orphans.adopt",
        "Attach an orphan to the allocation whose marker it carries, if that holds its claim in this pool",
        body=parsing.Nothing,
        answer=seen.OrphanRow,
        refusals=(400, 404, 409, 413, 415, 422),
    )
    def post(self, request: Request, orphan: str) -> Response:
        return _decided(request, orphan, orphans.adopt)


class Reap(base.View):
    """An orphan is taken away."""

    rights = {"POST": ("orphan", "operate")}
    missing = OrphanMissing

    @schema.operation(
        "orphans.reap",
        "Have an orphan taken away by a worker, once its grace time is over",
        body=parsing.Nothing,
        answer=seen.OrphanRow,
        status=202,
        refusals=(400, 404, 409, 413, 415, 422),
    )
    def post(self, request: Request, orphan: str) -> Response:
        return _decided(request, orphan, orphans.reap, status=202)


def _decided(request: Request, orphan: str, decide: Callable[..., Any], *, status: int = 200) -> Response:
    found = seen.one(base.identified(orphan, OrphanMissing), auth.access(request))
    parsing.body(parsing.Nothing, request)
    decide(orphan_id=found.id, actor=auth.actor(request), now=timezone.now())
    return Response(seen.one(found.id, auth.access(request)), status=status)
