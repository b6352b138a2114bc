"""Adding a pool in steps: kind, settings, check by a worker, preview of the first sync, activation.

Nothing of the platform is stored before the last step; a draft that nobody goes on with is removed after a day.
"""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST, require_safe

from connectors import catalog
from connectors.contract import Manifest
from pools.domain.errors import DomainError, FieldError, Invalid, PoolNameTaken
from pools.services import pools, sync_runs
from pools.web import differences, pages, pool_form, pool_view, words

_STEPS = ("kind", "settings", "check", "preview", "activate")


@require_GET
@pages.on_platform("pool", "create")
def kinds(request: HttpRequest) -> HttpResponse:
    """First step: which kind of platform."""
    asked = request.GET.get("kind", "")
    if asked in catalog.MANIFESTS:
        return redirect("add-pool-settings", kind=asked)
    cards = [
        {
            "kind": manifest.kind,
            "label": words.kind(manifest.kind),
            "summary": _(manifest.summary),
            "is_simulation": manifest.is_simulation,
            "modes": [_(mode.label) if mode.label else mode.name for mode in manifest.modes],
        }
        for manifest in catalog.MANIFESTS.values()
    ]
    return pages.page(request, "pools/add_kind.html", {"cards": cards, "steps": steps("kind")}, here="pools")


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters()
@pages.on_platform("pool", "create")
def settings(request: HttpRequest, kind: str) -> HttpResponse:
    """Second step: where it is and how to get in. Everything that is wrong is said at once."""
    if kind not in catalog.MANIFESTS:
        raise Http404
    manifest = catalog.manifest(kind)
    errors: tuple[FieldError, ...] = ()
    values = pool_form.empty(manifest)
    if request.method == "POST":
        values = pool_form.of_post(manifest, request.POST)
        try:
            return _register(request, manifest)
        except PoolNameTaken:
            errors = (FieldError("name", "name_taken", ""),)
        except Invalid as invalid:
            errors = invalid.fields
    groups = pool_form.fields(manifest, values, errors)
    context = {
        "kind": {"name": kind, "label": words.kind(kind), "is_simulation": manifest.is_simulation},
        "groups": groups,
        "mistakes": pool_form.summary(groups, errors),
        "has_secrets": any(each.is_secret for each in manifest.settings),
        "steps": steps("settings"),
    }
    return pages.page(request, "pools/add_settings.html", context, here="pools", status=422 if errors else 200)


def _register(request: HttpRequest, manifest: Manifest) -> HttpResponse:
    now, actor = pages.now(), pages.actor(request)
    pool = pools.register(
        kind=manifest.kind,
        **pool_form.wanted(manifest, request.POST),
        credential=pool_form.secrets(manifest, request.POST),
        actor=actor,
        now=now,
    )
    pools.request_check(pool_id=pool.pk, actor=actor, now=now)
    return redirect("pool-check", reference=pool.name)


@require_http_methods(["GET", "HEAD", "POST"])
@pages.on_platform("pool", post="operate")
def check(request: HttpRequest, reference: str) -> HttpResponse:
    """Third step, and for any pool later: what a worker found."""
    now = pages.now()
    pool = pool_view.found(reference, now, pages.access(request))
    if request.method == "POST":
        pools.request_check(pool_id=pool["id"], actor=pages.actor(request), now=now)
        return redirect("pool-check", reference=pool["reference"])
    context = {"pool": pool, "check": pool_view.check(pool["id"], now), "steps": _steps_of(pool, "check")}
    return pages.page(request, "pools/check.html", context, here="pools")


@require_safe
@pages.on_platform("pool")
def check_live(request: HttpRequest, reference: str) -> HttpResponse:
    """The part of the check's page that refreshes itself."""
    now = pages.now()
    pool = pool_view.found(reference, now, pages.access(request))
    context = {"pool": pool, "check": pool_view.check(pool["id"], now)}
    return pages.live(request, "pools/check_result.html", context, is_done=context["check"]["is_done"])


@require_http_methods(["GET", "HEAD", "POST"])
@pages.on_platform("sync_run", post="operate")
def preview(request: HttpRequest, reference: str) -> HttpResponse:
    """Fourth step: what the first sync would store. A dry run writes nothing."""
    now = pages.now()
    pool = pool_view.found(reference, now, pages.access(request))
    if request.method == "POST":
        run_id = sync_runs.request(pool_id=pool["id"], is_dry_run=True, actor=pages.actor(request), now=now)
        return redirect("pool-preview-run", reference=pool["reference"], run_id=run_id)
    run = pool_view.latest_run(pool["id"], pages.access(request), is_dry_run=True)
    if run is None:
        context = {"pool": pool, "steps": _steps_of(pool, "preview"), "run": None}
        return pages.page(request, "pools/preview.html", context, here="pools")
    return redirect("pool-preview-run", reference=pool["reference"], run_id=run)


@require_safe
@pages.on_platform("sync_run")
def preview_run(request: HttpRequest, reference: str, run_id: UUID) -> HttpResponse:
    """A dry run with its counts and first changes, refreshing itself until it is done."""
    now = pages.now()
    pool = pool_view.found(reference, now, pages.access(request))
    run = pool_view.run(run_id, pages.access(request))
    if run["pool"] != pool["id"]:
        raise Http404
    sample = [differences.presented(change) for change in run["preview"] or ()]
    context = {
        "pool": pool,
        "run": run,
        "groups": differences.grouped(sample),
        "sample_size": len(sample),
        "steps": _steps_of(pool, "preview"),
    }
    return pages.page(request, "pools/preview.html", context, here="pools")


@require_POST
@pages.on_platform("pool", "operate")
def activate(request: HttpRequest, reference: str) -> HttpResponse:
    """Last step: from now on the pool is observed on schedule, beginning at once."""
    now = pages.now()
    pool = pool_view.found(reference, now, pages.access(request))
    actor = pages.actor(request)
    try:
        pools.activate(pool_id=pool["id"], actor=actor, now=now)
        # A fast worker may be at it already.
        run_id = pool_view.latest_run(pool["id"], pages.access(request)) or sync_runs.request(
            pool_id=pool["id"], trigger="activate", actor=actor, now=now
        )
    except DomainError as error:
        messages.error(request, words.refusal(error))
        return redirect("pool-check", reference=pool["reference"])
    messages.success(request, _("%(pool)s is active; its first sync is on the way.") % {"pool": pool["name"]})
    return redirect("sync-run", run_id=run_id)


def steps(here: str) -> list[dict[str, Any]]:
    """Return [{label, is_done, is_here}] of the way to a new pool."""
    labels = {
        "kind": _("Kind"),
        "settings": _("Settings"),
        "check": _("Check"),
        "preview": _("Preview"),
        "activate": _("Activate"),
    }
    at = _STEPS.index(here)
    return [
        {"label": labels[step], "is_done": number < at, "is_here": number == at} for number, step in enumerate(_STEPS)
    ]


def _steps_of(pool: dict[str, Any], here: str) -> list[dict[str, Any]] | None:
    return steps(here) if pool["state"] == "registering" else None
