"""/prices"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

import msgspec
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.selectors import flavors, references
from pools.selectors import price_list as seen
from pools.services import price_list


class Prices(base.View):
    """What an hour costs."""

    rights = {"GET": ("price", "read"), "POST": ("price", "create")}

    class PriceCreate(msgspec.Struct):
        """A price of a flavor's member, a model's device or a profile's piece, from an instant on (null: now).

        ``pool`` null: in every pool without a price of its own.
        """

        per_hour: Decimal
        flavor: str | None = None
        model: str | None = None
        profile: str | None = None
        pool: str | None = None
        from_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None

    @schema.listing("prices.list", "List prices, the latest first", seen.PriceRow, seen.FILTERS)
    def get(self, request: Request) -> Response:
        params, cursor, limit = parsing.listing(request)
        page = seen.page(params=params, cursor=cursor, limit=limit, access=auth.access(request))
        return base.listing(request, page)

    @schema.operation(
        "prices.add",
        "Add a price; the one before holds until then",
        body=PriceCreate,
        answer=seen.PriceRow,
        status=201,
        refusals=(400, 409, 413, 415, 422),
    )
    def post(self, request: Request) -> Response:
        wanted, access = parsing.body(self.PriceCreate, request), auth.access(request)
        made = price_list.add(
            per_hour=wanted.per_hour,
            from_at=wanted.from_at,
            flavor_id=flavors.ids([wanted.flavor])[0] if wanted.flavor is not None else None,
            model_id=references.model_ids([wanted.model])[0] if wanted.model is not None else None,
            profile=wanted.profile,
            pool_id=references.pool_ids([wanted.pool], access)[0] if wanted.pool is not None else None,
            actor=auth.actor(request),
            now=timezone.now(),
        )
        return Response(seen.one(made.pk), status=201)
