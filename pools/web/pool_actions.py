"""What people do to a pool: edit it, move it through its states, replace its credential, sync it, remove it.

Every action has a page that says what follows from it before it is done.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from connectors import catalog
from pools.domain import states
from pools.domain.errors import Conflict, DomainError, FieldError, Invalid, PoolNameTaken
from pools.services import pools, sync_runs
from pools.web import pages, pool_form, pool_view, words


@dataclass(frozen=True, slots=True)
class Action:
    """A move of a pool's state: what it is called, what follows from it, what does it."""

    label: "str | Promise"
    consequences: tuple["str | Promise", ...]
    done: "str | Promise"
    run: Callable[..., Any]
    target: str
    is_danger: bool = False


ACTIONS: Final = {
    "pause": Action(
        gettext_lazy("Pause"),
        (
            gettext_lazy("The pool is not observed any more; its numbers grow old and are shown as such."),
            gettext_lazy("Nothing new is placed there. What runs on the platform goes on."),
        ),
        gettext_lazy("%(pool)s is paused."),
        pools.pause,
        "paused",
    ),
    "resume": Action(
        gettext_lazy("Resume"),
        (gettext_lazy("The pool is observed at once and then on schedule, and takes new allocations again."),),
        gettext_lazy("%(pool)s is active again."),
        pools.resume,
        "active",
    ),
    "drain": Action(
        gettext_lazy("Drain"),
        (
            gettext_lazy("The pool takes no new allocations."),
            gettext_lazy("It stays observed, and what runs there goes on until it ends."),
        ),
        gettext_lazy("%(pool)s is draining."),
        pools.drain,
        "draining",
    ),
    "maintenance": Action(
        gettext_lazy("Maintenance"),
        (
            gettext_lazy("The pool takes no new allocations, and trouble there is expected."),
            gettext_lazy("It stays observed as well as possible."),
        ),
        gettext_lazy("%(pool)s is in maintenance."),
        pools.maintenance,
        "maintenance",
    ),
}


def allowed(pool: dict[str, Any]) -> list[dict[str, Any]]:
    """Return [{name, label}] of the moves that the pool's state allows."""
    if pool["state"] in ("registering", "removed"):
        return []
    moves = states.POOL_MOVES[pool["state"]]
    return [{"name": name, "label": action.label} for name, action in ACTIONS.items() if action.target in moves]


@require_http_methods(["GET", "HEAD", "POST"])
@pages.on_platform("pool", "operate")
def move(request: HttpRequest, reference: str, action: str) -> HttpResponse:
    """Say what follows, then do it. Somebody else's change meanwhile is told and nothing is done."""
    if action not in ACTIONS:
        raise Http404
    now = pages.now()
    pool = pool_view.found(reference, now, pages.access(request))
    wanted = ACTIONS[action]
    if request.method == "POST":
        try:
            wanted.run(pool_id=pool["id"], generation=_generation(request), actor=pages.actor(request), now=now)
        except DomainError as error:
            messages.error(request, words.refusal(error))
        else:
            messages.success(request, str(wanted.done) % {"pool": pool["name"]})
        return redirect("pool", reference=pool["reference"])
    context = {"pool": pool, "label": wanted.label, "consequences": wanted.consequences}
    return pages.page(request, "pools/confirm.html", context, here="pools")


@require_http_methods(["GET", "HEAD", "POST"])
@pages.on_platform("pool", "remove")
def remove(request: HttpRequest, reference: str) -> HttpResponse:
    """Remove a pool. One that does not answer and holds allocations needs its name typed."""
    now = pages.now()
    pool = pool_view.found(reference, now, pages.access(request))
    error_words, status = "", 200
    if request.method == "POST":
        typed = request.POST.get("force_name", "").strip() or None
        try:
            pools.remove(
                pool_id=pool["id"],
                generation=_generation(request),
                force_name=typed,
                actor=pages.actor(request),
                now=now,
            )
        except Invalid:
            error_words, status = str(words.MISTAKES["another_name"]), 422
        except DomainError as error:
            error_words, status = words.refusal(error), 409
        else:
            messages.success(request, _("%(pool)s is removed.") % {"pool": pool["name"]})
            return redirect("pools")
    context = {"pool": pool, "error_words": error_words}
    return pages.page(request, "pools/remove.html", context, here="pools", status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@pages.on_platform("pool", "edit")
def edit(request: HttpRequest, reference: str) -> HttpResponse:
    """Change name, labels, schedule and settings. Secrets are replaced on a page of their own."""
    now = pages.now()
    pool = pool_view.found(reference, now, pages.access(request))
    manifest = catalog.manifest(pool["kind"])
    is_draft = pool["state"] == "registering"
    values = pool_form.of_pool(manifest, pool)
    errors: tuple[FieldError, ...] = ()
    refused = ""
    if request.method == "POST":
        values = pool_form.of_post(manifest, request.POST)
        wanted = pool_form.wanted(manifest, request.POST)
        if not is_draft:
            del wanted["mode"]
        try:
            changed = pools.edit(
                pool_id=pool["id"],
                changes=wanted,
                generation=_generation(request),
                actor=pages.actor(request),
                now=now,
            )
        except PoolNameTaken:
            errors = (FieldError("name", "name_taken", ""),)
        except Invalid as invalid:
            errors = invalid.fields
        except DomainError as error:
            refused = words.refusal(error)
        else:
            messages.success(request, _("Saved."))
            return redirect("pool-check" if is_draft else "pool-settings", reference=changed.name)
    groups = pool_form.fields(manifest, values, errors, with_secrets=False, with_mode=is_draft)
    context = {"pool": pool, "groups": groups, "mistakes": pool_form.summary(groups, errors), "refused": refused}
    return pages.page(request, "pools/edit.html", context, here="pools", status=422 if errors or refused else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters()
@pages.on_platform("pool", "edit")
def credential(request: HttpRequest, reference: str) -> HttpResponse:
    """Enter new secrets. They replace the old ones once a worker saw that the same platform accepts them."""
    now = pages.now()
    pool = pool_view.found(reference, now, pages.access(request))
    manifest = catalog.manifest(pool["kind"])
    errors: tuple[FieldError, ...] = ()
    refused = ""
    if request.method == "POST":
        secrets = pool_form.secrets(manifest, request.POST)
        try:
            pools.replace_credential(pool_id=pool["id"], values=secrets, actor=pages.actor(request), now=now)
            pools.request_check(pool_id=pool["id"], actor=pages.actor(request), now=now)
        except Invalid as invalid:
            errors = invalid.fields
        except Conflict as error:
            refused = words.refusal(error)
        else:
            return redirect("pool-check", reference=pool["reference"])
    groups = pool_form.secret_fields(manifest, errors)
    context = {"pool": pool, "groups": groups, "mistakes": pool_form.summary(groups, errors), "refused": refused}
    return pages.page(request, "pools/credential.html", context, here="pools", status=422 if errors or refused else 200)


@require_POST
@pages.on_platform("pool", "operate")
def sync(request: HttpRequest, reference: str) -> HttpResponse:
    """Ask for a run and show how it goes."""
    now = pages.now()
    pool = pool_view.found(reference, now, pages.access(request))
    try:
        run_id = sync_runs.request(pool_id=pool["id"], actor=pages.actor(request), now=now)
    except DomainError as error:
        messages.error(request, words.refusal(error))
        return redirect("pool", reference=pool["reference"])
    return redirect("sync-run", run_id=run_id)


def _generation(request: HttpRequest) -> int | None:
    sent = request.POST.get("generation", "")
    return int(sent) if sent.isdecimal() else None
