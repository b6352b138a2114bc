"""/pools"""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema_view
from msgspec import UNSET, UnsetType
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.domain.errors import PoolMissing
from pools.selectors import pools as seen
from pools.selectors import references, sync_runs, versions
from pools.services import pools
from pools.services import sync_runs as runs

_TOLD_TO_ALL: Final = frozenset(seen.GrantedPoolRow.__struct_fields__)
PoolAnswer = msgspec.defstruct(
    "PoolRow",
    [
        (field.name, field.type) if field.name in _TOLD_TO_ALL else (field.name, field.type | UnsetType, UNSET)
        for field in msgspec.structs.fields(seen.PoolRow)
    ],
    kw_only=True,
)
PoolAnswer.__doc__ = f"{seen.PoolRow.__doc__} People of projects are told only the fields that are always there."


class Pools(base.View):
    """All pools."""

    rights = {"GET": ("pool", "read"), "POST": ("pool", "create")}

    class PoolCreate(msgspec.Struct):
        """A pool to register. ``settings`` and ``credential`` as the kind's manifest says (GET /kinds)."""

        name: str
        kind: str
        settings: dict[str, Any] = {}
        credential: dict[str, Any] = {}
        mode: str | None = None
        region: str = ""
        labels: dict[str, str] = {}
        sync_interval_seconds: int | None = None
        drift_policy: str = "report"
        changes_per_minute: int | None = None

    @schema.listing("pools.list", "List pools", PoolAnswer, seen.FILTERS, is_conditional=True)
    def get(self, request: Request) -> Response:
        params, cursor, limit = parsing.listing(request)
        now, access = timezone.now(), auth.access(request)
        page = seen.page if access.everywhere("pool", "read") else seen.granted_page
        return base.unless_known(
            request,
            versions.of_pools(now),
            lambda: base.listing(request, page(params=params, cursor=cursor, limit=limit, now=now, access=access)),
        )

    @schema.operation(
        "pools.register",
        "Register a pool as a draft",
        body=PoolCreate,
        answer=PoolAnswer,
        status=201,
        refusals=(400, 409, 413, 415, 422),
    )
    def post(self, request: Request) -> Response:
        wanted = parsing.body(self.PoolCreate, request)
        now = timezone.now()
        made = pools.register(**msgspec.structs.asdict(wanted), actor=auth.actor(request), now=now)
        answer = _shown(request, made.pk, status=201)
        answer["Location"] = request.build_absolute_uri(reverse("api-pool", args=[made.pk]))
        return answer


class Pool(base.View):
    """One pool."""

    rights = {"GET": ("pool", "read"), "PATCH": ("pool", "edit"), "DELETE": ("pool", "remove")}
    missing = PoolMissing

    class PoolEdit(msgspec.Struct):
        """What to change. Given settings replace those of the same name; labels are replaced as a whole."""

        name: str | UnsetType = UNSET
        settings: dict[str, Any] | UnsetType = UNSET
        mode: str | UnsetType = UNSET
        region: str | UnsetType = UNSET
        labels: dict[str, str] | UnsetType = UNSET
        sync_interval_seconds: int | UnsetType = UNSET
        drift_policy: str | UnsetType = UNSET
        changes_per_minute: int | UnsetType | None = UNSET

    @schema.operation("pools.get", "Show a pool", answer=PoolAnswer, refusals=(404,), is_conditional=True)
    def get(self, request: Request, pool: str) -> Response:
        access, now = auth.access(request), timezone.now()
        pool_id = references.pool_id(pool, access, also_removed=True)
        one = seen.one if access.everywhere("pool", "read") else seen.granted_one
        return base.unless_known(request, versions.of_pool(pool_id, now), lambda: Response(one(pool_id, now, access)))

    @schema.operation(
        "pools.edit",
        "Edit a pool",
        body=PoolEdit,
        answer=PoolAnswer,
        refusals=(400, 404, 409, 412, 413, 415, 422),
        parameters=[schema.IF_MATCH],
    )
    def patch(self, request: Request, pool: str) -> Response:
        pool_id = references.pool_id(pool, auth.access(request), verb="edit")
        wanted = msgspec.structs.asdict(parsing.body(self.PoolEdit, request))
        changes = {name: value for name, value in wanted.items() if value is not UNSET}
        generation = parsing.generation(request)
        pools.edit(
            pool_id=pool_id, changes=changes, generation=generation, actor=auth.actor(request), now=timezone.now()
        )
        return _shown(request, pool_id)

    @schema.operation(
        "pools.remove",
        "Remove a pool",
        answer=None,
        status=204,
        refusals=(404, 409, 412, 422),
        parameters=[
            schema.IF_MATCH,
            OpenApiParameter("force", str, description="The name of a pool that does not answer and is in use."),
        ],
    )
    def delete(self, request: Request, pool: str) -> Response:
        pools.remove(
            pool_id=references.pool_id(pool, auth.access(request), verb="remove"),
            generation=parsing.generation(request),
            force_name=request.query_params.get("force"),
            actor=auth.actor(request),
            now=timezone.now(),
        )
        return Response(status=204)


class _Move(base.View):
    """A move through the pool's states."""

    rights = {"POST": ("pool", "operate")}
    missing = PoolMissing

    service: Any

    def post(self, request: Request, pool: str) -> Response:
        pool_id = references.pool_id(pool, auth.access(request), verb="operate")
        parsing.body(parsing.Nothing, request)
        generation = parsing.generation(request)
        self.service(pool_id=pool_id, generation=generation, actor=auth.actor(request), now=timezone.now())
        return _shown(request, pool_id)


