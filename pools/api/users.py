"""/users, /roles"""

from datetime import datetime

import msgspec
from django.urls import reverse
from django.utils import timezone
from msgspec import UNSET, UnsetType
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.domain import roles
from pools.domain.errors import UserMissing
from pools.selectors import references
from pools.selectors import users as seen
from pools.selectors.pages import Page
from pools.services import passwords, users

_WRITING = (400, 404, 409, 412, 413, 415, 422)


class UserMade(seen.UserRow, frozen=True, kw_only=True):
    """A new account with the link by which its owner chooses a password: shown this once; null in a repeated answer."""

    link: str | None
    link_expires_at: datetime


class Users(base.View):
    """All accounts."""

    rights = {"GET": ("user", "read"), "POST": ("user", "create")}
    shown_once = ("link",)

    class UserCreate(msgspec.Struct):
        """An account without any role."""

        username: str
        email: str = ""
        display_name: str = ""

    @schema.listing("users.list", "List accounts", seen.UserRow, seen.FILTERS)
    def get(self, request: Request) -> Response:
        params, cursor, limit = parsing.listing(request)
        return base.listing(request, seen.page(params=params, cursor=cursor, limit=limit))

    @schema.operation(
        "users.create",
        "Make an account",
        body=UserCreate,
        answer=UserMade,
        status=201,
        refusals=(400, 409, 413, 415, 422),
    )
    def post(self, request: Request) -> Response:
        wanted, actor, now = parsing.body(self.UserCreate, request), auth.actor(request), timezone.now()
        made = users.create(**msgspec.structs.asdict(wanted), actor=actor, now=now)
        key = passwords.make_reset_link(user_id=made.pk, actor=actor, now=now)
        path = reverse("account_reset_password_from_key", kwargs={"uidb36": key.user_id.hex, "key": key.token})
        row = seen.one(str(made.pk))
        answer = UserMade(
            **{name: getattr(row, name) for name in row.__struct_fields__},
            link=request.build_absolute_uri(path),
            link_expires_at=key.expires_at,
        )
        response = Response(answer, status=201, headers={"ETag": base.etag(request, base.version(row))})
        response["Location"] = request.build_absolute_uri(reverse("api-user", args=[made.pk]))
        return response


class User(base.View):
    """One account."""

    rights = {"GET": ("user", "read"), "PATCH": ("user", "edit")}
    missing = UserMissing

    class UserEdit(msgspec.Struct):
        """What to change. Whoever is switched off is logged out, and the tokens are worth nothing."""

        email: str | UnsetType = UNSET
        display_name: str | UnsetType = UNSET
        is_active: bool | UnsetType = UNSET

    @schema.operation("users.get", "Show an account", answer=seen.UserRow, refusals=(404,), is_conditional=True)
    def get(self, request: Request, user: str) -> Response:
        row = seen.one(str(references.user_id(user, auth.access(request))))
        return base.unless_known(request, base.version(row), lambda: Response(row))

    @schema.operation(
        "users.edit",
        "Edit an account, or switch it off and on",
        body=UserEdit,
        answer=seen.UserRow,
        refusals=_WRITING,
        parameters=[schema.IF_MATCH],
    )
    def patch(self, request: Request, user: str) -> Response:
        user_id = references.user_id(user, auth.access(request), verb="edit")
        wanted = msgspec.structs.asdict(parsing.body(self.UserEdit, request))
        users.edit(
            user_id=user_id,
            changes={name: value for name, value in wanted.items() if value is not UNSET},
            generation=parsing.generation(request),
            actor=auth.actor(request),
            now=timezone.now(),
        )
        return base.answered(request, seen.one(str(user_id)))


class PlatformRoles(base.View):
    """The roles of a person on the platform."""

    rights = {"PUT": ("platform_role", "edit")}
    missing = UserMissing

    @schema.operation(
        "users.set_platform_roles",
        "Let a person have exactly these roles on the platform, beside those from single sign-on",
        body={"type": "array", "items": {"type": "string", "enum": list(roles.PLATFORM_ROLES)}},
        answer=seen.UserRow,
        refusals=_WRITING,
        parameters=[schema.IF_MATCH],
    )
    def put(self, request: Request, user: str) -> Response:
        user_id = references.user_id(user, auth.access(request), noun="platform_role", verb="edit")
        users.set_platform_roles(
            user_id=user_id,
            roles=parsing.words(request),
            generation=parsing.generation(request),
            actor=auth.actor(request),
            now=timezone.now(),
        )
        return base.answered(request, seen.one(str(user_id)))


class RoleRights(msgspec.Struct, frozen=True, kw_only=True):
    """What a role may do: verbs by noun. One ``of`` the platform reaches everything, one of a project its subtree."""

    role: str
    of: str
    rights: dict[str, list[str]]


class Roles(base.View):
    """The table of roles."""

    rights = {"GET": (roles.MINE, "read")}

    @schema.operation(
        "roles.list", "List the roles and what each may do", answer=schema.list_of(RoleRights), row=RoleRights
    )
    def get(self, request: Request) -> Response:
        rows = [
            RoleRights(
                role=role,
                of="platform" if role in roles.PLATFORM_ROLES else "project",
                rights={noun: sorted(verbs) for noun, verbs in roles.RIGHTS[role].items() if verbs},
            )
            for role in roles.ROLES
        ]
        return base.listing(request, Page(rows, None))
