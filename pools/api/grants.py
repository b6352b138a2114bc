"""/pools/{pool}/grants"""

from collections.abc import Mapping
from uuid import UUID

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.domain.errors import PoolMissing
from pools.selectors import grants as seen
from pools.selectors import projects, references, versions
from pools.selectors.pages import LIMIT_MOST
from pools.services import grants


class Grants(base.View):
    """The projects that may use a pool."""

    rights = {"GET": ("grant", "read"), "PUT": ("grant", "edit")}
    missing = PoolMissing

    @schema.listing("grants.list", "List the projects that may use a pool", seen.GrantRow, seen.FILTERS)
    def get(self, request: Request, pool: str) -> Response:
        pool_id = references.pool_id(pool, auth.access(request), noun="grant")
        params, cursor, limit = parsing.listing(request)
        return _shown(request, pool_id, params, cursor, limit)

    @schema.operation(
        "grants.replace",
        "Let exactly these projects (paths or ids), with all below each, use a pool",
        body={"type": "array", "items": {"type": "string"}},
        answer=schema.list_of(seen.GrantRow),
        refusals=(400, 404, 409, 412, 413, 415, 422),
        parameters=[schema.IF_MATCH],
    )
    def put(self, request: Request, pool: str) -> Response:
        access = auth.access(request)
        pool_id = references.pool_id(pool, access, noun="grant", verb="edit")
        project_ids = projects.project_ids(parsing.words(request), access, field="")
        generation = parsing.generation(request)
        grants.replace(
            pool_id=pool_id,
            project_ids=project_ids,
            generation=generation,
            actor=auth.actor(request),
            now=timezone.now(),
        )
        return _shown(request, pool_id, {}, None, LIMIT_MOST)


def _shown(request: Request, pool_id: UUID, params: Mapping[str, str], cursor: str | None, limit: int) -> Response:
    tag = base.etag(request, versions.of_pool(pool_id, timezone.now()))
    answer = base.listing(request, seen.page(pool_id=pool_id, params=params, cursor=cursor, limit=limit))
    answer["ETag"] = tag  # the pool's: a grant is a change of the pool
    return answer
