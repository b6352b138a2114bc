"""/me"""

import msgspec
from django.utils import timezone
from msgspec import UNSET, UnsetType
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.domain import roles
from pools.selectors import users as seen
from pools.services import profile


class Me(base.View):
    """Whoever asks."""

    rights = {"GET": (roles.MINE, "read"), "PATCH": (roles.MINE, "edit")}

    class ProfileEdit(msgspec.Struct):
        """What to change; an empty language or time zone is the installation's."""

        display_name: str | UnsetType = UNSET
        language: str | UnsetType = UNSET
        time_zone: str | UnsetType = UNSET

    @schema.operation("me.get", "Show who one is and what one may do", answer=seen.Me)
    def get(self, request: Request) -> Response:
        return Response(seen.me(auth.access(request)))

    @schema.operation(
        "me.edit", "Change one's own profile", body=ProfileEdit, answer=seen.Me, refusals=(400, 413, 415, 422)
    )
    def patch(self, request: Request) -> Response:
        wanted = msgspec.structs.asdict(parsing.body(self.ProfileEdit, request))
        access = auth.access(request)
        user = seen.me(access).user
        present = {name: getattr(user, name) for name in ("display_name", "email", "language", "time_zone")}
        given = {name: value for name, value in wanted.items() if value is not UNSET}
        profile.change(user_id=user.id, **(present | given), actor=auth.actor(request), now=timezone.now())
        return Response(seen.me(access))
