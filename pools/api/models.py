"""/models"""

from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import base, parsing, schema
from pools.domain.errors import ModelMissing
from pools.selectors import models


class Models(base.View):
    """The chip catalogue."""

    rights = {"GET": ("model", "read")}

    @schema.listing("models.list", "List chip models", models.ModelRow, models.FILTERS)
    def get(self, request: Request) -> Response:
        params, cursor, limit = parsing.listing(request)
        return base.listing(request, models.page(params=params, cursor=cursor, limit=limit))


class Model(base.View):
    """One chip model, by slug or id."""

    rights = {"GET": ("model", "read")}
    missing = ModelMissing

    @schema.operation("models.get", "Show a chip model", answer=models.ModelRow, refusals=(404,))
    def get(self, request: Request, model: str) -> Response:
        return Response(models.one(model))
