"""What all views share: log-in, rights, JSON by msgspec, problems, request ids."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from django.utils.http import parse_etags
from rest_framework.exceptions import NotFound
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from pools.api import auth, errors
from pools.domain import filters
from pools.domain.errors import Denied, Missing
from pools.selectors.pages import Page


class Json(BaseRenderer):
    """Structs, ids and instants as JSON; instants are RFC 3339 in UTC."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        return b"" if data is None else msgspec.json.encode(data)


class View(APIView):
    """A resource. Without rights for a method nobody may use it.

    ``rights`` are (noun, verb) by method. A view of one object names in ``missing`` what somebody is told who may not
    know of it. Who knows of some such objects and not of others is let through: the view then finds the object by
    `selectors.references`, which tells the two apart and asks for the verb.
    """

    rights: Mapping[str, tuple[str, str]] = {}
    missing: type[Missing] | None = None
    authentication_classes = [auth.Bearer, auth.Session]
    permission_classes = [IsAuthenticated]
    renderer_classes = [Json]
    parser_classes: list[Any] = []  # parsing.body reads it
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    def get_exception_handler(self) -> Any:
        return errors.answer

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        method = "GET" if request.method == "HEAD" else str(request.method)
        if method.lower() not in self.http_method_names or not hasattr(self, method.lower()):
            return  # 405 follows
        access, (noun, verb) = auth.access(request), self.rights.get(method, ("", ""))
        if access.somewhere(noun, verb):
            return
        if self.missing is None or access.everywhere(noun, "read"):
            raise Denied
        if not access.somewhere(noun, "read"):
            raise self.missing

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response["X-Request-ID"] = auth.request_id(request)
        response.setdefault("Cache-Control", "no-store")
        return super().finalize_response(request, response, *args, **kwargs)


class Nowhere(View):
    """Every address that is none."""

    schema = None
    authentication_classes = []
    permission_classes = []

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
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


def identified(text: str, otherwise: type[Missing]) -> UUID:
    """Return the id in an address. Raises what is said for a text that is none."""
    found = filters.as_uuid(text)
    if found is None:
        raise otherwise
    return found
