"""/drift"""

from collections.abc import Callable
from typing import Any

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.domain.errors import DriftMissing
from pools.selectors import drift as seen
from pools.services import drift


class AllDrift(base.View):
    """Targets that do not carry on their platforms what they shall."""

    rights = {"GET": ("drift", "read")}

    @schema.listing("drift.list", "List drift that is not over, the newest first", seen.DriftRow, seen.FILTERS)
    def get(self, request: Request) -> Response:
        params, cursor, limit = parsing.listing(request)
        return base.listing(request, seen.page(params=params, cursor=cursor, limit=limit, access=auth.access(request)))


class Repair(base.View):
    """The platform is made to carry again what was ordered."""

    rights = {"POST": ("drift", "operate")}
    missing = DriftMissing

    @schema.operation(
        "drift.repair",
        "Have a worker make the target carry again what was ordered",
        body=parsing.Nothing,
        answer=seen.DriftRow,
        status=202,
        refusals=(400, 404, 409, 413, 415, 422),
    )
    def post(self, request: Request, drift_id: str) -> Response:
        return _decided(request, drift_id, drift.repair, status=202)


class Adopt(base.View):
    """It is taken as it is."""

    rights = {"POST": ("drift", "operate")}
    missing = DriftMissing

    @schema.operation(
        "drift.adopt",
        "Take it as it is: allocations of which nothing is there any more are given back",
        body=parsing.Nothing,
        answer=seen.DriftRow,
        refusals=(400, 404, 409, 413, 415, 422),
    )
    def post(self, request: Request, drift_id: str) -> Response:
        return _decided(request, drift_id, drift.adopt)


class Ignore(base.View):
    """It is left alone while it stays the same."""

    rights = {"POST": ("drift", "operate")}
    missing = DriftMissing

    @schema.operation(
        "drift.ignore",
        "Leave it as it is while it stays the same",
        body=parsing.Nothing,
        answer=seen.DriftRow,
        refusals=(400, 404, 409, 413, 415, 422),
    )
    def post(self, request: Request, drift_id: str) -> Response:
        return _decided(request, drift_id, drift.ignore)


def _decided(request: Request, drift_id: str, decide: Callable[..., Any], *, status: int = 200) -> Response:
    found = seen.one(base.identified(drift_id, DriftMissing), auth.access(request))
    parsing.body(parsing.Nothing, request)
    decide(drift_id=found.id, actor=auth.actor(request), now=timezone.now())
    return Response(seen.one(found.id, auth.access(request)), status=status)
