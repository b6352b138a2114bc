"""/projects"""

from typing import Any
from uuid import UUID

import msgspec
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import extend_schema_view
from msgspec import UNSET, UnsetType
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.domain.errors import FieldError, Invalid, ProjectMissing
from pools.selectors import pools as granted
from pools.selectors import projects as seen
from pools.selectors import references
from pools.services import projects

_WRITING = (400, 404, 409, 413, 415, 422)


class Projects(base.View):
    """All projects that the caller may know of."""

    rights = {"GET": ("project", "read"), "POST": ("project", "create")}

    class ProjectCreate(msgspec.Struct):
        """A project to make below ``parent`` (path or id); without one a tenant, which only the platform makes."""

        name: str
        parent: str | None = None
        display_name: str = ""
        labels: dict[str, str] = {}

    @schema.listing("projects.list", "List projects", seen.ProjectRow, seen.FILTERS)
    def get(self, request: Request) -> Response:
        params, cursor, limit = parsing.listing(request)
        page = seen.page(params=params, cursor=cursor, limit=limit, access=auth.access(request))
        return base.listing(request, page)

    @schema.operation(
        "projects.create",
        "Make a project",
        body=ProjectCreate,
        answer=seen.ProjectRow,
        status=201,
        refusals=(400, 409, 413, 415, 422),
    )
    def post(self, request: Request) -> Response:
        wanted = parsing.body(self.ProjectCreate, request)
        made = projects.create(
            name=wanted.name,
            parent_id=_parent_id(request, wanted.parent),
            display_name=wanted.display_name,
            labels=wanted.labels,
            actor=auth.actor(request),
            now=timezone.now(),
        )
        return _shown(request, made.pk, status=201)


class Project(base.View):
    """One project."""

    rights = {"GET": ("project", "read"), "PATCH": ("project", "edit")}
    missing = ProjectMissing

    class ProjectEdit(msgspec.Struct):
        """What to change; labels are replaced as a whole. A name takes the right to edit the project above."""

        name: str | UnsetType = UNSET
        display_name: str | UnsetType = UNSET
        labels: dict[str, str] | UnsetType = UNSET

    @schema.operation("projects.get", "Show a project", answer=seen.ProjectRow, refusals=(404,), is_conditional=True)
    def get(self, request: Request, project: str) -> Response:
        access = auth.access(request)
        row = seen.one(references.project(project, access).pk, access)
        return base.unless_known(request, base.version(row), lambda: Response(row))

    @schema.operation(
        "projects.edit",
        "Edit or rename a project",
        body=ProjectEdit,
        answer=seen.ProjectRow,
        refusals=(*_WRITING, 412),
        parameters=[schema.IF_MATCH],
    )
    def patch(self, request: Request, project: str) -> Response:
        project_id = references.project(project, auth.access(request), verb="edit").pk
        wanted = msgspec.structs.asdict(parsing.body(self.ProjectEdit, request))
        projects.edit(
            project_id=project_id,
            changes={name: value for name, value in wanted.items() if value is not UNSET},
            generation=parsing.generation(request),
            actor=auth.actor(request),
            now=timezone.now(),
        )
        return _shown(request, project_id)


class _Move(base.View):
    """A move through the project's states, which is for the project above (of a tenant: the platform) to decide."""

    missing = ProjectMissing
    service: Any

    def post(self, request: Request, project: str) -> Response:
        _, verb = self.rights["POST"]
        project_id = references.project(project, auth.access(request), verb=verb, above=True).pk
        parsing.body(parsing.Nothing, request)
        generation = parsing.generation(request)
        self.service(project_id=project_id, generation=generation, actor=auth.actor(request), now=timezone.now())
        return _shown(request, project_id)


def _described(verb: str, summary: str) -> Any:
    operation = schema.operation(
        f"projects.{verb}",
        summary,
        answer=seen.ProjectRow,
        refusals=(*_WRITING, 412),
        parameters=[schema.IF_MATCH],
    )
    return extend_schema_view(post=operation)


@_described("suspend", "Give nothing new to a project and all below")
class Suspend(_Move):
    """Give nothing new to a project and all below."""

    rights = {"POST": ("project", "operate")}
    service = staticmethod(projects.suspend)


@_described("resume", "End a suspension")
class Resume(_Move):
    """End a suspension."""

    rights = {"POST": ("project", "operate")}
    service = staticmethod(projects.resume)


@_described("archive", "End a project, which frees its name")
class Archive(_Move):
    """End a project, which frees its name."""

    rights = {"POST": ("project", "remove")}
    service = staticmethod(projects.archive)


@_described("restore", "Bring an archived project back; its id is needed, for its name may be another's")
class Restore(_Move):
    """Bring an archived project back."""

    rights = {"POST": ("project", "remove")}
    service = staticmethod(projects.restore)


class ProjectPools(base.View):
    """The pools that a project may use."""

    rights = {"GET": ("pool", "read")}
    missing = ProjectMissing
    known_by = "project"

    @schema.listing("projects.pools", "List the pools that a project may use", granted.GrantedPoolRow, granted.FILTERS)
    def get(self, request: Request, project: str) -> Response:
        access = auth.access(request)
        found = references.project(project, access, noun="pool")
        params, cursor, limit = parsing.listing(request)
        page = granted.granted_page(
            params=params, cursor=cursor, limit=limit, now=timezone.now(), access=access, project=found
        )
        return base.listing(request, page)


def _parent_id(request: Request, parent: str | None) -> UUID | None:
    access = auth.access(request)
    if parent is None:
        access.require("project", "create", [])
        return None
    try:
        return references.project(parent, access, verb="create").pk
    except ProjectMissing as error:
        raise Invalid(fields=(FieldError("parent", "bad_value", error.message),)) from None


def _shown(request: Request, project_id: UUID, status: int = 200) -> Response:
    row = seen.one(project_id, auth.access(request))
    location = reverse("api-project", args=[project_id]) if status == 201 else None
    return base.answered(request, row, status, location)
