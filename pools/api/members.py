"""/projects/{project}/members"""

import msgspec
from django.urls import reverse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.domain.errors import ProjectMissing
from pools.selectors import members as seen
from pools.selectors import references
from pools.services import members

_WRITING = (400, 404, 409, 413, 415, 422)


class Members(base.View):
    """Who has a role in a project."""

    rights = {"GET": ("member", "read"), "POST": ("member", "create")}
    missing = ProjectMissing
    known_by = "project"

    class MemberAdd(msgspec.Struct):
        """Somebody by name or id who is in the tenant's tree already; others are invited."""

        user: str
        role: str

    @schema.listing("members.list", "List the members of a project", seen.MemberRow, seen.FILTERS)
    def get(self, request: Request, project: str) -> Response:
        access = auth.access(request)
        found = references.project(project, access, noun="member")
        params, cursor, limit = parsing.listing(request)
        return base.listing(request, seen.page(project=found, params=params, cursor=cursor, limit=limit, access=access))

    @schema.operation(
        "members.add", "Give somebody a role", body=MemberAdd, answer=seen.MemberRow, status=201, refusals=_WRITING
    )
    def post(self, request: Request, project: str) -> Response:
        access = auth.access(request)
        found = references.project(project, access, noun="member", verb="create")
        wanted = parsing.body(self.MemberAdd, request)
        members.add(
            project_id=found.pk, user=wanted.user, role=wanted.role, actor=auth.actor(request), now=timezone.now()
        )
        row = seen.one(project=found, user=wanted.user, access=access)
        location = request.build_absolute_uri(reverse("api-member", args=[found.pk, row.user_id]))
        return Response(row, status=201, headers={"Location": location})


class Member(base.View):
    """A role of somebody in a project."""

    rights = {"PATCH": ("member", "edit"), "DELETE": ("member", "remove")}
    missing = ProjectMissing
    known_by = "project"

    class MemberEdit(msgspec.Struct):
        """Another role."""

        role: str

    @schema.operation("members.edit", "Change a role", body=MemberEdit, answer=seen.MemberRow, refusals=_WRITING)
    def patch(self, request: Request, project: str, user: str) -> Response:
        access = auth.access(request)
        found = references.project(project, access, noun="member", verb="edit")
        role = parsing.body(self.MemberEdit, request).role
        members.change(project_id=found.pk, user=user, role=role, actor=auth.actor(request), now=timezone.now())
        return Response(seen.one(project=found, user=user, access=access))

    @schema.operation("members.remove", "Take a role", answer=None, status=204, refusals=(404, 409))
    def delete(self, request: Request, project: str, user: str) -> Response:
        found = references.project(project, auth.access(request), noun="member", verb="remove")
        members.remove(project_id=found.pk, user=user, actor=auth.actor(request), now=timezone.now())
        return Response(status=204)
