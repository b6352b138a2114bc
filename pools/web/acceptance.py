"""Where the link of an invitation leads: take it up with a new account, or with the one that is logged in."""

from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods

from pools.domain import actors
from pools.domain.errors import InvitationEnded, InvitationMissing, UserNameTaken
from pools.selectors import invitations as reads
from pools.selectors.invitations import OpenInvitation
from pools.services import invitations
from pools.web import forms, pages
from pools.web.forms import Field

# The address holds the secret, so only the site is told. `no-referrer` would hide the origin, and forms need that.
_POLICY: Final = "strict-origin"
_FIELDS: Final = (
    Field(name="username", label=gettext_lazy("User name"), help=gettext_lazy("You log in with it."), is_required=True),
    Field(name="display_name", label=gettext_lazy("Name shown")),
    Field(
        name="password",
        label=gettext_lazy("Password"),
        help=gettext_lazy("At least 12 characters, and none of the common ones."),
        is_required=True,
        is_secret=True,
    ),
)


@sensitive_variables("secret")
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def invitation(request: HttpRequest, secret: str) -> HttpResponse:
    """Say who invites to what, and take it up."""
    response = _answered(request, secret)
    response.headers["Referrer-Policy"] = _POLICY
    return response


def _answered(request: HttpRequest, secret: str) -> HttpResponse:
    try:
        opened = reads.opened(secret, pages.now())
    except (InvitationMissing, InvitationEnded) as error:
        status = 410 if isinstance(error, InvitationEnded) else 404
        return render(request, "invitations/ended.html", status=status)
    outcome = forms.NOT_SENT
    if request.method == "POST" and (request.user.is_authenticated or not opened.has_account):
        outcome = _taken_up(request, secret)
        if outcome.is_done:
            return _welcomed(request, opened)
    return _shown(request, opened, outcome)


def _taken_up(request: HttpRequest, secret: str) -> forms.Outcome:
    if request.user.is_authenticated:
        user_id: Any = request.user.pk
        return forms.tried(
            lambda: invitations.accept(secret=secret, user_id=user_id, actor=pages.actor(request), now=pages.now())
        )
    given = forms.sent(request, _FIELDS[:2], {})
    return forms.tried(
        lambda: invitations.accept_as_new(
            secret=secret,
            password=request.POST.get("password", ""),
            request_id=actors.request_id(),
            now=pages.now(),
            **given,
        ),
        {UserNameTaken: "username"},
    )


def _welcomed(request: HttpRequest, opened: OpenInvitation) -> HttpResponse:
    if not request.user.is_authenticated:
        messages.success(request, _("Your account is there. Log in with it."))
        return redirect("login")
    messages.success(request, _("The invitation is taken up."))
    return redirect("project", reference=opened.project) if opened.project else redirect("overview")


def _shown(request: HttpRequest, opened: OpenInvitation, outcome: forms.Outcome) -> HttpResponse:
    values = forms.sent(request, _FIELDS, {})
    groups = forms.grouped(_("Your account"), _FIELDS, values, outcome)
    user: Any = request.user
    context = {
        "invitation": {name: getattr(opened, name) for name in opened.__struct_fields__},
        "user_name": user.get_username() if user.is_authenticated else "",
        "is_for_other": user.is_authenticated and user.email.lower() != opened.email,
        "groups": groups,
        "mistakes": forms.summary(groups, outcome),
        "refused": outcome.refused,
    }
    return render(request, "invitations/invitation.html", context, status=outcome.status)
