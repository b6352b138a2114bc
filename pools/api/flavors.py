"""/flavors"""

from typing import Any

import msgspec
from django.urls import reverse
from django.utils import timezone
from msgspec import UNSET, UnsetType
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.selectors import flavors as seen
from pools.services import flavors


class Flavors(base.View):
    """Named templates of requests."""

    rights = {"GET": ("flavor", "read"), "POST": ("flavor", "create")}

    class FlavorCreate(msgspec.Struct):
        """``spec`` are fields of a request (POST /allocations) that the flavor sets, such as any_of and topology."""

        name: str
        spec: dict[str, Any]
        description: str = ""

    @schema.listing("flavors.list", "List flavors", seen.FlavorRow, seen.FILTERS)
    def get(self, request: Request) -> Response:
        params, cursor, limit = parsing.listing(request)
        return base.listing(request, seen.page(params=params, cursor=cursor, limit=limit, now=timezone.now()))

    @schema.operation(
        "flavors.make",
        "Offer a flavor",
        body=FlavorCreate,
        answer=seen.FlavorRow,
        status=201,
        refusals=(400, 409, 413, 415, 422),
    )
    def post(self, request: Request) -> Response:
        wanted, now = parsing.body(self.FlavorCreate, request), timezone.now()
        made = flavors.make(
            name=wanted.name, spec=wanted.spec, description=wanted.description, actor=auth.actor(request), now=now
        )
        row = seen.one(str(made.pk), now)
        return base.answered(request, row, 201, reverse("api-flavor", args=[made.pk]))


class Flavor(base.View):
    """One flavor, by name or id."""

    rights = {"GET": ("flavor", "read"), "PATCH": ("flavor", "edit"), "DELETE": ("flavor", "remove")}

    class FlavorEdit(msgspec.Struct):
        """What to change; ``spec`` is replaced as a whole."""

        name: str | UnsetType = UNSET
        description: str | UnsetType = UNSET
        spec: dict[str, Any] | UnsetType = UNSET

    @schema.operation("flavors.get", "Show a flavor", answer=seen.FlavorRow, refusals=(404,))
    def get(self, request: Request, flavor: str) -> Response:
        return base.answered(request, seen.one(flavor, timezone.now()))

    @schema.operation(
        "flavors.edit",
        "Change a flavor; what was asked for before keeps what it was given",
        body=FlavorEdit,
        answer=seen.FlavorRow,
        refusals=(400, 404, 409, 412, 413, 415, 422),
        parameters=[schema.IF_MATCH],
    )
    def patch(self, request: Request, flavor: str) -> Response:
        wanted, now = msgspec.structs.asdict(parsing.body(self.FlavorEdit, request)), timezone.now()
        changes = {name: value for name, value in wanted.items() if value is not UNSET}
        flavor_id = seen.one(flavor, now).id
        flavors.edit(
            flavor_id=flavor_id,
            changes=changes,
            generation=parsing.generation(request),
            actor=auth.actor(request),
            now=now,
        )
        return base.answered(request, seen.one(str(flavor_id), now))

    @schema.operation(
        "flavors.remove",
        "Offer a flavor no longer",
        answer=None,
        status=204,
        refusals=(404, 412),
        parameters=[schema.IF_MATCH],
    )
    def delete(self, request: Request, flavor: str) -> Response:
        now = timezone.now()
        flavors.remove(
            flavor_id=seen.one(flavor, now).id,
            generation=parsing.generation(request),
            actor=auth.actor(request),
            now=now,
        )
        return Response(status=204)
