"""What all views share: log-in, rights, limits, one transaction a write, JSON by msgspec, problems, request ids."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID
from zlib import crc32

import msgspec
from django.utils.http import http_date, parse_etags
from rest_framework.exceptions import APIException, MethodNotAllowed, NotFound, Throttled
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import SAFE_METHODS, IsAuthenticated
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from pools.api import auth, bodies, errors, fields, idempotency, limits, parsing
from pools.api.schema import Described
from pools.domain import filters
from pools.domain.errors import Denied, Missing
from pools.selectors.pages import Page

ADDRESS_LONGEST: Final = 8192


class Json(BaseRenderer):
    """Structs, ids and instants as JSON; instants are RFC 3339 in UTC."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        response = (renderer_context or {}).get("response")
        if response is not None and response.data is data:
            return bodies.encoded(response)
        return b"" if data is None else msgspec.json.encode(data)


class Negotiation(DefaultContentNegotiation):
    """As REST framework's, which need not read what nearly everybody accepts to find the one kind that there is."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: str | None = None) -> Any:
        if request.META.get("HTTP_ACCEPT", "*/*") in ("*/*", Json.media_type):
            return renderers[0], Json.media_type
        return super().select_renderer(request, renderers, format_suffix)


class View(APIView):
    """A resource. Without rights for a method nobody may use it.

    ``rights`` are (noun, verb) by method. A view of one object names in ``missing`` what somebody is told who may not
    know of it. Who knows of some such objects and not of others is let through: the view then finds the object by
    `selectors.references`, which tells the two apart and asks for the verb. ``known_by`` is the noun that one must be
    allowed to read to know of the object, where it is another than that of the rights: of what is in a project, the
    project. ``shown_once`` are the fields of an answer that are secret, so that no repeated answer has them.
    """

    rights: Mapping[str, tuple[str, str]] = {}
    missing: type[Missing] | None = None
    known_by: str = ""
    shown_once: Collection[str] = ()
    allowance: limits.Allowance | None = None
    described: Described | None = None
    authentication_classes = [auth.Bearer, auth.Session]
    permission_classes = [IsAuthenticated]
    renderer_classes = [Json]
    content_negotiation_class = Negotiation
    parser_classes: list[Any] = []  # parsing.body reads it
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    def get_exception_handler(self) -> Any:
        return errors.answer

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """As REST framework's, but for ``_handle``. What it refuses has rolled back before the handler of errors.

        View, request and answer know each other until it is answered: then nothing is left to the garbage collector.
        """
        self.args, self.kwargs = args, kwargs
        self.request = request = self.initialize_request(request, *args, **kwargs)
        self.headers = self.default_response_headers
        try:
            self.initial(request, *args, **kwargs)
            response = self._handle(request, *args, **kwargs)
        except Exception as error:
            response = self.handle_exception(error)
        response = self.finalize_response(request, response, *args, **kwargs)
        if isinstance(response, Response):
            response.render()
            vars(response).pop("renderer_context")
            vars(request).pop("parser_context")
            vars(self).clear()
        return response

    def _handle(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        name = str(request.method).lower()
        handler = getattr(self, name, None) if name in self.http_method_names else None
        if handler is None:
            raise MethodNotAllowed(str(request.method))
        self.described = getattr(handler, "described", None)
        handle = partial(handler, request, *args, **kwargs)
        if request.method in SAFE_METHODS:
            return fields.only(request, handle, self.described.row if self.described else None)
        if self.described:
            parsing.only_queries(request, {*self.described.queries, "dry_run"})
        request.ocenter_reason = parsing.reason(request)  # type: ignore[attr-defined]  # for auth.actor
        if request.method == "POST" and not parsing.flag(request, "dry_run"):
            answered = self.commits_itself(request)
            if answered is not None:
                return answered
        return idempotency.once(request, handle, self.shown_once)

    def commits_itself(self, request: Request) -> Response | None:
        """Answer a POST that commits with other requests, or in pieces; None: it is one transaction."""
        return None

    def perform_authentication(self, request: Request) -> None:
        """Who is over the limit is not heard, and neither is who tries tokens."""
        try:
            super().perform_authentication(request)
        except APIException:
            self._spend(request)
            raise
        self._spend(request)

    def _spend(self, request: Request) -> None:
        self.allowance = limits.spend(request)
        if self.allowance and self.allowance.remaining < 0:
            raise Throttled(self.allowance.reset_seconds)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if len(request.get_full_path()) > ADDRESS_LONGEST:
            raise errors.AddressTooLong(f"An address has at most {ADDRESS_LONGEST} characters.")
        super().initial(request, *args, **kwargs)
        method = "GET" if request.method == "HEAD" else str(request.method)
        if method.lower() not in self.http_method_names or not hasattr(self, method.lower()):
            return  # 405 follows
        access, (noun, verb) = auth.access(request), self.rights.get(method, ("", ""))
        if access.somewhere(noun, verb):
            return
        known_by = self.known_by or noun
        if self.missing is None or access.everywhere(known_by, "read"):
            raise Denied
        if not access.somewhere(known_by, "read"):
            raise self.missing

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response["X-Request-ID"] = auth.request_id(request)
        response.setdefault("Cache-Control", "no-store")
        if self.allowance:
            self.allowance.tell(response)
        if self.described and self.described.deprecated_at:
            response["Deprecation"] = f"@{int(self.described.deprecated_at.timestamp())}"
        if self.described and self.described.sunset_at:
            response["Sunset"] = http_date(self.described.sunset_at.timestamp())
        return super().finalize_response(request, response, *args, **kwargs)


class Nowhere(View):
    """Every address that is none."""

    schema = None
    authentication_classes = []
    permission_classes = []

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        self.perform_authentication(request)
        raise NotFound("There is nothing at this address. /api/docs/ lists what there is.")


def listing(request: Request, page: Page[Any]) -> Response:
    """Answer a page as {results, next}; ``next`` is the address of the next page, null on the last."""
    following = None
    if page.next_cursor:
        query = [(name, value) for name, value in request.query_params.lists() if name != "cursor"]
        following = request.build_absolute_uri(f"?{urlencode([*query, ('cursor', page.next_cursor)], doseq=True)}")
    return Response({"results": page.rows, "next": following})


def unless_known(request: Request, tag: str, answer: Callable[[], Response]) -> Response:
    """Answer 304 to somebody who has this version already, else what ``answer`` makes, with the version as ETag."""
    quoted = etag(request, tag)
    known = {each.removeprefix("W/") for each in parse_etags(request.META.get("HTTP_IF_NONE_MATCH", ""))}
    response = Response(status=304) if known & {quoted, "*"} else answer()
    response["ETag"] = quoted
    response["Cache-Control"] = "private, no-cache"  # may be kept, and is asked for every time
    return response


def etag(request: Request, tag: str) -> str:
    """Return the ETag of a version: another for whoever sees something else of the same."""
    return f'"{tag}{auth.access(request).digest}"'


def version(row: Any) -> str:
    """Return <generation>.<version> of a row that is read already and has a generation."""
    return _version(row.generation, msgspec.json.encode(row))


def _version(generation: int, body: bytes) -> str:
    return f"{generation}.{crc32(body):08x}"


def answered(request: Request, row: Any, status: int = 200, location: str | None = None) -> Response:
    """Answer a row that was written just now, with its version as ETag and, of a new one, its address."""
    return _answered(request, row, msgspec.json.encode(row), row.generation, status, location)


def answered_as(request: Request, body: bytes, generation: int, status: int, location: str) -> Response:
    """As ``answered``, for a row of this generation that is JSON already."""
    return _answered(request, msgspec.Raw(body), body, generation, status, location)


def _answered(request: Request, data: Any, body: bytes, generation: int, status: int, location: str | None) -> Response:
    headers = {"ETag": etag(request, _version(generation, body))}
    if location is not None:
        headers["Location"] = request.build_absolute_uri(location)
    response = Response(data, status=status, headers=headers)
    bodies.remember(response, body)
    return response


def identified(text: str, otherwise: type[Missing]) -> UUID:
    """Return the id in an address. Raises what is said for a text that is none."""
    found = filters.as_uuid(text)
    if found is None:
        raise otherwise
    return found
