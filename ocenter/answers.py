"""What every answer tells browsers beside what Django's own middleware says."""

from collections.abc import Callable
from typing import Final

from csp.constants import HEADER
from csp.utils import build_policy
from django.http import HttpRequest, HttpResponse

_UNUSED_POWERS: Final = ("camera", "display-capture", "geolocation", "microphone", "midi", "payment", "serial", "usb")
PERMISSIONS: Final = ", ".join(f"{power}=()" for power in _UNUSED_POWERS)


def restrained(answer: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Django's middleware: powers of a browser that no page uses are off, and only what says so is kept.

    No page has a Content-Security-Policy of its own, so that of the settings is put together once.
    """
    policy = build_policy()

    def middleware(request: HttpRequest) -> HttpResponse:
        response = answer(request)
        response[HEADER] = policy
        response["Permissions-Policy"] = PERMISSIONS
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return middleware
