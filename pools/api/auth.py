"""Who asks over HTTP, and whether they may. Until roles exist, REST is for administrators."""

from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from pools.domain import actors, ids
from pools.domain.actors import Actor
from pools.services import tokens


class Bearer(BaseAuthentication):
    """``Authorization: Bearer oc_...``. A token in the URL is no token: it would stand in logs and histories."""

    def authenticate(self, request: Request) -> tuple[Any, str] | None:
        scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        user = tokens.user_of(token.strip(), timezone.now())
        if user is None:
            raise AuthenticationFailed("This token is not valid any more, or never was.")
        return user, "bearer"

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="ocenter"'


class Session(SessionAuthentication):
    """The console's log-in cookie; unsafe requests need the CSRF token too."""

    def enforce_csrf(self, request: Request) -> None:
        plain: Any = request._request  # the check looks for a form, and the REST request would try to parse one
        super().enforce_csrf(plain)


class IsAdministrator(BasePermission):
    """A superuser."""

    message = "Only administrators may use the API."

    def has_permission(self, request: Request, view: Any) -> bool:
        return bool(request.user and request.user.is_authenticated and request.user.is_superuser)


def is_administrator(request: HttpRequest) -> bool:
    """True when a plain Django request comes with an administrator's token or log-in."""
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    user: Any = tokens.user_of(token.strip(), timezone.now()) if scheme.lower() == "bearer" else request.user
    return bool(user and user.is_authenticated and user.is_superuser)


def actor(request: Request) -> Actor:
    """Return who asks, for the audit row."""
    return Actor(name=request.user.get_username(), request_id=request_id(request))


def request_id(request: Request | HttpRequest) -> str:
    """Return the request's id as it stands in the logs. Callers do not choose it: two requests never share one."""
    known: str | None = getattr(request, "ocenter_request_id", None)
    if known is None:
        known = actors.request_id() or str(ids.new_id())
        request.ocenter_request_id = known  # type: ignore[union-attr]  # kept for the answer and the audit row
    return known
