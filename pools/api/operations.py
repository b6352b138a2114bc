"""/allocations/{allocation}/operations, /allocations/{allocation}/plan"""

from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.domain.errors import AllocationMissing
from pools.selectors import allocations
from pools.selectors import operations as seen


class Operations(base.View):
    """What was done on platforms for an allocation."""

    rights = {"GET": ("allocation", "read")}
    missing = AllocationMissing

    @schema.listing(
        "allocations.operations",
        "List what was done on platforms for an allocation, the latest first",
        seen.OperationRow,
        {},
    )
    def get(self, request: Request, allocation: str) -> Response:
        access = auth.access(request)
        allocation_id = allocations.find(allocation, access)
        _, cursor, limit = parsing.listing(request)
        page = seen.page(allocation_id=allocation_id, cursor=cursor, limit=limit, access=access)
        return base.listing(request, page)


class Plan(base.View):
    """What an allocation comes to on its platforms."""

    rights = {"GET": ("allocation", "read")}
    missing = AllocationMissing

    @schema.listing(
        "allocations.plan",
        "List the exact calls on platforms, as far as they are worked out, by member",
        seen.PlanStep,
        {},
    )
    def get(self, request: Request, allocation: str) -> Response:
        access = auth.access(request)
        allocation_id = allocations.find(allocation, access)
        _, cursor, limit = parsing.listing(request)
        page = seen.plan(allocation_id=allocation_id, cursor=cursor, limit=limit, access=access)
        return base.listing(request, page)
