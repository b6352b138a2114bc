"""/sync-runs"""

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.domain.errors import RunMissing
from pools.selectors import changes, sync_runs, versions
from pools.services import sync_runs as runs


class SyncRuns(base.View):
    """All runs."""

    rights = {"GET": ("sync_run", "read")}

    @schema.listing(
        "sync-runs.list", "List sync runs, the newest first", sync_runs.RunRow, sync_runs.FILTERS, is_conditional=True
    )
    def get(self, request: Request) -> Response:
        params, cursor, limit = parsing.listing(request)
        access = auth.access(request)
        version = versions.of_runs(params=params, cursor=cursor, limit=limit, access=access)
        return base.unless_known(
            request,
            version,
            lambda: base.listing(request, sync_runs.page(params=params, cursor=cursor, limit=limit, access=access)),
        )


class SyncRun(base.View):
    """One run."""

    rights = {"GET": ("sync_run", "read")}
    missing = RunMissing

    @schema.operation(
        "sync-runs.get", "Show a sync run", answer=sync_runs.RunDetail, refusals=(404,), is_conditional=True
    )
    def get(self, request: Request, run: str) -> Response:
        run_id = base.identified(run, RunMissing)
        access = auth.access(request)
        return base.unless_known(
            request, versions.of_run(run_id, access), lambda: Response(sync_runs.one(run_id, access))
        )


class Changes(base.View):
    """What a run changed."""

    rights = {"GET": ("sync_run", "read")}
    missing = RunMissing

    @schema.listing("sync-runs.changes", "List what a sync run changed", changes.ChangeRow, changes.FILTERS)
    def get(self, request: Request, run: str) -> Response:
        run_id = base.identified(run, RunMissing)
        params, cursor, limit = parsing.listing(request)
        access = auth.access(request)
        return base.listing(
            request, changes.of_run(run_id=run_id, params=params, cursor=cursor, limit=limit, access=access)
        )


class Approve(base.View):
    """A person agrees to the losses of a held run."""

    rights = {"POST": ("sync_run", "operate")}
    missing = RunMissing

    @schema.operation(
        "sync-runs.approve",
        "Agree to the losses of a held run",
        body=parsing.Nothing,
        answer=sync_runs.RunDetail,
        refusals=(400, 404, 409, 413, 415, 422),
    )
    def post(self, request: Request, run: str) -> Response:
        run_id = sync_runs.one(base.identified(run, RunMissing), auth.access(request)).id
        parsing.body(parsing.Nothing, request)
        runs.approve(run_id=run_id, actor=auth.actor(request), now=timezone.now())
        return Response(sync_runs.one(run_id, auth.access(request)))


class Reject(base.View):
    """A person does not believe the losses of a held run."""

    rights = {"POST": ("sync_run", "operate")}
    missing = RunMissing

    @schema.operation(
        "sync-runs.reject",
        "Do not believe the losses of a held run",
        body=parsing.Nothing,
        answer=sync_runs.RunDetail,
        refusals=(400, 404, 409, 413, 415, 422),
    )
    def post(self, request: Request, run: str) -> Response:
        run_id = sync_runs.one(base.identified(run, RunMissing), auth.access(request)).id
        parsing.body(parsing.Nothing, request)
        runs.reject(run_id=run_id, actor=auth.actor(request), now=timezone.now())
        return Response(sync_runs.one(run_id, auth.access(request)))
