"""Tokens: one's own, those of service accounts within reach, and for those who may, those of others."""

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods, require_safe

from pools.domain import roles
from pools.domain.access import Access
from pools.domain.errors import Denied, Invalid, TokenMissing
from pools.selectors import tokens as reads
from pools.selectors.tokens import TokenRow, TokenScope
from pools.services import tokens
from pools.web import figures, forms, listing, pages, shown_once, token_view, words
from pools.web.forms import Field, Form
from pools.web.listing import Filter

_STATE: Final = Filter("state", gettext_lazy("State"), vocabulary="token_state")
_OF_OTHERS: Final = (
    Filter("user", gettext_lazy("User"), is_wide=True),
    Filter("service_account", gettext_lazy("Service account")),
)
_DAYS: Final = (1, 7, 30, 90, 180, 365)
_DAYS_DEFAULT: Final = 30
_LISTS: Final = ("verbs", "nouns")
_FIELDS: Final = (
    Field(
        name="name",
        label=gettext_lazy("Name"),
        help=gettext_lazy("What it is for, so that you know it again: ci of vision, my laptop."),
        is_required=True,
    ),
    Field(
        name="projects",
        label=gettext_lazy("Only in these projects"),
        help=gettext_lazy("Paths with commas between. Left empty: everywhere that the account may."),
        example="acme/vision",
    ),
    Field(
        name="pools",
        label=gettext_lazy("Only in these pools"),
        help=gettext_lazy("Names with commas between. Left empty: every pool that the account may use."),
        example="lab",
    ),
)


@require_safe
@pages.signed_in
def index(request: HttpRequest) -> HttpResponse:
    """One's own tokens, or those of whom the filter names."""
    access = pages.access(request)
    sees_others = access.everywhere("token", "read")
    found = listing.read(
        request,
        (*_OF_OTHERS, _STATE) if sees_others else (_STATE,),
        lambda params, cursor: reads.page(
            params=params, cursor=cursor, limit=listing.PAGE_ROWS, now=pages.now(), access=access
        ),
    )
    rows = {row["id"]: row for row in token_view.presented(found.rows, access)}
    context = {**found.context(lambda row: rows[row.id]), "sees_others": sees_others, "user_name": access.user_name}
    return pages.page(request, "tokens/list.html", context, here="tokens")


@require_http_methods(["GET", "HEAD", "POST"])
@pages.allowed(roles.MINE, "create")
def new(request: HttpRequest) -> HttpResponse:
    """Make a token of oneself, or of the service account that the address names."""
    account = forms.text(request.GET.get("service_account", ""))
    access = pages.access(request)
    try:
        username = reads.service_account(account, access) if account else access.user_name
    except Invalid:
        raise Http404 from None
    outcome = forms.NOT_SENT
    if request.method == "POST":
        outcome = forms.tried(lambda: _make(request, username))
    back = reverse("tokens")
    if account:
        back = f"{back}?service_account={username}"
    if not outcome.is_done:
        return _asked(request, username, back, outcome)
    return _secret(request, outcome.result, back)


@require_http_methods(["GET", "HEAD", "POST"])
@pages.signed_in
def rotate(request: HttpRequest, token_id: UUID) -> HttpResponse:
    """Make a successor; the old token goes on for a while."""
    row = _found(request, token_id, "create")
    overlaps = (
        ("0", _("not at all: it ends at once")),
        ("3600", _("an hour")),
        ("86400", _("a day")),
        (str(tokens.OVERLAP_MOST_SECONDS), _("seven days")),
    )
    form = Form(
        heading=_("Rotate %(token)s") % {"token": row.name},
        submit=_("Make the successor"),
        back=reverse("tokens"),
        back_label=_("Tokens"),
        here="tokens",
        legend=_("Overlap"),
        fields=(
            Field(
                name="overlap_seconds",
                label=_("For how long the old token still works"),
                help=_("Put the new one everywhere in the meantime."),
                type="choice",
                choices=overlaps,
                is_required=True,
            ),
        ),
        consequences=(
            _("You get a new token with the same name, limits and length of life. It is shown once."),
            _("The old one ends after the overlap, and cannot be rotated again."),
        ),
    )
    stored = {"overlap_seconds": str(tokens.OVERLAP_DEFAULT_SECONDS)}
    values, outcome = forms.sent(request, form.fields, stored), forms.NOT_SENT
    if request.method == "POST":
        overlap = values["overlap_seconds"]
        outcome = forms.tried(
            lambda: tokens.rotate(
                token_id=token_id,
                overlap_seconds=int(overlap) if overlap.isdecimal() and len(overlap) < 10 else -1,
                actor=pages.actor(request),
                now=pages.now(),
            )
        )
    if not outcome.is_done:
        return forms.answer(request, form, values, outcome)
    return _secret(request, outcome.result, form.back)


