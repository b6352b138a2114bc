"""What every request of somebody who is logged in brings: their language, their time zone, and that they were here."""

from collections.abc import Callable
from contextlib import ExitStack
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation

from pools.selectors.sessions import KEPT_IN_SESSION
from pools.services import sessions


def visits(answer: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Show times in the user's zone, and texts in the user's language unless this browser was told another."""

    def visit(request: HttpRequest) -> HttpResponse:
        with ExitStack() as during:
            if settings.SESSION_COOKIE_NAME in request.COOKIES and request.user.is_authenticated:
                if (session_id := request.session.get(KEPT_IN_SESSION)) is not None:
                    sessions.seen(session_id, timezone.now())
                if request.user.language and settings.LANGUAGE_COOKIE_NAME not in request.COOKIES:
                    during.enter_context(translation.override(request.user.language))
                    request.LANGUAGE_CODE = request.user.language
                if (zone := _zone(request.user.time_zone)) is not None:
                    during.enter_context(timezone.override(zone))
            response = answer(request)
            response.headers.setdefault("Content-Language", translation.get_language() or settings.LANGUAGE_CODE)
            return response

    return visit


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError):  # of a newer release of the tables
        return None
