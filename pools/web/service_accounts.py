"""Accounts of programs: those of a project and those of the platform, and what is done to one."""

from typing import Any, Final
from uuid import UUID

import msgspec
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from pools.domain import roles
from pools.domain.errors import Denied, RoleTooHigh, ServiceAccountMissing, ServiceAccountNameTaken
from pools.selectors import service_accounts as reads
from pools.selectors import tokens
from pools.selectors.service_accounts import ServiceAccountRow
from pools.services import service_accounts
from pools.web import access_words, forms, listing, members, pages, project_page, token_view
from pools.web.forms import Field, Form
from pools.web.listing import Filter
from pools.web.project_page import Place

_FILTERS: Final = (
    Filter("q", gettext_lazy("Name"), is_wide=True),
    Filter(
        "is_active",
        gettext_lazy("State"),
        choices=(("true", gettext_lazy("switched on")), ("false", gettext_lazy("switched off"))),
    ),
)
_NAME: Final = Field(
    name="name",
    label=gettext_lazy("Name"),
    help=gettext_lazy("Lower-case letters, digits and hyphens, after the program: ci, trainer, exporter."),
    is_required=True,
    example="ci",
)


@require_safe
@project_page.of("service_account")
def of_project(request: HttpRequest, place: Place) -> HttpResponse:
    """The service accounts of the project."""
    found = listing.read(
        request,
        _FILTERS,
        lambda params, cursor: reads.page(
            params=params,
            cursor=cursor,
            limit=listing.PAGE_ROWS,
            access=pages.access(request),
            project=place.model,
        ),
    )
    return project_page.tab(request, "project-service-accounts", place, found.context(_presented))


@require_safe
@pages.on_platform("service_account")
def index(request: HttpRequest) -> HttpResponse:
    """All service accounts, of projects and of the platform."""
    access = pages.access(request)
    found = listing.read(
        request,
        (*_FILTERS, Filter("project", gettext_lazy("Project"))),
        lambda params, cursor: reads.page(params=params, cursor=cursor, limit=listing.PAGE_ROWS, access=access),
    )
    may = {"make": access.everywhere("service_account", "create")}
    return pages.page(request, "users/service_accounts.html", {**found.context(_presented), "may": may}, here="users")


@require_http_methods(["GET", "HEAD", "POST"])
@project_page.of("service_account", "create")
def new(request: HttpRequest, place: Place) -> HttpResponse:
    """Make a service account of the project."""
    form = Form(
        heading=_("New service account in %(project)s") % {"project": place.row["path"]},
        submit=_("Make the account"),
        back=reverse("project-service-accounts", args=(place.reference,)),
        back_label=_("Service accounts of %(project)s") % {"project": place.row["path"]},
        here="projects",
        legend=_("Service account"),
        fields=(_NAME, members.role_field(request, place)),
        consequences=(
            _("A program acts with it by tokens, which you make next; nobody can log in with it."),
            _("It belongs to the project and stays when you leave."),
        ),
    )
    return _made(request, form, place.row["id"], "member")


@require_http_methods(["GET", "HEAD", "POST"])
@pages.on_platform("service_account", "create")
def new_on_platform(request: HttpRequest) -> HttpResponse:
    """Make a service account of the platform."""
    form = Form(
        heading=_("New service account of the platform"),
        submit=_("Make the account"),
        back=reverse("service-accounts"),
        back_label=_("Service accounts"),
        here="users",
        legend=_("Service account"),
        fields=(_NAME, members.role_field(request, None)),
        consequences=(
            _("Its role holds everywhere. For one project, make it on the project's page instead."),
            _("A program acts with it by tokens, which you make next; nobody can log in with it."),
        ),
    )
    return _made(request, form, None, roles.PLATFORM_ROLES[-1])


@require_safe
@pages.signed_in
def account(request: HttpRequest, account_id: UUID) -> HttpResponse:
    """One service account and its tokens."""
    row = _found(request, account_id, "read")
    access = pages.access(request)
    page = tokens.page(
        params={"service_account": str(account_id)},
        cursor=None,
        limit=listing.PAGE_ROWS,
        now=pages.now(),
        access=access,
    )
    context = {
        "account": _presented(row),
        "tokens": token_view.presented(page.rows, access),
        "may_edit": _may(request, account_id, "edit"),
        "may_remove": _may(request, account_id, "remove"),
        "back": _list_of(row),
    }
    return pages.page(request, "service_accounts/account.html", context, here=_here(row))


