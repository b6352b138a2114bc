"""/audit"""

from collections.abc import Iterable, Iterator
from itertools import chain, islice

import msgspec
from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.domain.errors import AuditMissing, FieldError, Invalid
from pools.selectors import audit, seals
from pools.selectors import verification as verifications
from pools.selectors.verification import Verification
from pools.services import exports, verification

_FILTERS = [OpenApiParameter(name, str) for name in audit.FILTERS]
_LINES_AT_ONCE = 100


class Audit(base.View):
    """Who did what to which object."""

    rights = {"GET": ("audit", "read")}

    @schema.listing("audit.list", "Search the audit, the newest first", audit.AuditRow, audit.FILTERS)
    def get(self, request: Request) -> Response:
        params, cursor, limit = parsing.listing(request)
        return base.listing(request, audit.page(params=params, cursor=cursor, limit=limit, access=auth.access(request)))


class Export(base.View):
    """The same as JSON lines, without an end to their number. That somebody took them is an audit row too."""

    rights = {"GET": ("audit", "read")}

    @schema.operation(
        "audit.export",
        "Take the audit along as JSON lines, the oldest first",
        answer=audit.AuditRow,
        media_type="application/x-ndjson",
        refusals=(422,),
        parameters=_FILTERS,
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        params = {name: ",".join(request.query_params.getlist(name)) for name in request.query_params}
        if "fields" in params:
            raise Invalid(fields=(FieldError("fields", "unknown_parameter", "An export has all fields."),))
        rows = audit.everything(params=params, access=auth.access(request))
        exports.record(params=params, actor=auth.actor(request), now=timezone.now())
        return StreamingHttpResponse(
            _lines(rows),
            content_type="application/x-ndjson",
            headers={"Content-Disposition": 'attachment; filename="audit.jsonl"'},
        )


class _OfThePlatform(base.View):
    missing = AuditMissing

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        super().initial(request, *args, **kwargs)
        if not auth.access(request).everywhere("audit", "read"):
            raise AuditMissing


class Seals(_OfThePlatform):
    """The seals that prove the audit and the ledger."""

    rights = {"GET": ("audit", "read")}

    @schema.listing("audit.seals", "List seals, the newest first", seals.SealRow, seals.FILTERS, refusals=(404,))
    def get(self, request: Request) -> Response:
        params, cursor, limit = parsing.listing(request)
        return base.listing(request, seals.page(params=params, cursor=cursor, limit=limit))


class OneVerification(_OfThePlatform):
    """Whether the audit and the ledger are what was sealed. Checked by a worker, once a day and when asked for."""

    rights = {"GET": ("audit", "read"), "POST": ("audit", "read")}

    @schema.operation(
        "audit.verification", "Show the last check of audit and ledger", answer=Verification, refusals=(404,)
    )
    def get(self, request: Request) -> Response:
        return Response(verifications.last())

    @schema.operation(
        "audit.verify",
        "Let a worker check audit and ledger now",
        body=parsing.Nothing,
        answer=Verification,
        status=202,
        refusals=(404,),
    )
    def post(self, request: Request) -> Response:
        parsing.body(parsing.Nothing, request)
        verification.request(actor=auth.actor(request), now=timezone.now())
        return Response(verifications.last(), status=202)


def _lines(rows: Iterable[audit.AuditRow]) -> Iterator[bytes]:
    """Yield some lines at once: a piece of the answer costs more than a line."""
    encoder = msgspec.json.Encoder()
    waiting = iter(rows)
    while some := list(islice(waiting, _LINES_AT_ONCE)):
        yield b"".join(chain.from_iterable((encoder.encode(row), b"\n") for row in some))
