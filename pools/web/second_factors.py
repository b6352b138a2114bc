"""Codes of an authenticator app and recovery codes: ocenter's rules for django-allauth's second factors."""

from functools import wraps
from typing import Any

import qrcode
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.recovery_codes.views import ViewRecoveryCodesView
from allauth.mfa.signals import authentication_failed
from django.contrib.auth.decorators import login_required
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from qrcode.image.svg import SvgPathFillImage

from pools.services import credentials, second_factors
from pools.web import accounts, pages
from pools.web.pages import View


class SecondFactors(DefaultMFAAdapter):
    """Keeps secrets encrypted."""

    error_messages = DefaultMFAAdapter.error_messages | {
        "incorrect_code": _("This code is wrong, was used already or is too old. Wait for the next one."),
    }

    def build_totp_svg(self, url: str) -> str:
        """Black on white also where the page is dark: apps read it no other way."""
        return str(qrcode.make(url, image_factory=SvgPathFillImage).to_string(encoding="unicode"))

    def encrypt(self, text: str) -> str:
        return credentials.encrypt_text(text)

    def decrypt(self, encrypted_text: str) -> str:
        return credentials.decrypt_text(encrypted_text)


@login_required
def index(request: HttpRequest) -> HttpResponse:
    """Where allauth goes when it is done; the profile shows all there is."""
    return redirect("profile")


@method_decorator(never_cache, name="dispatch")
class ReadCodes(ViewRecoveryCodesView):
    """Shows new recovery codes, once."""

    def get_context_data(self, **given: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**given)
        if context["can_view_codes"]:
            second_factors.codes_read(actor=pages.actor(self.request), now=pages.now())
        return context


def noted(view: View) -> View:
    """Let what allauth changes and the audit rows of it commit together, or not at all."""

    @wraps(view)
    def run(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return view(request, *args, **kwargs)
        with second_factors.noting(actor=pages.actor(request), now=pages.now()):
            return view(request, *args, **kwargs)

    return run


@receiver(authentication_failed)
def _failed(request: HttpRequest, user: Any, **_signal: Any) -> None:
    accounts.refused(request, user, "code")
