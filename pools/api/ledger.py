"""/ledger"""

from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.selectors import ledger


class Ledger(base.View):
    """Who held how much from when to when."""

    rights = {"GET": ("ledger", "read")}

    @schema.listing("ledger.list", "List who held how much from when to when", ledger.LedgerRow, ledger.FILTERS)
    def get(self, request: Request) -> Response:
        params, cursor, limit = parsing.listing(request)
        page = ledger.page(params=params, cursor=cursor, limit=limit, access=auth.access(request))
        return base.listing(request, page)
