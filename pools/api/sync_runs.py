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

    @schema.listing(
        "sync-runs.list", "List sync runs, the newest first", sync_runs.RunRow, sync_runs.FILTERS, is_conditional=True
    )
    def get(self, request: Request) -> Response:
        params, cursor, limit = parsing.listing(request)
        version = versions.of_runs(params=params, cursor=cursor, limit=limit)
        return base.unless_known(
            request,
            version,
            lambda: base.listing(request, sync_runs.page(params=params, cursor=cursor, limit=limit)),
        )


class SyncRun(base.View):
    """One run."""

    @schema.operation(
        "sync-runs.get", "Show a sync run", answer=sync_runs.RunDetail, refusals=(404,), is_conditional=True
    )
    def get(self, request: Request, run: str) -> Response:
        run_id = base.identified(run, RunMissing)
        return base.unless_known(request, versions.of_run(run_id), lambda: Response(sync_runs.one(run_id)))


class Changes(base.View):
    """What a run changed."""

    @schema.listing("sync-runs.changes", "List what a sync run changed", changes.ChangeRow, changes.FILTERS)
    def get(self, request: Request, run: str) -> Response:
        run_id = base.identified(run, RunMissing)
        params, cursor, limit = parsing.listing(request)
        return base.listing(request, changes.of_run(run_id=run_id, params=params, cursor=cursor, limit=limit))


class Approve(base.View):
    """A person agrees to the losses of a held run."""

    @schema.operation(
        "sync-runs.approve",
        "Agree to the losses of a held run",
        body=parsing.Nothing,
        answer=sync_runs.RunDetail,
        refusals=(400, 404, 409, 413, 415, 422),
    )
    def post(self, request: Request, run: str) -> Response:
        run_id = base.identified(run, RunMissing)
        parsing.body(parsing.Nothing, request)
        runs.approve(run_id=run_id, actor=auth.actor(request), now=timezone.now())
        return Response(sync_runs.one(run_id))


class Reject(base.View):
    """A person does not believe the losses of a held run."""

    @schema.operation(
        "sync-runs.reject",
        "Do not believe the losses of a held run",
        body=parsing.Nothing,
        answer=sync_runs.RunDetail,
        refusals=(400, 404, 409, 413, 415, 422),
    )
    def post(self, request: Request, run: str) -> Response:
        run_id = base.identified(run, RunMissing)
        parsing.body(parsing.Nothing, request)
        runs.reject(run_id=run_id, actor=auth.actor(request), now=timezone.now())
        return Response(sync_runs.one(run_id))
