"""Who asks over HTTP, and whether they may. Until roles exist, REST is for administrators."""

import re
from typing import Any, Final

import structlog
from django.http import HttpRequest
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from pools.domain import ids
from pools.domain.actors import Actor
from pools.services import tokens

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


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


class IsAdministrator(BasePermission):
    """A superuser."""

    message = "Only administrators may use the API."

    def has_permission(self, request: Request, view: Any) -> bool:
        return bool(request.user and request.user.is_authenticated and request.user.is_superuser)


def actor(request: Request) -> Actor:
    """Return who asks, for the audit row."""
    return Actor(name=request.user.get_username(), request_id=request_id(request))


def request_id(request: Request | HttpRequest) -> str:
    """Return the request's id: the one in the logs, else the caller's, else a new one."""
    known: str | None = getattr(request, "ocenter_request_id", None)
    if known is None:
        logged = structlog.contextvars.get_contextvars().get("request_id") or request.META.get("HTTP_X_REQUEST_ID", "")
        known = str(logged) if _REQUEST_ID.fullmatch(str(logged)) else str(ids.new_id())
        request.ocenter_request_id = known  # type: ignore[union-attr]  # kept for the answer and the audit row
    return known
