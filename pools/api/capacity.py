"""/capacity"""

from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.selectors import capacity_list


class Capacity(base.View):
    """How much there is of each model in each pool."""

    rights = {"GET": ("capacity", "read")}

    @schema.listing(
        "capacity.list", "List what pools have of each model", capacity_list.CapacityRow, capacity_list.FILTERS
    )
    def get(self, request: Request) -> Response:
        params, cursor, limit = parsing.listing(request)
        page = capacity_list.page(params=params, cursor=cursor, limit=limit, access=auth.access(request))
        return base.listing(request, page)
