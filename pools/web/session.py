"""Logging in and out, and what a browser remembers: language and theme."""

from typing import Final

from django.conf import settings
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import translation
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from pools.web import pages

_YEAR_SECONDS: Final = 365 * 86_400


class LogIn(LoginView):
    """The form for name and password; who is logged in already goes on."""

    template_name = "session/login.html"
    redirect_authenticated_user = True


class LogOut(LogoutView):
    """Ends the session."""


@require_POST
def preferences(request: HttpRequest) -> HttpResponse:
    """Keep the language or the theme in a cookie and go back to where one was."""
    back = request.POST.get("next", "/")
    if not url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}, require_https=request.is_secure()):
        back = "/"
    response = redirect(back)
    language, theme = request.POST.get("language", ""), request.POST.get("theme", "")
    if translation.check_for_language(language) and language in dict(settings.LANGUAGES):
        _remember(response, settings.LANGUAGE_COOKIE_NAME, language)
    if theme in pages.THEMES:
        _remember(response, pages.THEME_COOKIE, theme)
    return response


def _remember(response: HttpResponse, name: str, value: str) -> None:
    response.set_cookie(
        name, value, max_age=_YEAR_SECONDS, samesite="Lax", httponly=True, secure=settings.SESSION_COOKIE_SECURE
    )
