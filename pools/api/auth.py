"""Who asks over HTTP, and what they may do."""

from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from pools.domain import access as rights
from pools.domain import actors, ids
from pools.domain.access import Access
from pools.domain.actors import Actor
from pools.selectors import access as known
from pools.services import tokens


class Caller:
    """Who asks, as REST framework's ``request.user``: logged in, with rights."""

    is_authenticated = True
    is_active = True

    def __init__(self, access: Access) -> None:
        self.access = access
        self.pk = access.user_id

    def get_username(self) -> str:
        return self.access.user_name


class Bearer(BaseAuthentication):
    """``Authorization: Bearer oc_...``. A token in the URL is no token: it would stand in logs and histories."""

    def authenticate(self, request: Request) -> tuple[Any, str] | None:
        scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        access = tokens.access_of(token.strip(), timezone.now())
        if access is None:
            raise AuthenticationFailed("This token is not valid any more, or never was.")
        return Caller(access), "bearer"

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="ocenter"'


class Session(SessionAuthentication):
    """The console's log-in cookie; unsafe requests need the CSRF token too."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        found = super().authenticate(request)
        access = known.of_user(found[0].pk) if found else None
        return (Caller(access), None) if access else None

    def enforce_csrf(self, request: Request) -> None:
        plain: Any = request._request  # the check looks for a form, and the REST request would try to parse one
        super().enforce_csrf(plain)


def access(request: Request) -> Access:
    """Return what the caller of a REST request may do; nothing when nobody is logged in."""
    found: Access = getattr(request.user, "access", rights.NOBODY)
    return found


def access_of_plain(request: HttpRequest) -> Access:
    """Return what the caller of a plain Django request may do, by token or by log-in."""
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "bearer":
        return tokens.access_of(token.strip(), timezone.now()) or rights.NOBODY
    return (known.of_user(request.user.pk) if request.user.is_authenticated else None) or rights.NOBODY


def actor(request: Request) -> Actor:
    """Return who asks, for the audit row."""
    reason = getattr(request, "ocenter_reason", "")
    return Actor(name=access(request).user_name, request_id=request_id(request), reason=reason, access=access(request))


def request_id(request: Request | HttpRequest) -> str:
    """Return the request's id as it stands in the logs. Callers do not choose it: two requests never share one."""
    known_id: str | None = getattr(request, "ocenter_request_id", None)
    if known_id is None:
        known_id = actors.request_id() or str(ids.new_id())
        request.ocenter_request_id = known_id  # type: ignore[union-attr]  # kept for the answer and the audit row
    return known_id
