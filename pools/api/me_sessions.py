"""/me/sessions, /users/{user}/sessions and /users/{user}/password-reset"""

from datetime import datetime
from uuid import UUID

import msgspec
from django.urls import reverse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.domain.errors import Denied, SessionMissing, UserMissing
from pools.selectors import references
from pools.selectors import sessions as known
from pools.selectors.pages import Page
from pools.selectors.sessions import KEPT_IN_SESSION
from pools.services import passwords, sessions


class ResetLink(msgspec.Struct, frozen=True, kw_only=True):
    """A link by which a user chooses a new password: shown once, works once; null in a repeated answer."""

    link: str | None
    expires_at: datetime


def _own_id(request: Request) -> UUID:
    own_id = auth.access(request).user_id
    if own_id is None:
        raise Denied
    return own_id


class MySessions(base.View):
    """Where the caller is logged in."""

    rights = {"GET": ("me", "read")}

    @schema.operation(
        "sessions.list_mine", "List one's own sessions", answer=schema.list_of(known.SessionRow), row=known.SessionRow
    )
    def get(self, request: Request) -> Response:
        # Who comes with a token is in no session.
        current = request._request.session.get(KEPT_IN_SESSION) if auth.access(request).token_id is None else None
        rows = known.of_user(_own_id(request), timezone.now(), current)
        return base.listing(request, Page(rows=rows, next_cursor=None))


class MySession(base.View):
    """One of the caller's own sessions."""

    rights = {"DELETE": ("me", "remove")}
    missing = SessionMissing

    @schema.operation("sessions.end_mine", "End one of one's own sessions", answer=None, status=204, refusals=(404,))
    def delete(self, request: Request, session: str) -> Response:
        number = int(session) if session.isascii() and session.isdigit() and len(session) <= 18 else 0
        sessions.end(user_id=_own_id(request), session_id=number, actor=auth.actor(request), now=timezone.now())
        return Response(status=204)


class UserSessions(base.View):
    """Where a user is logged in."""

    rights = {"DELETE": ("session", "remove")}
    missing = UserMissing

    @schema.operation("sessions.end", "End all sessions of a user", answer=None, status=204, refusals=(404,))
    def delete(self, request: Request, user: str) -> Response:
        user_id = references.user_id(user, auth.access(request), noun="session", verb="remove")
        sessions.end_all(user_id=user_id, actor=auth.actor(request), now=timezone.now())
        return Response(status=204)


class PasswordReset(base.View):
    """A way back in for somebody who has forgotten the password."""

    rights = {"POST": ("user", "edit")}
    missing = UserMissing
    shown_once = ("link",)

    @schema.operation(
        "users.reset_password",
        "Make a link by which a user chooses a new password",
        body=parsing.Nothing,
        answer=ResetLink,
        status=201,
        refusals=(400, 404, 409, 413, 415, 422),
    )
    def post(self, request: Request, user: str) -> Response:
        user_id = references.user_id(user, auth.access(request), verb="edit")
        parsing.body(parsing.Nothing, request)
        key = passwords.make_reset_link(user_id=user_id, actor=auth.actor(request), now=timezone.now())
        path = reverse("account_reset_password_from_key", kwargs={"uidb36": key.user_id.hex, "key": key.token})
        return Response(ResetLink(link=request.build_absolute_uri(path), expires_at=key.expires_at), status=201)
