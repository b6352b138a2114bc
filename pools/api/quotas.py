"""/projects/{project}/quotas"""

from zlib import crc32

import msgspec
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.domain.errors import ProjectMissing
from pools.domain.quota_fields import QuotaWanted
from pools.selectors import quotas as seen
from pools.selectors import references
from pools.selectors.pages import Page
from pools.services import quotas


class Quotas(base.View):
    """How much a project and all below it may have at once."""

    rights = {"GET": ("quota", "read"), "PUT": ("quota", "edit")}
    missing = ProjectMissing
    known_by = "project"

    @schema.operation(
        "quotas.list",
        "List the quotas of a project",
        answer=schema.list_of(seen.QuotaRow),
        row=seen.QuotaRow,
        refusals=(404,),
        is_conditional=True,
    )
    def get(self, request: Request, project: str) -> Response:
        found = references.project(project, auth.access(request), noun="quota")
        rows = seen.of_project(found, auth.access(request))
        return base.unless_known(
            request, _version(found.generation, rows), lambda: base.listing(request, Page(rows, None))
        )

    @schema.operation(
        "quotas.replace",
        "Give a project exactly these quotas, which is for the project above (of a tenant: the platform) to do",
        body=schema.array_of(QuotaWanted),
        answer=schema.list_of(seen.QuotaRow),
        row=seen.QuotaRow,
        refusals=(400, 404, 409, 412, 413, 415, 422),
        parameters=[schema.IF_MATCH],
    )
    def put(self, request: Request, project: str) -> Response:
        access = auth.access(request)
        project_id = references.project(project, access, noun="quota", verb="edit", above=True).pk
        changed = quotas.replace(
            project_id=project_id,
            rows=parsing.rows(QuotaWanted, request),
            generation=parsing.generation(request),
            actor=auth.actor(request),
            now=timezone.now(),
        )
        rows = seen.of_project(changed, access)
        answer = base.listing(request, Page(rows, None))
        answer["ETag"] = base.etag(request, _version(changed.generation, rows))
        return answer


def _version(generation: int, rows: list[seen.QuotaRow]) -> str:
    """Return <the project's generation>.<version>: a quota is a part of the project, and what is used changes too."""
    return f"{generation}.{crc32(msgspec.json.encode(rows)):08x}"
