"""Invitations to a project or to the platform: see them, make one, withdraw one."""

from functools import partial
from typing import Any, Final
from uuid import UUID

import msgspec
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from pools.domain import roles
from pools.domain.errors import Denied, InvitationMissing, RoleTooHigh
from pools.selectors import invitations as reads
from pools.selectors.invitations import InvitationRow
from pools.services import invitations
from pools.web import access_words, figures, forms, listing, members, pages, project_page, shown_once
from pools.web.forms import Field, Form
from pools.web.listing import Filter
from pools.web.project_page import Place

_FILTERS: Final = (
    Filter("q", gettext_lazy("E-mail address"), is_wide=True),
    Filter("state", gettext_lazy("State"), vocabulary="invitation_state"),
)
_EMAIL: Final = Field(
    name="email",
    label=gettext_lazy("E-mail address"),
    help=gettext_lazy("Only an account with this address can take the invitation up."),
    is_required=True,
    is_wide=True,
)


@require_safe
@project_page.of("invitation")
def of_project(request: HttpRequest, place: Place) -> HttpResponse:
    """The invitations to the project, the newest first."""
    found = listing.read(
        request,
        _FILTERS,
        lambda params, cursor: reads.page(
            params=params,
            cursor=cursor,
            limit=listing.PAGE_ROWS,
            now=pages.now(),
            access=pages.access(request),
            project=place.model,
        ),
    )
    return project_page.tab(request, "project-invitations", place, found.context(_presented))


@require_safe
@pages.on_platform("invitation")
def index(request: HttpRequest) -> HttpResponse:
    """All invitations, to projects and to the platform, the newest first."""
    found = listing.read(
        request,
        _FILTERS,
        lambda params, cursor: reads.page(
            params=params, cursor=cursor, limit=listing.PAGE_ROWS, now=pages.now(), access=pages.access(request)
        ),
    )
    may = {"withdraw": pages.access(request).everywhere("invitation", "remove")}
    may["invite"] = pages.access(request).everywhere("invitation", "create")
    return pages.page(request, "users/invitations.html", {**found.context(_presented), "may": may}, here="users")


@require_http_methods(["GET", "HEAD", "POST"])
@project_page.of("invitation", "create")
def new(request: HttpRequest, place: Place) -> HttpResponse:
    """Invite somebody to the project."""
    form = Form(
        heading=_("Invite to %(project)s") % {"project": place.row["path"]},
        submit=_("Make the link"),
        back=reverse("project-invitations", args=(place.reference,)),
        back_label=_("Invitations to %(project)s") % {"project": place.row["path"]},
        here="projects",
        legend=_("Invitation"),
        fields=(_EMAIL, members.role_field(request, place)),
        consequences=(
            _("You get a link, shown once. Send it yourself: ocenter sends no e-mail."),
            _("Whoever takes it up has the role in this project and in all below it."),
            _("It can be taken up once, within seven days, and you can withdraw it."),
        ),
    )
    return _invited(request, form, place.row["id"], "member")


@require_http_methods(["GET", "HEAD", "POST"])
@pages.on_platform("invitation", "create")
def new_on_platform(request: HttpRequest) -> HttpResponse:
    """Invite somebody to the platform, with one of its roles or with an account only."""
    choices = (("", _("none: an account only")), *access_words.role_choices(roles.PLATFORM_ROLES))
    role = Field(
        name="role", label=_("Role on the platform"), type="choice", choices=choices, is_required=True, is_wide=True
    )
    form = Form(
        heading=_("Invite a user"),
        submit=_("Make the link"),
        back=reverse("invitations"),
        back_label=_("Invitations"),
        here="users",
        legend=_("Invitation"),
        fields=(_EMAIL, role),
        consequences=(
            _("You get a link, shown once. Send it yourself: ocenter sends no e-mail."),
            _("Whoever takes it up makes an account, or uses the one that has this address."),
            _("For a role in a project, invite from the project's page instead."),
        ),
    )
    return _invited(request, form, None, "")


@require_http_methods(["GET", "HEAD", "POST"])
@pages.signed_in
def withdraw(request: HttpRequest, invitation_id: UUID) -> HttpResponse:
    """Make an invitation worthless."""
    access = pages.access(request)
    try:
        reads.reachable(invitation_id, access)
        invitation = reads.one(invitation_id, pages.now(), access)
    except InvitationMissing:
        raise Http404 from None
    except Denied:
        raise PermissionDenied from None
    back = reverse("invitations")
    if invitation.project:
        back = reverse("project-invitations", args=(invitation.project,))
    form = Form(
        heading=_("Withdraw the invitation of %(email)s") % {"email": invitation.email},
        submit=_("Withdraw"),
        back=back,
        back_label=_("Invitations"),
        here="projects" if invitation.project else "users",
        consequences=(_("The link is worthless at once. Nobody is told."),),
        is_danger=True,
    )
    withdraw = partial(invitations.withdraw, invitation_id=invitation_id)
    return forms.confirmed(request, form, withdraw, _("The invitation is withdrawn."))


def _invited(request: HttpRequest, form: Form, project_id: UUID | None, role: str) -> HttpResponse:
    values, outcome = forms.sent(request, form.fields, {"role": role}), forms.NOT_SENT
    if request.method == "POST":
        outcome = forms.tried(
            lambda: invitations.invite(
                project_id=project_id,
                email=values["email"],
                role=values["role"],
                actor=pages.actor(request),
                now=pages.now(),
            ),
            {RoleTooHigh: "role"},
        )
    if not outcome.is_done:
        return forms.answer(request, form, values, outcome)
    made, secret = outcome.result
    return shown_once.page(
        request,
        heading=_("Invitation for %(email)s") % {"email": made.email},
        label=_("Link"),
        secret=request.build_absolute_uri(reverse("invitation", args=(secret,))),
        sentences=(
            _("Send it to %(email)s and to nobody else.") % {"email": made.email},
            _("It can be taken up once, until %(instant)s.") % {"instant": figures.instant(made.expires_at)},
        ),
        back=form.back,
        back_label=str(form.back_label),
        here=form.here,
    )


def _presented(row: InvitationRow) -> dict[str, Any]:
    return msgspec.structs.asdict(row)
