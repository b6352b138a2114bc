"""Single sign-on by OpenID Connect: code flow with PKCE and nonce, through django-allauth.

The ID token's signature, issuer, audience, expiry and nonce are checked, userinfo must be of the same subject
(OpenID Connect Core 1.0, 3.1.3.7 and 5.3.2). No token of the provider is stored; of its claims only the groups are.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final, cast

import structlog
from allauth.account.utils import get_next_redirect_url
from allauth.core.internal import ratelimit
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.helpers import render_authentication_error
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.base import AuthProcess
from allauth.socialaccount.providers.oauth2.client import OAuth2Client, OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from requests import RequestException

from pools.domain import actors
from pools.domain.actors import Actor
from pools.selectors import logins
from pools.services import sso
from pools.web import accounts, pages

log = structlog.get_logger(__name__)

_NEEDED: Final = {"issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"}
_limited: Final[Callable[[pages.View], pages.View]] = ratelimit.decorator(
    app="allauth.account", action="login", limit_get=True
)


def nonce(state: str) -> str:
    """Return the nonce that belongs to a state: who has one of them by guessing has not the other."""
    return sha256(f"nonce {state}".encode()).hexdigest()


class Client(OAuth2Client):
    """Sends a nonce along."""

    def get_redirect_url(self, authorization_url: str, scope: Any, extra_params: dict[str, Any]) -> str:
        url: str = super().get_redirect_url(authorization_url, scope, {**extra_params, "nonce": nonce(str(self.state))})
        return url


class Adapter(OpenIDConnectOAuth2Adapter):
    """Believes the provider only what it proves."""

    client_class = Client

    @property
    def openid_config(self) -> Any:
        config = super().openid_config
        if not isinstance(config, dict) or _NEEDED - config.keys():
            raise OAuth2Error("The provider's description lacks something.")
        if str(config["issuer"]).rstrip("/") != self.get_provider().app.settings["server_url"].rstrip("/"):
            raise OAuth2Error("The provider's description names another issuer.")
        return config

    @property
    def basic_auth(self) -> bool:
        """The specification's default, which allauth takes last (OpenID Connect Discovery 1.0, section 3)."""
        methods = self.openid_config.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        return bool(self.get_provider().app.secret) and "client_secret_basic" in methods

    def complete_login(self, request: HttpRequest, app: Any, token: Any, **kwargs: Any) -> Any:
        if not kwargs["response"].get("id_token"):
            raise OAuth2Error("The provider sent no ID token.")
        try:
            return super().complete_login(request, app, token, **kwargs)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise OAuth2Error("The provider's answer cannot be understood.") from error

    def _decode_id_token(self, app: Any, id_token: str) -> dict[str, Any]:
        self.did_fetch_access_token = False  # else allauth trusts the connection instead of the signature
        claims: dict[str, Any] = super()._decode_id_token(app, id_token)
        if claims.get("nonce") != nonce(self.request.GET.get("state", "")):
            raise OAuth2Error("The ID token was made for another log-in.")
        return claims


class Provider(OpenIDConnectProvider):
    """The provider of this installation."""

    oauth2_adapter_class = Adapter

    def sociallogin_from_response(self, request: HttpRequest, response: Any) -> Any:
        if response["userinfo"]["sub"] != response["id_token"]["sub"]:
            raise OAuth2Error("Userinfo is somebody else's.")
        return super().sociallogin_from_response(request, response)

    def extract_extra_data(self, data: Any) -> dict[str, Any]:
        claim = settings.OIDC_GROUPS_CLAIM
        groups = data["userinfo"].get(claim) or data["id_token"].get(claim) or ()
        groups = [groups] if isinstance(groups, str) else groups
        return {"groups": [each for each in groups if isinstance(each, str)][: sso.GROUPS_MOST]}


class SingleSignOn(DefaultSocialAccountAdapter):
    """The first single sign-on makes a user without any role, and never takes over an account that is there."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return True

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        sociallogin.token = None
        if not sociallogin.is_existing:
            sociallogin.email_addresses = []
            if logins.with_email(sociallogin.user.email):
                sociallogin.user.email = ""

    def populate_user(self, request: HttpRequest, sociallogin: Any, data: dict[str, Any]) -> Any:
        user = super().populate_user(request, sociallogin, data)
        user.display_name = str(data.get("name") or "")[:150]
        return user

    def save_user(self, request: HttpRequest, sociallogin: Any, form: Any = None) -> Any:
        user = super().save_user(request, sociallogin, form)
        who = Actor(name=user.username, request_id=actors.request_id())
        sso.joined(user_id=user.pk, actor=who, now=pages.now())
        return user

    def on_authentication_error(
        self, request: HttpRequest, provider: Any, error: Any = None, exception: Any = None, extra_context: Any = None
    ) -> None:
        """Their texts may quote what the provider sent, so only the kinds of the errors are logged."""
        kinds = [type(each).__name__ for each in (exception, getattr(exception, "__cause__", None)) if each is not None]
        log.warning("single_sign_on_refused", error=str(error), kinds=kinds)
        if (extra_context or {}).get("state"):  # it was begun here; else anybody could fill the audit
            accounts.refused(request, None, "sso")


@never_cache
@_limited
def begin(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Go to the provider."""
    if request.user.is_authenticated:
        return redirect("overview")
    provider = _provider(request, provider_id)
    try:
        response = provider.redirect(request, AuthProcess.LOGIN, next_url=get_next_redirect_url(request))
    except (OAuth2Error, RequestException) as error:
        response = render_authentication_error(request, provider, exception=error)
    return cast("HttpResponse", response)


@never_cache
@_limited
def end(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Come back from the provider."""
    provider = _provider(request, provider_id)
    try:
        response = OAuth2CallbackView.adapter_view(Adapter(request, provider_id))(request)
    except (OAuth2Error, RequestException) as error:
        response = render_authentication_error(request, provider, exception=error)
    return cast("HttpResponse", response)


def _provider(request: HttpRequest, provider_id: str) -> Any:
    try:
        return Adapter(request, provider_id).get_provider()
    except SocialApp.DoesNotExist:
        raise Http404 from None
