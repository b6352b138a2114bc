"""/sso-groups"""

import msgspec
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.domain.errors import SsoGroupMissing
from pools.selectors import projects
from pools.selectors import sso_groups as seen
from pools.services import sso_groups


class SsoGroups(base.View):
    """What groups at the identity provider give."""

    rights = {"GET": ("sso_group", "read"), "POST": ("sso_group", "create")}

    class SsoGroupCreate(msgspec.Struct):
        """Who is in the group has the role, in ``project`` (path or id) or, without one, on the platform."""

        name: str
        role: str
        project: str | None = None

    @schema.listing("sso_groups.list", "List the groups that give roles", seen.SsoGroupRow, seen.FILTERS)
    def get(self, request: Request) -> Response:
        params, cursor, limit = parsing.listing(request)
        page = seen.page(params=params, cursor=cursor, limit=limit, access=auth.access(request))
        return base.listing(request, page)

    @schema.operation(
        "sso_groups.make",
        "Let a group give a role",
        body=SsoGroupCreate,
        answer=seen.SsoGroupRow,
        status=201,
        refusals=(400, 409, 413, 415, 422),
    )
    def post(self, request: Request) -> Response:
        wanted = parsing.body(self.SsoGroupCreate, request)
        project_id = None
        if wanted.project is not None:
            (project_id,) = projects.project_ids([wanted.project], auth.access(request))
        made = sso_groups.make(
            name=wanted.name, role=wanted.role, project_id=project_id, actor=auth.actor(request), now=timezone.now()
        )
        return Response(seen.one(made.pk), status=201)


class SsoGroup(base.View):
    """One group that gives a role."""

    rights = {"GET": ("sso_group", "read"), "DELETE": ("sso_group", "remove")}
    missing = SsoGroupMissing

    @schema.operation("sso_groups.get", "Show a group that gives a role", answer=seen.SsoGroupRow, refusals=(404,))
    def get(self, request: Request, group: str) -> Response:
        return Response(seen.one(base.identified(group, SsoGroupMissing)))

    @schema.operation(
        "sso_groups.remove", "Let a group give its role no longer", answer=None, status=204, refusals=(404,)
    )
    def delete(self, request: Request, group: str) -> Response:
        group_id = base.identified(group, SsoGroupMissing)
        sso_groups.remove(group_id=group_id, actor=auth.actor(request), now=timezone.now())
        return Response(status=204)
