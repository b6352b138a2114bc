"""/service-accounts, /projects/{project}/service-accounts"""

from uuid import UUID

import msgspec
from django.urls import reverse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.domain.errors import ProjectMissing, ServiceAccountMissing
from pools.selectors import references
from pools.selectors import service_accounts as seen
from pools.services import service_accounts

_WRITING = (400, 404, 409, 413, 415, 422)


class ServiceAccountCreate(msgspec.Struct):
    """A service account with its one role, not above the own one."""

    name: str
    role: str


class ServiceAccounts(base.View):
    """All service accounts that the caller may know of, and those of the platform."""

    rights = {"GET": ("service_account", "read"), "POST": ("service_account", "create")}

    @schema.listing("service_accounts.list", "List service accounts", seen.ServiceAccountRow, seen.FILTERS)
    def get(self, request: Request) -> Response:
        params, cursor, limit = parsing.listing(request)
        page = seen.page(params=params, cursor=cursor, limit=limit, access=auth.access(request))
        return base.listing(request, page)

    @schema.operation(
        "service_accounts.make",
        "Make a service account of the platform",
        body=ServiceAccountCreate,
        answer=seen.ServiceAccountRow,
        status=201,
        refusals=(400, 409, 413, 415, 422),
    )
    def post(self, request: Request) -> Response:
        return _made(request, None)


class ProjectServiceAccounts(base.View):
    """The service accounts of a project."""

    rights = {"GET": ("service_account", "read"), "POST": ("service_account", "create")}
    missing = ProjectMissing
    known_by = "project"

    @schema.listing(
        "service_accounts.list_of_project",
        "List the service accounts of a project",
        seen.ServiceAccountRow,
        seen.FILTERS,
    )
    def get(self, request: Request, project: str) -> Response:
        access = auth.access(request)
        found = references.project(project, access, noun="service_account")
        params, cursor, limit = parsing.listing(request)
        page = seen.page(params=params, cursor=cursor, limit=limit, access=access, project=found)
        return base.listing(request, page)

    @schema.operation(
        "service_accounts.make_in_project",
        "Make a service account of a project",
        body=ServiceAccountCreate,
        answer=seen.ServiceAccountRow,
        status=201,
        refusals=_WRITING,
    )
    def post(self, request: Request, project: str) -> Response:
        found = references.project(project, auth.access(request), noun="service_account", verb="create")
        return _made(request, found.pk)


class ServiceAccount(base.View):
    """One service account."""

    rights = {
        "GET": ("service_account", "read"),
        "PATCH": ("service_account", "edit"),
        "DELETE": ("service_account", "remove"),
    }
    missing = ServiceAccountMissing
    known_by = "project"

    class ServiceAccountEdit(msgspec.Struct):
        """Another role, or off and on: while it is off, its tokens are worth nothing."""

        role: str | None = None
        is_active: bool | None = None

    @schema.operation(
        "service_accounts.get",
        "Show a service account",
        answer=seen.ServiceAccountRow,
        refusals=(404,),
        is_conditional=True,
    )
    def get(self, request: Request, account: str) -> Response:
        access = auth.access(request)
        row = seen.one(seen.reachable(account, access), access)
        return base.unless_known(request, base.version(row), lambda: Response(row))

    @schema.operation(
        "service_accounts.edit",
        "Change the role, or switch off and on",
        body=ServiceAccountEdit,
        answer=seen.ServiceAccountRow,
        refusals=(*_WRITING, 412),
        parameters=[schema.IF_MATCH],
    )
    def patch(self, request: Request, account: str) -> Response:
        access = auth.access(request)
        account_id = seen.reachable(account, access, "edit")
        wanted = parsing.body(self.ServiceAccountEdit, request)
        service_accounts.edit(
            account_id=account_id,
            role=wanted.role,
            is_active=wanted.is_active,
            generation=parsing.generation(request),
            actor=auth.actor(request),
            now=timezone.now(),
        )
        return base.answered(request, seen.one(account_id, access))

    @schema.operation(
        "service_accounts.remove",
        "Switch off for good, revoke all tokens and free the name",
        answer=None,
        status=204,
        refusals=(404,),
    )
    def delete(self, request: Request, account: str) -> Response:
        account_id = seen.reachable(account, auth.access(request), "remove")
        service_accounts.remove(account_id=account_id, actor=auth.actor(request), now=timezone.now())
        return Response(status=204)


def _made(request: Request, project_id: UUID | None) -> Response:
    wanted = parsing.body(ServiceAccountCreate, request)
    made = service_accounts.make(
        project_id=project_id, name=wanted.name, role=wanted.role, actor=auth.actor(request), now=timezone.now()
    )
    row = seen.one(made.pk, auth.access(request))
    return base.answered(request, row, 201, reverse("api-service-account", args=[made.pk]))
