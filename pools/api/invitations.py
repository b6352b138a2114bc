"""/invitations, /projects/{project}/invitations"""

from uuid import UUID

import msgspec
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.domain.errors import InvitationMissing, ProjectMissing
from pools.selectors import invitations as seen
from pools.selectors import references
from pools.services import invitation_mails, invitations

_WRITING = (400, 404, 409, 413, 415, 422)


class InvitationMade(seen.InvitationRow, frozen=True, kw_only=True):
    """An invitation with its link, which is shown this once and stored nowhere; null in a repeated answer.

    ``is_mailed``: the link goes to the address as well.
    """

    link: str | None
    is_mailed: bool


class Invitations(base.View):
    """All invitations that the caller may know of, and those to the platform."""

    rights = {"GET": ("invitation", "read"), "POST": ("invitation", "create")}
    shown_once = ("link",)

    class InvitationCreate(msgspec.Struct):
        """Somebody to have an account and, when given, a role of the platform."""

        email: str
        role: str = ""

    @schema.listing("invitations.list", "List invitations, the newest first", seen.InvitationRow, seen.FILTERS)
    def get(self, request: Request) -> Response:
        params, cursor, limit = parsing.listing(request)
        return base.listing(
            request,
            seen.page(params=params, cursor=cursor, limit=limit, now=timezone.now(), access=auth.access(request)),
        )

    @schema.operation(
        "invitations.make",
        "Invite somebody to the platform",
        body=InvitationCreate,
        answer=InvitationMade,
        status=201,
        refusals=(400, 413, 415, 422),
    )
    def post(self, request: Request) -> Response:
        wanted = parsing.body(self.InvitationCreate, request)
        return _made(request, None, wanted.email, wanted.role)


class ProjectInvitations(base.View):
    """The invitations of a project."""

    rights = {"GET": ("invitation", "read"), "POST": ("invitation", "create")}
    missing = ProjectMissing
    known_by = "project"
    shown_once = ("link",)

    class MemberInvite(msgspec.Struct):
        """Somebody to have a role in the project."""

        email: str
        role: str

    @schema.listing(
        "invitations.list_of_project", "List the invitations of a project", seen.InvitationRow, seen.FILTERS
    )
    def get(self, request: Request, project: str) -> Response:
        access = auth.access(request)
        found = references.project(project, access, noun="invitation")
        params, cursor, limit = parsing.listing(request)
        page = seen.page(params=params, cursor=cursor, limit=limit, now=timezone.now(), access=access, project=found)
        return base.listing(request, page)

    @schema.operation(
        "invitations.make_in_project",
        "Invite somebody to a project",
        body=MemberInvite,
        answer=InvitationMade,
        status=201,
        refusals=_WRITING,
    )
    def post(self, request: Request, project: str) -> Response:
        found = references.project(project, auth.access(request), noun="invitation", verb="create")
        wanted = parsing.body(self.MemberInvite, request)
        return _made(request, found.pk, wanted.email, wanted.role)


class Invitation(base.View):
    """One invitation."""

    rights = {"DELETE": ("invitation", "remove")}
    missing = InvitationMissing
    known_by = "project"

    @schema.operation("invitations.withdraw", "Withdraw an invitation", answer=None, status=204, refusals=(404, 409))
    def delete(self, request: Request, invitation: str) -> Response:
        invitation_id = seen.reachable(base.identified(invitation, InvitationMissing), auth.access(request))
        invitations.withdraw(invitation_id=invitation_id, actor=auth.actor(request), now=timezone.now())
        return Response(status=204)


def _made(request: Request, project_id: UUID | None, email: str, role: str) -> Response:
    now = timezone.now()
    made, secret = invitations.invite(project_id=project_id, email=email, role=role, actor=auth.actor(request), now=now)
    row = seen.one(made.pk, now, auth.access(request))
    link = request.build_absolute_uri(invitations.path(secret))
    answer = InvitationMade(**msgspec.structs.asdict(row), link=link, is_mailed=invitation_mails.send(made, link))
    return Response(answer, status=201)
