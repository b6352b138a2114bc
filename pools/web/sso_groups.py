"""Which group at the identity provider gives which role."""

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

from pools.domain import roles
from pools.domain.errors import SsoGroupExists, SsoGroupMissing
from pools.selectors import projects
from pools.selectors import sso_groups as reads
from pools.selectors.sso_groups import SsoGroupRow
from pools.services import sso_groups
from pools.web import access_words, forms, listing, pages, words
from pools.web.forms import Field, Form
from pools.web.listing import Filter

_ROLES: Final = tuple((role, access_words.WORDS["role"][role][0]) for role in roles.ROLES)
_FILTERS: Final = (
    Filter("q", gettext_lazy("Group"), is_wide=True),
    Filter("role", gettext_lazy("Role"), choices=_ROLES),
    Filter("project", gettext_lazy("Project")),
)


@require_safe
@pages.on_platform("sso_group")
def index(request: HttpRequest) -> HttpResponse:
    """Groups by name."""
    access = pages.access(request)
    found = listing.read(
        request,
        _FILTERS,
        lambda params, cursor: reads.page(params=params, cursor=cursor, limit=listing.PAGE_ROWS, access=access),
    )
    may = {name: access.everywhere("sso_group", verb) for name, verb in (("make", "create"), ("remove", "remove"))}
    return pages.page(request, "sso_groups/list.html", {**found.context(_presented), "may": may}, here="users")


@require_http_methods(["GET", "HEAD", "POST"])
@pages.on_platform("sso_group", "create")
def new(request: HttpRequest) -> HttpResponse:
    """Let a group give a role."""
    form = Form(
        heading=_("New group of single sign-on"),
        submit=_("Let the group give the role"),
        back=reverse("sso-groups"),
        back_label=_("Groups of single sign-on"),
        here="users",
        legend=_("Group"),
        fields=(
            Field(
                name="name",
                label=_("Group"),
                help=_("Exactly as the identity provider writes it in the claim of groups."),
                is_required=True,
            ),
            Field(
                name="project",
                label=_("Project"),
                help=_("Its path. Left empty: a role on the platform."),
                example="acme/vision",
            ),
            Field(
                name="role",
                label=_("Role"),
                help=_("Administrator to finance on the platform, owner to viewer in a project."),
                type="choice",
                choices=tuple(access_words.role_choices((*roles.PROJECT_ROLES[::-1], *roles.PLATFORM_ROLES))),
                is_required=True,
                is_wide=True,
            ),
        ),
        consequences=(
            _("Whoever is in the group has the role from the next log-in on, and loses it by the first without it."),
            _("Without such a group single sign-on gives no role at all."),
        ),
    )
    values, outcome = forms.sent(request, form.fields, {"role": "member"}), forms.NOT_SENT
    if request.method == "POST":
        outcome = forms.tried(lambda: _make(request, values), {SsoGroupExists: "name"})
    if not outcome.is_done:
        return forms.answer(request, form, values, outcome)
    messages.success(request, _("The group gives the role from the next log-in on."))
    return redirect("sso-groups")


@require_http_methods(["GET", "HEAD", "POST"])
@pages.on_platform("sso_group", "remove")
def remove(request: HttpRequest, group_id: UUID) -> HttpResponse:
    """Let a group no longer give its role."""
    try:
        row = reads.one(group_id)
    except SsoGroupMissing:
        raise Http404 from None
    form = Form(
        heading=_("Remove the group %(group)s") % {"group": row.name},
        submit=_("Remove the group"),
        back=reverse("sso-groups"),
        back_label=_("Groups of single sign-on"),
        here="users",
        consequences=(
            _("It gives the role %(role)s no more.") % {"role": words.label("role", row.role)},
            _("Who had it by this group alone loses it: at once or, where other groups give it, at the next log-in."),
            _("Roles by hand stay."),
        ),
        is_danger=True,
    )
    outcome = forms.NOT_SENT
    if request.method == "POST":
        outcome = forms.tried(lambda: sso_groups.remove(group_id=group_id, actor=pages.actor(request), now=pages.now()))
    if not outcome.is_done:
        return forms.answer(request, form, {}, outcome)
    messages.success(request, _("The group is removed."))
    return redirect("sso-groups")


def _make(request: HttpRequest, values: dict[str, str]) -> Any:
    project = values["project"]
    found = projects.project_ids([project], pages.access(request)) if project else [None]
    return sso_groups.make(
        name=values["name"],
        project_id=found[0],
        role=values["role"],
        actor=pages.actor(request),
        now=pages.now(),
    )


def _presented(row: SsoGroupRow) -> dict[str, Any]:
    return msgspec.structs.asdict(row)
