"""The tree of projects, a project's overview, pools and settings, and making a new one."""

from typing import Any, Final

import msgspec
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from pools.domain.errors import ProjectNameTaken
from pools.selectors import grants, project_sizes
from pools.selectors import pools as granted
from pools.selectors import projects as reads
from pools.services import projects
from pools.web import forms, listing, pages, project_page, words
from pools.web.forms import Field, Form
from pools.web.listing import Filter
from pools.web.project_page import Place

_FILTERS: Final = (
    Filter("q", gettext_lazy("Name"), is_wide=True),
    Filter("state", gettext_lazy("State"), vocabulary="project_state"),
    Filter("label", gettext_lazy("Label")),
)
_NAME: Final = Field(
    name="name",
    label=gettext_lazy("Name"),
    help=gettext_lazy("Lower-case letters, digits and hyphens. Programs use it: it is a part of the path."),
    is_required=True,
    example="vision",
)
_ABOUT: Final = (
    Field(
        name="display_name",
        label=gettext_lazy("Name shown"),
        help=gettext_lazy("What people call it."),
    ),
    Field(
        name="labels",
        label=gettext_lazy("Labels"),
        help=gettext_lazy("name=value with commas between."),
        is_wide=True,
        example="cost-centre=4711, team=vision",
    ),
)
_CHILDREN_SHOWN: Final = 20
_POOLS_SHOWN: Final = 500
_POOLS_ON_OVERVIEW: Final = 10


@require_safe
@pages.signed_in
def index(request: HttpRequest) -> HttpResponse:
    """The projects that one may see, each before what is below it."""
    access = pages.access(request)
    if not access.somewhere("project", "read"):
        raise PermissionDenied
    found = listing.read(
        request,
        _FILTERS,
        lambda params, cursor: reads.page(params=params, cursor=cursor, limit=listing.PAGE_ROWS, access=access),
    )
    context = {"may_make_tenant": access.everywhere("project", "create")}
    return pages.page(request, "projects/list.html", {**found.context(_sized(found.rows)), **context}, here="projects")


@require_http_methods(["GET", "HEAD", "POST"])
@pages.on_platform("project", "create")
def new_tenant(request: HttpRequest) -> HttpResponse:
    """Make a root project."""
    form = Form(
        heading=_("New tenant"),
        submit=_("Make the tenant"),
        back=reverse("projects"),
        back_label=_("Projects"),
        here="projects",
        legend=_("Tenant"),
        fields=(_NAME, *_ABOUT),
        consequences=(
            _("It is a root of the tree: its people see nothing of other tenants."),
            _("It may use no pool and has no members until you give both."),
        ),
    )
    return _new(request, form, None)


@require_http_methods(["GET", "HEAD", "POST"])
@project_page.of("project", "create")
def new(request: HttpRequest, place: Place) -> HttpResponse:
    """Make a project below another."""
    form = Form(
        heading=_("New project below %(project)s") % {"project": place.row["path"]},
        submit=_("Make the project"),
        back=reverse("project", args=(place.reference,)),
        back_label=place.row["path"],
        here="projects",
        legend=_("Project"),
        fields=(_NAME, *_ABOUT),
        consequences=(
            _("Who has a role in %(project)s has it in the new one too.") % {"project": place.row["path"]},
            _("It may use the pools that %(project)s may use.") % {"project": place.row["path"]},
        ),
    )
    return _new(request, form, place)


@require_safe
@project_page.of()
def overview(request: HttpRequest, place: Place) -> HttpResponse:
    """What the project is, what is below it and what it may use."""
    access = pages.access(request)
    may_read_pools = place.may(access, "pool", "read")
    below = reads.page(params={"parent": str(place.row["id"])}, cursor=None, limit=_CHILDREN_SHOWN, access=access)
    size = project_sizes.of([place.row["id"]]).get(place.row["id"], project_sizes.NOTHING)
    context = {
        "size": msgspec.structs.asdict(size),
        "below": list(map(_sized(below.rows), below.rows)),
        "more_below": max(0, size.children - len(below.rows)),
        "pools": _pools(request, place, _POOLS_ON_OVERVIEW) if may_read_pools else [],
    }
    return project_page.tab(request, "project", place, context)


@require_safe
@project_page.of("pool")
def pools(request: HttpRequest, place: Place) -> HttpResponse:
    """The pools that the project may use, and by which grants."""
    context = {"rows": _pools(request, place, _POOLS_SHOWN)}
    return project_page.tab(request, "project-pools", place, context)


