"""/fragmentation"""

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.selectors import fragmentation


class Fragmentation(base.View):
    """How broken up what is free is, and what still fits in one piece."""

    rights = {"GET": ("capacity", "read")}

    @schema.listing(
        "fragmentation.list",
        "List by pool and model how broken up what is free is, and the largest shapes that fit now",
        fragmentation.FragmentationRow,
        fragmentation.FILTERS,
    )
    def get(self, request: Request) -> Response:
        params, cursor, limit = parsing.listing(request)
        page = fragmentation.page(
            params=params, cursor=cursor, limit=limit, access=auth.access(request), now=timezone.now()
        )
        return base.listing(request, page)