@require_http_methods(["GET", "HEAD", "POST"])
@pages.signed_in
def revoke(request: HttpRequest, token_id: UUID) -> HttpResponse:
    """Make a token worthless."""
    row = _found(request, token_id, "remove")
    form = Form(
        heading=_("Revoke %(token)s") % {"token": row.name},
        submit=_("Revoke"),
        back=reverse("tokens"),
        back_label=_("Tokens"),
        here="tokens",
        consequences=(
            _("oc_%(prefix)s… of %(user)s is refused everywhere within seconds, and for good.")
            % {"prefix": row.prefix, "user": row.user},
            _("Programs that use it fail until they get another one."),
        ),
        is_danger=True,
    )
    outcome = forms.NOT_SENT
    if request.method == "POST":
        outcome = forms.tried(lambda: tokens.revoke(token_id=token_id, actor=pages.actor(request), now=pages.now()))
    if not outcome.is_done:
        return forms.answer(request, form, {}, outcome)
    messages.success(request, _("%(token)s is revoked.") % {"token": row.name})
    return redirect("tokens")


def _make(request: HttpRequest, username: str) -> str:
    now, access = pages.now(), pages.access(request)
    given = forms.sent(request, _FIELDS, {})
    wanted = TokenScope(
        **{name: request.POST.getlist(name) or None for name in _LISTS},
        **{name: _split(given[name]) for name in ("projects", "pools")},
    )
    return tokens.make(
        username=username,
        name=given["name"],
        scope=reads.scope(wanted, access),
        expires_at=_expires_at(request.POST.get("days", ""), now),
        actor=pages.actor(request),
        now=now,
    )


def _expires_at(days: str, now: datetime) -> datetime | None:
    """Nothing chosen is as long as is allowed; what is no number of days has passed already and is refused."""
    if not days:
        return None
    return now + timedelta(days=int(days) if days.isdecimal() and len(days) < 6 else 0)


def _split(text: str) -> list[str] | None:
    return [word for part in text.split(",") if (word := part.strip())] or None


def _asked(request: HttpRequest, username: str, back: str, outcome: forms.Outcome) -> HttpResponse:
    is_sent = request.method == "POST"
    presets = {"projects": request.GET.get("project", ""), "pools": request.GET.get("pool", "")}
    errors = tuple(each for each in outcome.errors)
    named = forms.Outcome(errors=tuple(map(_beside, errors)), refused=outcome.refused)
    groups = forms.grouped("", _FIELDS, forms.sent(request, _FIELDS, presets), named)
    ticked = {
        "verbs": request.POST.getlist("verbs") if is_sent else ["read"],
        "nouns": request.POST.getlist("nouns"),
    }
    choices = {"verbs": tuple(roles.VERBS.values()), "nouns": (roles.MINE, *roles.NOUNS)}
    fields = {each["name"]: each for group in groups for each in group["fields"]}
    context = {
        "username": username,
        "back": back,
        "fields": fields,
        "ticks": {name: _ticks(name[:-1], choices[name], ticked[name]) for name in _LISTS},
        "days": _day_choices(request.POST.get("days", "") if is_sent else None),
        "mistakes": forms.summary(groups, named),
        "refused": outcome.refused,
    }
    return pages.page(request, "tokens/new.html", context, here="tokens", status=outcome.status)


def _beside(wrong: Any) -> Any:
    """The form has no parts named after the scope: its fields stand side by side."""
    return type(wrong)(wrong.field.removeprefix("scope."), wrong.code, wrong.detail)


def _ticks(vocabulary: str, choices: tuple[str, ...], ticked: list[str]) -> list[dict[str, Any]]:
    return [{"value": each, "label": words.label(vocabulary, each), "is_ticked": each in ticked} for each in choices]


def _day_choices(chosen: str | None) -> list[dict[str, Any]]:
    most = settings.TOKEN_DAYS_MOST
    allowed = [days for days in _DAYS if not most or days < most]
    longest = (
        _("as long as is allowed: %(count)s days") % {"count": figures.number(most)}
        if most
        else _("until it is revoked")
    )
    named = [(str(days), ngettext("%(count)s day", "%(count)s days", days) % {"count": days}) for days in allowed]
    if chosen is None:
        chosen = str(_DAYS_DEFAULT) if _DAYS_DEFAULT in allowed else ""
    return [{"value": value, "label": label, "is_chosen": value == chosen} for value, label in [*named, ("", longest)]]


def _secret(request: HttpRequest, token: str, back: str) -> HttpResponse:
    row = reads.made(token, pages.now())
    address = request.build_absolute_uri("/api/v1/me")
    until = _("It works until %(instant)s.") % {"instant": figures.instant(row.expires_at)} if row.expires_at else ""
    sentences = (
        _("In lists and in the audit it is known as oc_%(prefix)s.") % {"prefix": row.prefix},
        until or _("It works until it is revoked."),
        _("Keep it as you keep a password: whoever has it may do what it may."),
    )
    return shown_once.page(
        request,
        heading=_("Token %(token)s") % {"token": row.name},
        label=_("Token"),
        secret=token,
        sentences=sentences,
        back=back,
        back_label=_("Tokens"),
        here="tokens",
        example=f'curl -H "Authorization: Bearer {token}" {address}',
    )


def _found(request: HttpRequest, token_id: UUID, verb: str) -> TokenRow:
    access: Access = pages.access(request)
    try:
        reads.reachable(token_id, access, verb)
        return reads.one(token_id, pages.now(), access)
    except TokenMissing:
        raise Http404 from None
    except Denied:
        raise PermissionDenied from None