@require_safe
@project_page.of()
def settings(request: HttpRequest, place: Place) -> HttpResponse:
    """What the project is called and its state, and how to change both."""
    return project_page.tab(request, "project-settings", place, {})


@require_http_methods(["GET", "HEAD", "POST"])
@project_page.of("project", "edit")
def edit(request: HttpRequest, place: Place) -> HttpResponse:
    """Change the shown name and the labels."""
    form = Form(
        heading=_("Edit %(project)s") % {"project": place.row["path"]},
        submit=_("Save"),
        back=reverse("project-settings", args=(place.reference,)),
        back_label=place.row["path"],
        here="projects",
        legend=_("Project"),
        fields=_ABOUT,
        generation=place.row["generation"],
    )
    stored = {"display_name": place.row["display_name"], "labels": forms.labels_text(place.row["labels"])}
    values = forms.sent(request, form.fields, stored)
    changes = {"display_name": values["display_name"], "labels": forms.labels_of(values["labels"])}
    return _edited(request, place, form, values, changes)


@require_http_methods(["GET", "HEAD", "POST"])
@project_page.of("project", "edit", above=True)
def rename(request: HttpRequest, place: Place) -> HttpResponse:
    """Change the name, and with it the paths of all below."""
    form = Form(
        heading=_("Rename %(project)s") % {"project": place.row["path"]},
        submit=_("Rename"),
        back=reverse("project-settings", args=(place.reference,)),
        back_label=place.row["path"],
        here="projects",
        legend=_("Project"),
        fields=(_NAME,),
        consequences=(
            _("The paths of the project and of all below it change."),
            _("Programs and links that use the old path find nothing any more; those that use the id go on."),
            _("The old name becomes free. Members, pools and tokens stay as they are."),
        ),
        generation=place.row["generation"],
    )
    values = forms.sent(request, form.fields, {"name": place.row["name"]})
    return _edited(request, place, form, values, {"name": values["name"]})


def _pools(request: HttpRequest, place: Place, limit: int) -> list[dict[str, Any]]:
    access = pages.access(request)
    page = granted.granted_page(
        params={}, cursor=None, limit=limit, now=pages.now(), access=access, project=place.model
    )
    givers = grants.givers([row.id for row in page.rows], place.model)
    return [
        {
            **msgspec.structs.asdict(row),
            "kind_label": words.kind(row.kind),
            "grants": [msgspec.structs.asdict(grant) for grant in givers.get(row.id, ())],
            "has_page": access.everywhere("pool", "read"),
        }
        for row in page.rows
    ]


def _new(request: HttpRequest, form: Form, place: Place | None) -> HttpResponse:
    values, outcome = forms.sent(request, form.fields, {}), forms.NOT_SENT
    if request.method == "POST":
        outcome = forms.tried(
            lambda: projects.create(
                name=values["name"],
                parent_id=place.row["id"] if place else None,
                display_name=values["display_name"],
                labels=forms.labels_of(values["labels"]),
                actor=pages.actor(request),
                now=pages.now(),
            ),
            {ProjectNameTaken: "name"},
        )
    if not outcome.is_done:
        return forms.answer(request, form, values, outcome)
    messages.success(request, _("%(project)s is there. Now give it people.") % {"project": outcome.result.path})
    return redirect("project-members", reference=outcome.result.path)


def _edited(
    request: HttpRequest, place: Place, form: Form, values: dict[str, str], changes: dict[str, Any]
) -> HttpResponse:
    outcome = forms.NOT_SENT
    if place.row["state"] == "archived":
        raise Http404
    if request.method == "POST":
        outcome = forms.tried(
            lambda: projects.edit(
                project_id=place.row["id"],
                changes=changes,
                generation=forms.generation(request),
                actor=pages.actor(request),
                now=pages.now(),
            ),
            {ProjectNameTaken: "name"},
        )
    if not outcome.is_done:
        return forms.answer(request, form, values, outcome)
    messages.success(request, _("Saved."))
    return redirect("project-settings", reference=outcome.result.path)


def _sized(rows: Any) -> Any:
    """Return what presents each of the rows together with its size."""
    sizes = project_sizes.of([row.id for row in rows]) if rows else {}
    return lambda row: project_page.presented(row, sizes.get(row.id, project_sizes.NOTHING))
