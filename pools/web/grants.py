"""Which projects may use a pool: the tab of the pool's page, giving and taking a grant."""

from functools import partial
from typing import Any, Final
from uuid import UUID

import msgspec
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from pools.domain.errors import PoolMissing, ProjectArchived, ProjectMissing
from pools.selectors import grants as reads
from pools.selectors import projects, references
from pools.selectors.grants import GrantRow
from pools.services import grants
from pools.web import forms, listing, pages, pool_view, pools, project_page
from pools.web.forms import Field, Form
from pools.web.listing import Filter
from pools.web.project_page import Place

_FILTERS: Final = (Filter("q", gettext_lazy("Project"), is_wide=True),)
_GIVEN: Final = (
    gettext_lazy("The project and all below it may use the pool, and see it: name, state and models, no nodes."),
    gettext_lazy("Nobody else learns of it."),
)


@require_safe
@pages.on_platform("grant")
def of_pool(request: HttpRequest, reference: str) -> HttpResponse:
    """The projects that may use the pool."""
    pool = pool_view.found(reference, pages.now(), pages.access(request))
    found = listing.read(
        request,
        _FILTERS,
        lambda params, cursor: reads.page(pool_id=pool["id"], params=params, cursor=cursor, limit=listing.PAGE_ROWS),
    )
    may_edit = pages.access(request).everywhere("grant", "edit") and pool["state"] != "removed"
    return pools.tab(request, "pool-grants", pool, {**found.context(_presented), "may_edit": may_edit})


@require_http_methods(["GET", "HEAD", "POST"])
@pages.on_platform("grant", "edit")
def add(request: HttpRequest, reference: str) -> HttpResponse:
    """Let one more project use the pool."""
    access = pages.access(request)
    pool = pool_view.found(reference, pages.now(), access)
    form = Form(
        heading=_("Let a project use %(pool)s") % {"pool": pool["name"]},
        submit=_("Let it use the pool"),
        back=reverse("pool-grants", args=(pool["reference"],)),
        back_label=pool["name"],
        here="pools",
        legend=_("Project"),
        fields=(
            Field(name="project", label=_("Project"), help=_("Its path."), is_required=True, example="acme/vision"),
        ),
        consequences=_GIVEN,
    )

    def write() -> Any:
        (project_id,) = projects.project_ids([values["project"]], access)
        return grants.add(pool_id=pool["id"], project_id=project_id, actor=pages.actor(request), now=pages.now())

    values = forms.sent(request, form.fields, {})
    outcome = forms.tried(write, {ProjectArchived: "project"}) if request.method == "POST" else forms.NOT_SENT
    if not outcome.is_done:
        return forms.answer(request, form, values, outcome)
    messages.success(request, _("%(project)s may use %(pool)s now.") % {**values, "pool": pool["name"]})
    return redirect(form.back)


@require_http_methods(["GET", "HEAD", "POST"])
@pages.on_platform("grant", "edit")
def remove(request: HttpRequest, reference: str, project_id: UUID) -> HttpResponse:
    """Let a project use the pool no longer."""
    access = pages.access(request)
    pool = pool_view.found(reference, pages.now(), access)
    try:
        project = projects.one(project_id, access)
    except ProjectMissing:
        raise Http404 from None
    form = Form(
        heading=_("Withdraw %(pool)s from %(project)s") % {"pool": pool["name"], "project": project.path},
        submit=_("Withdraw the grant"),
        back=reverse("pool-grants", args=(pool["reference"],)),
        back_label=pool["name"],
        here="pools",
        consequences=(
            _("The project and all below it may ask for nothing more of the pool, and do not see it any longer."),
            _("A grant to a project above or below stays as it is. What is in use there goes on."),
        ),
        is_danger=True,
    )
    remove_it = partial(grants.remove, pool_id=pool["id"], project_id=project.id)
    done = _("%(project)s may use %(pool)s no more.") % {"project": project.path, "pool": pool["name"]}
    return forms.confirmed(request, form, remove_it, done)


@require_http_methods(["GET", "HEAD", "POST"])
@project_page.of("grant", "edit")
def give(request: HttpRequest, place: Place) -> HttpResponse:
    """The same from the project's side: let it use one more pool."""
    access = pages.access(request)
    form = Form(
        heading=_("Let %(project)s use a pool") % {"project": place.row["path"]},
        submit=_("Let it use the pool"),
        back=reverse("project-pools", args=(place.reference,)),
        back_label=_("Pools of %(project)s") % {"project": place.row["path"]},
        here="projects",
        legend=_("Pool"),
        fields=(Field(name="pool", label=_("Pool"), help=_("Its name."), is_required=True, example="lab"),),
        consequences=_GIVEN,
    )

    def write() -> Any:
        pool_id = references.pool_id(values["pool"], access)
        return grants.add(pool_id=pool_id, project_id=place.row["id"], actor=pages.actor(request), now=pages.now())

    values = forms.sent(request, form.fields, {})
    outcome = forms.tried(write, {PoolMissing: "pool"}) if request.method == "POST" else forms.NOT_SENT
    if not outcome.is_done:
        return forms.answer(request, form, values, outcome)
    messages.success(request, _("%(project)s may use %(pool)s now.") % {"project": place.row["path"], **values})
    return redirect(form.back)


def _presented(row: GrantRow) -> dict[str, Any]:
    return msgspec.structs.asdict(row)
