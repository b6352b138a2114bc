"""/allocations/{allocation}/delivery"""

import msgspec
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.domain.errors import AllocationMissing
from pools.selectors import allocations
from pools.selectors import deliveries as seen
from pools.services import handovers


class RevealedDeliveries(msgspec.Struct, frozen=True):
    """All that was asked for, with its secrets; null in a repeated answer and in one that was only tried."""

    deliveries: list[handovers.Revealed] | None


class Delivery(base.View):
    """What is needed to use an allocation."""

    rights = {"GET": ("allocation", "read")}
    missing = AllocationMissing

    @schema.listing(
        "allocations.delivery",
        "List what is needed to use an allocation, by platform object, without secrets",
        seen.DeliveryRow,
        {},
    )
    def get(self, request: Request, allocation: str) -> Response:
        access = auth.access(request)
        allocation_id = allocations.find(allocation, access)
        _, cursor, limit = parsing.listing(request)
        page = seen.page(allocation_id=allocation_id, cursor=cursor, limit=limit, access=access, now=timezone.now())
        return base.listing(request, page)


class Reveal(base.View):
    """The same with secrets."""

    rights = {"POST": ("allocation", "edit")}
    missing = AllocationMissing
    shown_once = ("deliveries",)

    class Which(msgspec.Struct):
        """The ``ref`` of one target; null: all of them, 100 at most."""

        target: str | None = None

    @schema.operation(
        "allocations.reveal",
        "Read what is needed to use an allocation, with its secrets; who reads it is recorded",
        body=Which,
        answer=RevealedDeliveries,
        refusals=(404, 409, 422),
    )
    def post(self, request: Request, allocation: str) -> Response:
        allocation_id = allocations.find(allocation, auth.access(request), verb="edit")
        wanted = parsing.body(self.Which, request)
        told = handovers.reveal(
            allocation_id=allocation_id, target=wanted.target, actor=auth.actor(request), now=timezone.now()
        )
        return Response(RevealedDeliveries(told))
