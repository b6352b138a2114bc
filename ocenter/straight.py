"""Requests of programs go straight to the REST API: what is for browsers has nothing to do for them."""

from collections.abc import Callable
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import resolve
from django.utils import translation
from django.utils.cache import patch_vary_headers

_API: Final = "/api/v1/"


def straight(answer: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Django's middleware: past all after it, which is sessions, cookies, forms, languages and redirects.

    It stands behind what every answer says and the log. Whoever comes with a cookie or asks for a language is no
    program of this kind, and neither is who has no token. The rest is told as those behind tell it.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        if not _is_of_program(request):
            return answer(request)
        request.get_host()  # refuses hosts that are none of ours
        translation.deactivate()  # what the request before left to this thread
        view = request.resolver_match = resolve(request.path_info)
        response: HttpResponse = view.func(request, *view.args, **view.kwargs)
        if not response.streaming:
            response.headers["Content-Length"] = str(len(response.content))  # rendered by the view itself
        patch_vary_headers(response, ("Accept-Language",))
        response.headers.setdefault("Content-Language", settings.LANGUAGE_CODE)
        return response

    return middleware


def _is_of_program(request: HttpRequest) -> bool:
    told: dict[str, Any] = request.META
    return (
        request.path_info.startswith(_API)
        and told.get("HTTP_AUTHORIZATION", "")[:7].lower() == "bearer "
        and not told.get("HTTP_COOKIE")
        and not told.get("HTTP_ACCEPT_LANGUAGE")
    )
