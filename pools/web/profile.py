"""What people see and change of themselves, and where they are logged in."""

from typing import Any
from zoneinfo import available_timezones

from allauth.account.adapter import get_adapter
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import messages
from django.forms import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from pools.domain.errors import Invalid, SessionMissing
from pools.selectors import sessions as known
from pools.selectors.sessions import KEPT_IN_SESSION
from pools.services import profile as own
from pools.services import sessions
from pools.web import pages
from pools.web.session import remember

_FIELDS = ("display_name", "email", "language", "time_zone")


@sensitive_post_parameters("password")
@pages.allowed("me", post="edit")
def profile(request: HttpRequest) -> HttpResponse:
    """The profile, and what else belongs to a person."""
    user: Any = request.user
    given = {name: getattr(user, name) for name in _FIELDS}
    mistakes: dict[str, str] = {}
    if request.method == "POST":
        given = {name: request.POST.get(name, given[name]).strip() for name in _FIELDS}
        mistakes = _change(request, given)
        if not mistakes:
            messages.success(request, _("Your profile was saved."))
            response = redirect("profile")
            if given["language"]:
                remember(response, settings.LANGUAGE_COOKIE_NAME, given["language"])
            return response
    return pages.page(request, "profile/profile.html", _context(request, given, mistakes), here="profile")


@require_POST
@pages.allowed("me", "remove")
def end_session(request: HttpRequest, session_id: int) -> HttpResponse:
    """End one of one's own sessions."""
    user: Any = request.user
    try:
        sessions.end(user_id=user.pk, session_id=session_id, actor=pages.actor(request), now=pages.now())
    except SessionMissing:
        messages.info(request, _("This session had ended already."))
    else:
        messages.success(request, _("The session was ended."))
    return redirect("profile")


@require_POST
@pages.allowed("me", "remove")
def end_others(request: HttpRequest) -> HttpResponse:
    """End all of one's own sessions but this one."""
    user: Any = request.user
    current = request.session.get(KEPT_IN_SESSION)
    count = sessions.end_all(user_id=user.pk, actor=pages.actor(request), now=pages.now(), but=current)
    messages.success(request, _("Sessions ended: %(count)s.") % {"count": count})
    return redirect("profile")


def _change(request: HttpRequest, given: dict[str, str]) -> dict[str, str]:
    """Save, and return what is wrong by field. Another address needs the password: links to reset it go there."""
    user: Any = request.user
    if given["email"].lower() != user.email.lower():
        try:
            is_known = get_adapter().reauthenticate(user, request.POST.get("password", ""))
        except ValidationError as error:
            return {"password": error.messages[0]}
        if not is_known:
            return {"password": _("To change the e-mail address, give your password.")}
    try:
        own.change(user_id=user.pk, actor=pages.actor(request), now=pages.now(), **given)
    except Invalid as error:
        return {wrong.field: _(wrong.detail) for wrong in error.fields}
    return {}


def _context(request: HttpRequest, given: dict[str, str], mistakes: dict[str, str]) -> dict[str, Any]:
    user: Any = request.user
    rows = known.of_user(user.pk, pages.now(), request.session.get(KEPT_IN_SESSION))
    return {
        "username": user.username,
        "given": given,
        "mistakes": mistakes,
        "languages": settings.LANGUAGES,
        "time_zones": sorted(available_timezones()),
        "has_password": user.has_usable_password(),
        "has_second_factor": is_mfa_enabled(user, ["totp"]),
        "sessions": [{name: getattr(row, name) for name in row.__struct_fields__} for row in rows],
    }