@require_http_methods(["GET", "HEAD", "POST"])
@pages.signed_in
def edit(request: HttpRequest, account_id: UUID) -> HttpResponse:
    """Give it another role."""
    row = _found(request, account_id, "edit")
    names = roles.PROJECT_ROLES[::-1] if row.project else roles.PLATFORM_ROLES
    role = Field(
        name="role",
        label=_("Role"),
        help=_("You can give roles up to your own."),
        type="choice",
        choices=tuple(access_words.role_choices(names)),
        is_required=True,
        is_wide=True,
    )
    form = _form(
        row,
        _("Role of %(account)s") % {"account": row.name},
        _("Change the role"),
        (_("The new role holds at once, for all its tokens."),),
        legend=_("Role"),
        fields=(role,),
    )
    values, outcome = forms.sent(request, form.fields, {"role": row.role}), forms.NOT_SENT
    if request.method == "POST":
        outcome = forms.tried(lambda: _edit(request, account_id, role=values["role"]), {RoleTooHigh: "role"})
    if not outcome.is_done:
        return forms.answer(request, form, values, outcome)
    messages.success(request, _("The role is changed."))
    return redirect("service-account", account_id=account_id)


@require_http_methods(["GET", "HEAD", "POST"])
@pages.signed_in
def switch(request: HttpRequest, account_id: UUID, state: str) -> HttpResponse:
    """Switch it off or on."""
    row = _found(request, account_id, "edit")
    if state not in ("on", "off"):
        raise Http404
    if state == "off":
        consequences = (_("Its tokens are worth nothing while it is off. They count again when you switch it on."),)
        heading, submit = _("Switch %(account)s off"), _("Switch off")
    else:
        consequences = (_("Its tokens that are not expired or revoked count again."),)
        heading, submit = _("Switch %(account)s on"), _("Switch on")
    form = _form(row, heading % {"account": row.name}, submit, consequences, is_danger=state == "off")
    outcome = forms.NOT_SENT
    if request.method == "POST":
        outcome = forms.tried(lambda: _edit(request, account_id, is_active=state == "on"))
    if not outcome.is_done:
        return forms.answer(request, form, {}, outcome)
    messages.success(request, _("Saved."))
    return redirect("service-account", account_id=account_id)


@require_http_methods(["GET", "HEAD", "POST"])
@pages.signed_in
def remove(request: HttpRequest, account_id: UUID) -> HttpResponse:
    """Remove it for good."""
    row = _found(request, account_id, "remove")
    consequences = (
        _("All its tokens are revoked at once and for good; programs that use them are refused."),
        _("Its name becomes free. What it did stays in the audit."),
    )
    heading = _("Remove %(account)s") % {"account": row.name}
    form = _form(row, heading, _("Remove the account"), consequences, is_danger=True)
    outcome = forms.NOT_SENT
    if request.method == "POST":
        outcome = forms.tried(
            lambda: service_accounts.remove(account_id=account_id, actor=pages.actor(request), now=pages.now())
        )
    if not outcome.is_done:
        return forms.answer(request, form, {}, outcome)
    messages.success(request, _("%(account)s is removed.") % {"account": row.name})
    return redirect(_list_of(row))


def _made(request: HttpRequest, form: Form, project_id: UUID | None, role: str) -> HttpResponse:
    values, outcome = forms.sent(request, form.fields, {"role": role}), forms.NOT_SENT
    if request.method == "POST":
        outcome = forms.tried(
            lambda: service_accounts.make(
                project_id=project_id,
                name=values["name"],
                role=values["role"],
                actor=pages.actor(request),
                now=pages.now(),
            ),
            {ServiceAccountNameTaken: "name", RoleTooHigh: "role"},
        )
    if not outcome.is_done:
        return forms.answer(request, form, values, outcome)
    messages.success(request, _("%(account)s is there. Now make a token for it.") % {"account": values["name"]})
    return redirect("service-account", account_id=outcome.result.pk)


def _edit(request: HttpRequest, account_id: UUID, **changes: Any) -> Any:
    return service_accounts.edit(account_id=account_id, actor=pages.actor(request), now=pages.now(), **changes)


def _found(request: HttpRequest, account_id: UUID, verb: str) -> ServiceAccountRow:
    access = pages.access(request)
    try:
        reads.reachable(str(account_id), access, verb)
        return reads.one(account_id, access)
    except ServiceAccountMissing:
        raise Http404 from None
    except Denied:
        raise PermissionDenied from None


def _may(request: HttpRequest, account_id: UUID, verb: str) -> bool:
    try:
        reads.reachable(str(account_id), pages.access(request), verb)
    except Denied:
        return False
    return True


def _form(row: ServiceAccountRow, heading: str, submit: str, consequences: tuple[str, ...], **more: Any) -> Form:
    return Form(
        heading=heading,
        submit=submit,
        back=reverse("service-account", args=(row.id,)),
        back_label=row.name,
        here=_here(row),
        consequences=consequences,
        **more,
    )


def _here(row: ServiceAccountRow) -> str:
    return "projects" if row.project else "users"


def _list_of(row: ServiceAccountRow) -> str:
    if row.project:
        return reverse("project-service-accounts", args=(row.project,))
    return reverse("service-accounts")


def _presented(row: ServiceAccountRow) -> dict[str, Any]:
    return msgspec.structs.asdict(row)
