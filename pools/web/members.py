"""Who has which role in a project: see it, give one, change it, take it."""

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
from pools.domain.errors import MemberExists, MemberMissing, RoleTooHigh, UserMissing
from pools.selectors import members as reads
from pools.selectors.members import MemberRow
from pools.services import members
from pools.web import access_words, forms, listing, pages, project_page
from pools.web.forms import Field, Form
from pools.web.listing import Filter
from pools.web.project_page import Place

_INHERITED: Final = (("false", gettext_lazy("this project")), ("true", gettext_lazy("a project above")))
_FILTERS: Final = (
    Filter("q", gettext_lazy("Name"), is_wide=True),
    Filter(
        "role",
        gettext_lazy("Role"),
        choices=tuple((role, access_words.WORDS["role"][role][0]) for role in roles.PROJECT_ROLES),
    ),
    Filter("is_inherited", gettext_lazy("Given in"), choices=_INHERITED),
    Filter("source", gettext_lazy("How"), vocabulary="role_source"),
)


@require_safe
@project_page.of("member")
def index(request: HttpRequest, place: Place) -> HttpResponse:
    """The people of the project, also those from above."""
    access = pages.access(request)
    found = listing.read(
        request,
        _FILTERS,
        lambda params, cursor: reads.page(
            project=place.model, params=params, cursor=cursor, limit=listing.PAGE_ROWS, access=access
        ),
    )
    changeable = set(project_page.givable(access, place)) if place.may(access, "member", "edit") else set()
    context = found.context(lambda row: _presented(row, changeable))
    return project_page.tab(request, "project-members", place, context)


@require_http_methods(["GET", "HEAD", "POST"])
@project_page.of("member", "create")
def add(request: HttpRequest, place: Place) -> HttpResponse:
    """Give a role to somebody who is known here already; others are invited."""
    access = pages.access(request)
    help_ = (
        _("The user name of anybody who has an account.")
        if access.everywhere("member", "create")
        else _("The user name of somebody who has a role in this tenant already. Invite others by e-mail.")
    )
    form = Form(
        heading=_("Add a member to %(project)s") % {"project": place.row["path"]},
        submit=_("Give the role"),
        back=reverse("project-members", args=(place.reference,)),
        back_label=_("Members of %(project)s") % {"project": place.row["path"]},
        here="projects",
        legend=_("Member"),
        fields=(Field(name="user", label=_("User name"), help=help_, is_required=True), role_field(request, place)),
        consequences=(_("The role holds in this project and in all below it."),),
    )
    values, outcome = forms.sent(request, form.fields, {"role": "member"}), forms.NOT_SENT
    if request.method == "POST":
        outcome = forms.tried(
            lambda: members.add(
                project_id=place.row["id"],
                user=values["user"],
                role=values["role"],
                actor=pages.actor(request),
                now=pages.now(),
            ),
            {UserMissing: "user", MemberExists: "user", RoleTooHigh: "role"},
        )
    if not outcome.is_done:
        return forms.answer(request, form, values, outcome)
    messages.success(request, _("%(user)s has the role now.") % {"user": values["user"]})
    return redirect("project-members", reference=place.reference)


@require_http_methods(["GET", "HEAD", "POST"])
@project_page.of("member", "edit")
def change(request: HttpRequest, place: Place, user_id: UUID) -> HttpResponse:
    """Give a member another role."""
    member = _member(request, place, user_id)
    form = Form(
        heading=_("Role of %(user)s in %(project)s") % {"user": member["user"], "project": place.row["path"]},
        submit=_("Change the role"),
        back=reverse("project-members", args=(place.reference,)),
        back_label=_("Members of %(project)s") % {"project": place.row["path"]},
        here="projects",
        legend=_("Role"),
        fields=(role_field(request, place),),
        consequences=(
            _("The new role holds at once, in this project and in all below it, also for the member's tokens."),
        ),
    )
    values, outcome = forms.sent(request, form.fields, {"role": member["role"]}), forms.NOT_SENT
    if request.method == "POST":
        outcome = forms.tried(
            lambda: members.change(
                project_id=place.row["id"],
                user=str(user_id),
                role=values["role"],
                actor=pages.actor(request),
                now=pages.now(),
            ),
            {RoleTooHigh: "role"},
        )
    if not outcome.is_done:
        return forms.answer(request, form, values, outcome)
    messages.success(request, _("The role is changed."))
    return redirect("project-members", reference=place.reference)


@require_http_methods(["GET", "HEAD", "POST"])
@project_page.of("member", "remove")
def remove(request: HttpRequest, place: Place, user_id: UUID) -> HttpResponse:
    """Take a member's role."""
    member = _member(request, place, user_id)
    form = Form(
        heading=_("Remove %(user)s from %(project)s") % {"user": member["user"], "project": place.row["path"]},
        submit=_("Remove the member"),
        back=reverse("project-members", args=(place.reference,)),
        back_label=_("Members of %(project)s") % {"project": place.row["path"]},
        here="projects",
        consequences=(
            _("The role in this project and below ends at once, also for the member's tokens."),
            _("Roles from above or by single sign-on stay, and so does the account."),
            _("Service accounts and invitations that the member made stay."),
        ),
        is_danger=True,
    )
    outcome = forms.NOT_SENT
    if request.method == "POST":
        outcome = forms.tried(
            lambda: members.remove(
                project_id=place.row["id"], user=str(user_id), actor=pages.actor(request), now=pages.now()
            )
        )
    if not outcome.is_done:
        return forms.answer(request, form, {}, outcome)
    messages.success(request, _("%(user)s has no role of its own here any more.") % {"user": member["user"]})
    known = pages.access(request).within("member", "read", place.model.lineage)
    return redirect("project-members", reference=place.reference) if known else redirect("projects")


def role_field(request: HttpRequest, place: Place | None) -> Field:
    """Return the choice of the roles that the caller may give in the project (None: on the platform)."""
    return Field(
        name="role",
        label=_("Role"),
        help=_("You can give roles up to your own."),
        type="choice",
        choices=tuple(access_words.role_choices(project_page.givable(pages.access(request), place))),
        is_required=True,
        is_wide=True,
    )


def _member(request: HttpRequest, place: Place, user_id: UUID) -> dict[str, Any]:
    try:
        return msgspec.structs.asdict(reads.one(project=place.model, user=str(user_id), access=pages.access(request)))
    except MemberMissing:
        raise Http404 from None


def _presented(row: MemberRow, changeable: set[str]) -> dict[str, Any]:
    is_changeable = row.inherited_from is None and row.source == "hand" and row.role in changeable
    return {**msgspec.structs.asdict(row), "is_changeable": is_changeable}
