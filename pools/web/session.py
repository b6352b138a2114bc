"""Logging in and out, and what a browser remembers: language and theme."""

from typing import Any, Final

from allauth.account.internal import flows
from allauth.account.views import LoginView, PasswordChangeView, PasswordResetView
from allauth.socialaccount.adapter import get_adapter as sign_on
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import translation
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from pools.web import pages

_YEAR_SECONDS: Final = 365 * 86_400


class LogIn(LoginView):
    """The form for name and password, and the way to single sign-on; who is logged in already goes on."""

    template_name = "session/login.html"

    def get_context_data(self, **given: Any) -> dict[str, Any]:
        following = self.get_next_url() or ""
        providers = [
            {
                "name": each.name,
                "address": each.get_login_url(self.request, **({"next": following} if following else {})),
            }
            for each in sign_on(self.request).list_providers(self.request)
        ]
        about = {"next": following, "providers": providers, "has_email": settings.HAS_EMAIL}
        return {**super().get_context_data(**given), **about}


@never_cache
@require_POST
def log_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    flows.logout.logout(request, show_message=False)
    return redirect("login")


class ForgotPassword(PasswordResetView):
    """Send a link by e-mail; without a mail server only an administrator makes one."""

    def dispatch(self, request: HttpRequest, *given: Any, **named: Any) -> Any:
        if not settings.HAS_EMAIL:
            raise Http404
        return super().dispatch(request, *given, **named)


class ChangePassword(PasswordChangeView):
    """For those who have one; others log in by single sign-on."""

    success_url = "/profile/"

    def dispatch(self, request: HttpRequest, *given: Any, **named: Any) -> Any:
        if request.user.is_authenticated and not request.user.has_usable_password():
            raise Http404
        return super().dispatch(request, *given, **named)


@require_POST
def preferences(request: HttpRequest) -> HttpResponse:
    """Keep the language or the theme in a cookie and go back to where one was."""
    back = request.POST.get("next", "/")
    if not url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}, require_https=request.is_secure()):
        back = "/"
    response = redirect(back)
    language, theme = request.POST.get("language", ""), request.POST.get("theme", "")
    if translation.check_for_language(language) and language in dict(settings.LANGUAGES):
        remember(response, settings.LANGUAGE_COOKIE_NAME, language)
    if theme in pages.THEMES:
        remember(response, pages.THEME_COOKIE, theme)
    return response


def remember(response: HttpResponse, name: str, value: str) -> None:
    """Keep a preference in this browser for a year."""
    response.set_cookie(
        name, value, max_age=_YEAR_SECONDS, samesite="Lax", httponly=True, secure=settings.SESSION_COOKIE_SECURE
    )