def _described(verb: str, summary: str) -> Any:
    refusals = (400, 404, 409, 412, 413, 415, 422)
    operation = schema.operation(
        f"pools.{verb}", summary, answer=PoolAnswer, refusals=refusals, parameters=[schema.IF_MATCH]
    )
    return extend_schema_view(post=operation)


@_described("activate", "Begin to use a draft")
class Activate(_Move):
    """Begin to use a draft."""

    service = staticmethod(pools.activate)


@_described("pause", "Stop synchronising")
class Pause(_Move):
    """Stop synchronising."""

    service = staticmethod(pools.pause)


@_described("resume", "Return to active")
class Resume(_Move):
    """Return to active."""

    service = staticmethod(pools.resume)


@_described("drain", "Take no new allocations")
class Drain(_Move):
    """Take no new allocations."""

    service = staticmethod(pools.drain)


@_described("maintenance", "Expect trouble and place nothing new")
class Maintenance(_Move):
    """Expect trouble and place nothing new."""

    service = staticmethod(pools.maintenance)


class Credential(base.View):
    """The pool's credential: write only."""

    rights = {"PUT": ("pool", "edit")}
    missing = PoolMissing

    @schema.operation(
        "pools.replace_credential",
        "Replace the credential once a worker saw that the same far end accepts it",
        body={"type": "object", "additionalProperties": True, "writeOnly": True},
        answer=seen.StoredCredential,
        status=202,
        refusals=(400, 404, 413, 415, 422),
    )
    def put(self, request: Request, pool: str) -> Response:
        pool_id = references.pool_id(pool, auth.access(request), verb="edit")
        values = parsing.mapping(request)
        stored = pools.replace_credential(pool_id=pool_id, values=values, actor=auth.actor(request), now=timezone.now())
        answer = seen.StoredCredential(
            state=stored.state, fields=stored.fields, set_at=stored.created_at, problem=stored.problem
        )
        return Response(answer, status=202)


class PoolCheck(msgspec.Struct, kw_only=True):
    """A worker's check. What it found is null until ``state`` is done; ``error`` when nobody could be reached."""

    state: str
    requested_at: datetime | None
    checked_at: datetime | None
    reachable: bool | None = None
    identity: dict[str, str] | None = None
    version: str | None = None
    watch: dict[str, Any] | None = None
    manage: dict[str, Any] | None = None
    warnings: list[str] | None = None
    capabilities: list[str] | None = None
    error: dict[str, str] | None = None


class Check(base.View):
    """The pool's check."""

    rights = {"GET": ("sync_run", "read"), "POST": ("pool", "operate")}  # it tells addresses, as runs do
    missing = PoolMissing

    @schema.operation("pools.get_check", "Show the latest check", answer=PoolCheck, refusals=(404,))
    def get(self, request: Request, pool: str) -> Response:
        return Response(_check(references.pool_id(pool, auth.access(request))))

    @schema.operation(
        "pools.check",
        "Ask a worker to check the pool",
        body=parsing.Nothing,
        answer=PoolCheck,
        status=202,
        refusals=(400, 404, 413, 415, 422),
    )
    def post(self, request: Request, pool: str) -> Response:
        pool_id = references.pool_id(pool, auth.access(request), verb="operate")
        parsing.body(parsing.Nothing, request)
        pools.request_check(pool_id=pool_id, actor=auth.actor(request), now=timezone.now())
        return Response(_check(pool_id), status=202)


class Sync(base.View):
    """Runs on demand."""

    rights = {"POST": ("pool", "operate")}
    missing = PoolMissing

    class SyncRequest(msgspec.Struct):
        """``dry_run`` tells what a run would change and writes nothing."""

        dry_run: bool = False

    @schema.operation(
        "pools.sync",
        "Ask for a sync run; while one is queued, it is that one",
        body=SyncRequest,
        answer=sync_runs.RunDetail,
        status=202,
        refusals=(400, 404, 409, 413, 415, 422),
    )
    def post(self, request: Request, pool: str) -> Response:
        pool_id = references.pool_id(pool, auth.access(request), verb="operate")
        wanted = parsing.body(self.SyncRequest, request)
        run_id = runs.request(
            pool_id=pool_id,
            is_dry_run=wanted.dry_run,
            trigger="manual",
            actor=auth.actor(request),
            now=timezone.now(),
        )
        location = request.build_absolute_uri(reverse("api-sync-run", args=[run_id]))
        return Response(sync_runs.one(run_id, auth.access(request)), status=202, headers={"Location": location})


def _shown(request: Request, pool_id: UUID, status: int = 200) -> Response:
    now = timezone.now()
    tag = base.etag(
        request, versions.of_pool(pool_id, now)
    )  # before the answer: one of a state that is gone is asked for again
    return Response(seen.one(pool_id, now, auth.access(request)), status=status, headers={"ETag": tag})


def _check(pool_id: UUID) -> PoolCheck:
    found = seen.check(pool_id)
    known = {name: value for name, value in (found.result or {}).items() if name in PoolCheck.__struct_fields__}
    return PoolCheck(state=found.state, requested_at=found.requested_at, checked_at=found.checked_at, **known)
