"""People who have an account, and what is done to one: roles, log-in, sessions."""

from collections.abc import Callable
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
from pools.domain.errors import UserMissing, UserNameTaken
from pools.selectors import sessions, tokens
from pools.selectors import users as reads
from pools.selectors.users import UserRow
from pools.services import passwords, users
from pools.services import sessions as log_ins
from pools.web import access_words, figures, forms, listing, pages, shown_once, token_view
from pools.web.forms import Field, Form
from pools.web.listing import Filter

_ROLES: Final = tuple((role, access_words.WORDS["role"][role][0]) for role in roles.ROLES)
_FILTERS: Final = (
    Filter("q", gettext_lazy("Name or e-mail address"), is_wide=True),
    Filter("role", gettext_lazy("Role"), choices=_ROLES),
    Filter(
        "is_active",
        gettext_lazy("State"),
        choices=(("true", gettext_lazy("switched on")), ("false", gettext_lazy("switched off"))),
    ),
)
_EMAIL: Final = Field(
    name="email",
    label=gettext_lazy("E-mail address"),
    help=gettext_lazy("For invitations and for log-in; none is sent by ocenter without a mail server."),
)
_DISPLAY_NAME: Final = Field(name="display_name", label=gettext_lazy("Name shown"))


@require_safe
@pages.on_platform("user")
def index(request: HttpRequest) -> HttpResponse:
    """People by name."""
    found = listing.read(
        request,
        _FILTERS,
        lambda params, cursor: reads.page(params=params, cursor=cursor, limit=listing.PAGE_ROWS),
        fixed={"kind": "person"},
    )
    may = {"make": pages.access(request).everywhere("user", "create")}
    return pages.page(request, "users/list.html", {**found.context(_presented), "may": may}, here="users")


@require_safe
@pages.on_platform("user")
def user(request: HttpRequest, user_id: UUID) -> HttpResponse:
    """One person: roles, tokens, log-ins."""
    access, now = pages.access(request), pages.now()
    row = _found(user_id)
    found = tokens.page(params={"user": str(user_id)}, cursor=None, limit=listing.PAGE_ROWS, now=now, access=access)
    context = {
        "person": _presented(row),
        "tokens": token_view.presented(found.rows, access),
        "sessions": [msgspec.structs.asdict(each) for each in sessions.of_user(user_id, now)]
        if access.everywhere("session", "read")
        else None,
        "may": {
            "edit": access.everywhere("user", "edit"),
            "roles": access.everywhere("platform_role", "edit"),
            "end": access.everywhere("session", "remove"),
        },
    }
    return pages.page(request, "users/user.html", context, here="users")


@require_http_methods(["GET", "HEAD", "POST"])
@pages.on_platform("user", "create")
def new(request: HttpRequest) -> HttpResponse:
    """Make an account without an invitation."""
    username = Field(name="username", label=_("User name"), help=_("Letters, digits and @ . + - _"), is_required=True)
    form = Form(
        heading=_("New user"),
        submit=_("Make the account"),
        back=reverse("users"),
        back_label=_("Users"),
        here="users",
        legend=_("User"),
        fields=(username, _EMAIL, _DISPLAY_NAME),
        consequences=(
            _("The account has no password and no role. Make a link for the password on its page."),
            _("To let somebody choose name and password, make an invitation instead."),
        ),
    )
    values, outcome = forms.sent(request, form.fields, {}), forms.NOT_SENT
    if request.method == "POST":
        outcome = forms.tried(
            lambda: users.create(**values, actor=pages.actor(request), now=pages.now()), {UserNameTaken: "username"}
        )
    if not outcome.is_done:
        return forms.answer(request, form, values, outcome)
    messages.success(
        request, _("%(user)s is there. Now give a role, and a link for the password.") % {"user": values["username"]}
    )
    return redirect("user", user_id=outcome.result.pk)


@require_http_methods(["GET", "HEAD", "POST"])
@pages.on_platform("user", "edit")
def edit(request: HttpRequest, user_id: UUID) -> HttpResponse:
    """Change address and shown name."""
    row = _found(user_id)
    form = _form(row, _("Edit %(user)s"), _("Save"), (), legend=_("User"), fields=(_EMAIL, _DISPLAY_NAME))
    stored = {"email": row.email, "display_name": row.display_name}
    values = forms.sent(request, form.fields, stored)
    return _done(request, row, form, values, lambda: _edit(request, row, values), _("Saved."))


@require_http_methods(["GET", "HEAD", "POST"])
@pages.on_platform("user", "edit")
def switch(request: HttpRequest, user_id: UUID, state: str) -> HttpResponse:
    """Switch an account off or on."""
    row = _found(user_id)
    if state not in ("on", "off"):
        raise Http404
    if state == "off":
        heading, submit, done = _("Switch %(user)s off"), _("Switch off"), _("The account is switched off.")
        consequences: tuple[str, ...] = (
            _("All log-ins end at once, and nobody can log in with the account."),
            _("Its tokens are refused while it is off. Service accounts that it made go on."),
            _("Its roles are kept and count again when you switch it on."),
        )
    else:
        heading, submit, done = _("Switch %(user)s on"), _("Switch on"), _("The account is switched on.")
        consequences = (_("The account can log in again; its roles and its tokens count again."),)
    form = _form(row, heading, submit, consequences, is_danger=state == "off")
    return _done(request, row, form, {}, lambda: _edit(request, row, {"is_active": state == "on"}), done)


