"""/tokens"""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from django.urls import reverse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.domain import roles
from pools.domain.errors import TokenMissing
from pools.selectors import tokens as seen
from pools.services import tokens


class TokenMade(seen.TokenRow, frozen=True, kw_only=True):
    """A token with its secret, which is shown this once and stored nowhere; null in a repeated answer."""

    token: str | None


class Tokens(base.View):
    """One's own tokens, and those of service accounts."""

    rights = {"GET": (roles.MINE, "read"), "POST": (roles.MINE, "create")}
    shown_once = ("token",)

    class WantedScope(seen.TokenScope, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """``projects`` by path or id, ``pools`` by name or id."""

    class TokenCreate(msgspec.Struct):
        """A token of oneself, or of a service account (name or id) that one may edit.

        What ``scope`` leaves out is not limited. Without ``expires_at`` it lasts as long as is allowed.
        """

        name: str
        scope: "Tokens.WantedScope | None" = None
        expires_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
        service_account: str | None = None

    @schema.listing("tokens.list", "List tokens, the newest first", seen.TokenRow, seen.FILTERS)
    def get(self, request: Request) -> Response:
        params, cursor, limit = parsing.listing(request)
        page = seen.page(params=params, cursor=cursor, limit=limit, now=timezone.now(), access=auth.access(request))
        return base.listing(request, page)

    @schema.operation(
        "tokens.make",
        "Make a token",
        body=TokenCreate,
        answer=TokenMade,
        status=201,
        refusals=(400, 413, 415, 422),
    )
    def post(self, request: Request) -> Response:
        wanted, access = parsing.body(self.TokenCreate, request), auth.access(request)
        account = wanted.service_account
        token = tokens.make(
            username=access.user_name if account is None else seen.service_account(account, access),
            name=wanted.name,
            scope=seen.scope(wanted.scope or seen.TokenScope(), access),
            expires_at=wanted.expires_at,
            actor=auth.actor(request),
            now=timezone.now(),
        )
        return _made(request, token)


class Token(base.View):
    """One token."""

    rights = {"GET": (roles.MINE, "read"), "DELETE": (roles.MINE, "remove")}
    missing = TokenMissing

    @schema.operation("tokens.get", "Show a token", answer=seen.TokenRow, refusals=(404,))
    def get(self, request: Request, token: str) -> Response:
        token_id = base.identified(token, TokenMissing)
        return Response(seen.one(token_id, timezone.now(), auth.access(request)))

    @schema.operation("tokens.revoke", "Revoke a token", answer=None, status=204, refusals=(404,))
    def delete(self, request: Request, token: str) -> Response:
        token_id = _reachable(request, token, "remove")
        tokens.revoke(token_id=token_id, actor=auth.actor(request), now=timezone.now())
        return Response(status=204)


class Rotate(base.View):
    """A successor of a token."""

    rights = {"POST": (roles.MINE, "create")}
    missing = TokenMissing
    shown_once = ("token",)

    class TokenRotate(msgspec.Struct):
        """For how many seconds the old token goes on, 0 to 604800."""

        overlap_seconds: int = tokens.OVERLAP_DEFAULT_SECONDS

    @schema.operation(
        "tokens.rotate",
        "Make a successor with the same name and scope; the old token ends after the overlap",
        body=TokenRotate,
        answer=TokenMade,
        status=201,
        refusals=(400, 404, 409, 413, 415, 422),
    )
    def post(self, request: Request, token: str) -> Response:
        token_id = _reachable(request, token, "create")
        wanted = parsing.body(self.TokenRotate, request)
        made = tokens.rotate(
            token_id=token_id,
            overlap_seconds=wanted.overlap_seconds,
            actor=auth.actor(request),
            now=timezone.now(),
        )
        return _made(request, made)


def _reachable(request: Request, token: str, verb: str) -> UUID:
    return seen.reachable(base.identified(token, TokenMissing), auth.access(request), verb)


def _made(request: Request, token: str) -> Response:
    row = seen.made(token, timezone.now())
    location = request.build_absolute_uri(reverse("api-token", args=[row.id]))
    return Response(TokenMade(**msgspec.structs.asdict(row), token=token), status=201, headers={"Location": location})
