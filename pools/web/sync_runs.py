"""Sync runs: the list, one run with what it changed, and the decision on a loss that waits for a person."""

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from connectors import catalog
from pools.domain.errors import DomainError
from pools.selectors import changes, sync_runs
from pools.selectors import pools as pool_reads
from pools.services import sync_runs as decisions
from pools.web import differences, listing, pages, pool_view, words
from pools.web.listing import Filter

_FILTERS: Final = (
    Filter("pool", gettext_lazy("Pool")),
    Filter("state", gettext_lazy("State"), vocabulary="run_state"),
    Filter("trigger", gettext_lazy("Trigger"), vocabulary="run_trigger"),
)
_CHANGE_FILTERS: Final = (
    Filter("action", gettext_lazy("What happened"), vocabulary="change"),
    Filter(
        "object_kind",
        gettext_lazy("To what"),
        choices=(("node", gettext_lazy("Node")), ("device", gettext_lazy("Device"))),
    ),
)


@require_safe
@pages.on_platform("sync_run")
def index(request: HttpRequest) -> HttpResponse:
    """The runs of all pools, the newest first."""
    found = listing.read(
        request,
        _FILTERS,
        lambda params, cursor: sync_runs.page(
            params=params, cursor=cursor, limit=listing.PAGE_ROWS, access=pages.access(request)
        ),
    )
    return pages.page(request, "sync_runs/list.html", found.context(pool_view.run_presented), here="sync-runs")


@require_safe
@pages.on_platform("sync_run")
def run(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """One run; while it goes on its figures refresh themselves."""
    found = pool_view.run(run_id, pages.access(request))
    changed = listing.read(
        request,
        _CHANGE_FILTERS,
        lambda params, cursor: changes.of_run(
            run_id=run_id, params=params, cursor=cursor, limit=listing.PAGE_ROWS, access=pages.access(request)
        ),
    ).context(differences.presented)
    preview = [differences.presented(change) for change in found["preview"] or ()]
    pool = pool_reads.one(found["pool"], pages.now(), pages.access(request))
    context = {
        "run": found,
        "pool": {
            "reference": str(pool.id) if pool.removed_at else pool.name,
            "is_simulation": catalog.manifest(pool.kind).is_simulation,
        },
        **changed,
        "groups": differences.grouped(preview or changed["rows"]),
    }
    return pages.page(request, "sync_runs/run.html", context, here="sync-runs")


@require_safe
@pages.on_platform("sync_run")
def live(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """The part of a run's page that refreshes itself."""
    found = pool_view.run(run_id, pages.access(request))
    return pages.live(request, "sync_runs/progress.html", {"run": found}, is_done=found["is_done"])


@require_POST
@pages.on_platform("sync_run", "operate")
def approve(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Let go of what the run did not see."""
    return _decide(request, run_id, decisions.approve, _("Approved: what was not seen is marked missing."))


@require_POST
@pages.on_platform("sync_run", "operate")
def reject(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Do not believe the loss."""
    return _decide(request, run_id, decisions.reject, _("Rejected: everything stays as it was."))


def _decide(request: HttpRequest, run_id: UUID, decision: Callable[..., Any], done: str) -> HttpResponse:
    try:
        decision(run_id=run_id, actor=pages.actor(request), now=pages.now())
    except DomainError as error:
        messages.error(request, words.refusal(error))
    else:
        messages.success(request, done)
    return redirect("sync-run", run_id=run_id)