@require_http_methods(["GET", "HEAD", "POST"])
@pages.on_platform("platform_role", "edit")
def platform_roles(request: HttpRequest, user_id: UUID) -> HttpResponse:
    """Give and take roles on the platform."""
    row = _found(user_id)
    held = {role.role for role in row.roles if role.project is None and role.source == "hand"}
    fields = tuple(
        Field(
            name=role,
            label=access_words.WORDS["role"][role][0],
            help=access_words.ROLES[role],
            type="boolean",
            is_wide=True,
        )
        for role in roles.PLATFORM_ROLES
    )
    consequences = (
        _("The roles hold everywhere and at once, also for the user's tokens."),
        _("Roles by single sign-on stay beside them; they follow the groups."),
    )
    form = _form(row, _("Roles of %(user)s on the platform"), _("Save"), consequences, legend=_("Roles"), fields=fields)
    values = forms.sent(request, fields, {role: "true" if role in held else "" for role in roles.PLATFORM_ROLES})

    def write() -> Any:
        return users.set_platform_roles(
            user_id=user_id,
            roles=[role for role, value in values.items() if value == "true"],
            generation=forms.generation(request),
            actor=pages.actor(request),
            now=pages.now(),
        )

    return _done(request, row, form, values, write, _("The roles are changed."))


@require_http_methods(["GET", "HEAD", "POST"])
@pages.on_platform("user", "edit")
def reset(request: HttpRequest, user_id: UUID) -> HttpResponse:
    """Make a link by which somebody chooses a new password."""
    row = _found(user_id)
    consequences = (
        _("You get a link, shown once. Hand it over yourself: ocenter sends no e-mail."),
        _("The old password works until the link is used; then all log-ins end."),
    )
    form = _form(row, _("New password for %(user)s"), _("Make the link"), consequences)
    outcome = forms.NOT_SENT
    if request.method == "POST":
        outcome = forms.tried(
            lambda: passwords.make_reset_link(user_id=user_id, actor=pages.actor(request), now=pages.now())
        )
    if not outcome.is_done:
        return forms.answer(request, form, {}, outcome)
    key = outcome.result
    address = reverse("account_reset_password_from_key", args=(key.user_id.hex, key.token))
    return shown_once.page(
        request,
        heading=_("New password for %(user)s") % {"user": row.username},
        label=_("Link"),
        secret=request.build_absolute_uri(address),
        sentences=(
            _("Hand it to %(user)s and to nobody else.") % {"user": row.username},
            _("It works once, until %(instant)s.") % {"instant": figures.instant(key.expires_at)},
        ),
        back=form.back,
        back_label=row.username,
        here="users",
    )


@require_http_methods(["GET", "HEAD", "POST"])
@pages.on_platform("session", "remove")
def end_sessions(request: HttpRequest, user_id: UUID) -> HttpResponse:
    """End all log-ins of somebody."""
    row = _found(user_id)
    consequences = (
        _("All browsers in which the user is logged in must log in again."),
        _("Tokens go on; revoke them one by one, or switch the account off."),
    )
    form = _form(row, _("End the log-ins of %(user)s"), _("End them"), consequences, is_danger=True)

    def write() -> Any:
        return log_ins.end_all(user_id=user_id, actor=pages.actor(request), now=pages.now())

    return _done(request, row, form, {}, write, _("The log-ins are ended."))


def _edit(request: HttpRequest, row: UserRow, changes: dict[str, Any]) -> Any:
    return users.edit(
        user_id=row.id,
        changes=changes,
        generation=forms.generation(request),
        actor=pages.actor(request),
        now=pages.now(),
    )


def _done(
    request: HttpRequest, row: UserRow, form: Form, values: dict[str, str], write: Callable[[], Any], done: str
) -> HttpResponse:
    outcome = forms.tried(write) if request.method == "POST" else forms.NOT_SENT
    if not outcome.is_done:
        return forms.answer(request, form, values, outcome)
    messages.success(request, done)
    if row.id == request.user.pk and not pages.access(request).everywhere("user", "read"):
        return redirect("overview")  # somebody who took the own role
    return redirect("user", user_id=row.id)


def _form(row: UserRow, heading: str, submit: str, consequences: tuple[str, ...], **more: Any) -> Form:
    return Form(
        heading=heading % {"user": row.username},
        submit=submit,
        back=reverse("user", args=(row.id,)),
        back_label=row.username,
        here="users",
        consequences=consequences,
        generation=row.generation,
        **more,
    )


def _found(user_id: UUID) -> UserRow:
    try:
        row = reads.one(str(user_id))
    except UserMissing:
        raise Http404 from None
    if row.kind != "person":
        raise Http404  # service accounts have pages of their own
    return row


def _presented(row: UserRow) -> dict[str, Any]:
    person = msgspec.structs.asdict(row)
    on_platform = [role for role in row.roles if role.project is None]
    return person | {
        "roles": [msgspec.structs.asdict(role) for role in row.roles],
        "platform_roles": sorted({role.role for role in on_platform}),
        "project_count": len({role.project_id for role in row.roles if role.project_id}),
        "state": "on" if row.is_active else "off",
    }
