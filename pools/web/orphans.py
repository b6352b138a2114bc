"""Orphans and shadow use: what is used on platforms without a claim, and what people decide about it."""

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

from pools.domain.errors import OrphanMissing
from pools.selectors import orphans as reads
from pools.selectors import shadow
from pools.selectors.orphans import OrphanRow
from pools.services import orphans
from pools.web import figures, forms, listing, pages
from pools.web.forms import Form
from pools.web.listing import Filter

_FILTERS: Final = (
    Filter("pool", gettext_lazy("Pool")),
    Filter("state", gettext_lazy("State"), vocabulary="orphan_state"),
    Filter("origin", gettext_lazy("Found"), vocabulary="orphan_origin"),
)


@require_safe
@pages.on_platform("orphan")
def index(request: HttpRequest) -> HttpResponse:
    """Orphans that are not over, the newest first, and below how much shadow use each pool has."""
    access = pages.access(request)
    found = listing.read(
        request,
        _FILTERS,
        lambda params, cursor: reads.page(params=params, cursor=cursor, limit=listing.PAGE_ROWS, access=access),
    )
    context = {
        "may_decide": access.everywhere("orphan", "operate"),
        "shadow": [msgspec.structs.asdict(row) for row in shadow.by_pool(access)],
    }
    return pages.page(request, "orphans/list.html", {**found.context(_presented), **context}, here="orphans")


@require_http_methods(["GET", "HEAD", "POST"])
@pages.on_platform("orphan", "operate")
def adopt(request: HttpRequest, orphan_id: UUID) -> HttpResponse:
    """Attach it to its allocation."""
    row = _found(request, orphan_id)
    form = _form(
        row,
        heading=_("Adopt %(marker)s"),
        submit=_("Adopt it"),
        consequences=(
            _("Its pool was removed: it goes over to the pool that stands for the same platform now."),
            _("The first sync of that pool sees whether it is still there."),
        )
        if row.origin == "left"
        else (
            _("It belongs to the allocation whose marker it carries, if that holds its claim in this pool."),
            _("A worker then makes it carry what was claimed, and nothing else."),
        ),
    )
    return _answer(request, row, form, orphans.adopt, _("%(marker)s is adopted."))


@require_http_methods(["GET", "HEAD", "POST"])
@pages.on_platform("orphan", "operate")
def reap(request: HttpRequest, orphan_id: UUID) -> HttpResponse:
    """Have it taken away."""
    row = _found(request, orphan_id)
    form = _form(
        row,
        heading=_("Reap %(marker)s"),
        submit=_("Take it away"),
        consequences=(
            _("Its pool was removed, so ocenter does nothing there: you say that it is gone."),
            _("If it is not, it uses devices that ocenter takes for free. It cannot be undone."),
        )
        if row.origin == "left"
        else (
            _("A worker takes it off the platform; whoever uses it loses it."),
            _("What else the same object of the platform carries for live claims stays."),
            _("It may be reaped from %(at)s on.") % {"at": figures.instant(row.reapable_at)},
            _("What it uses is free when a sync sees that it is gone. It cannot be undone."),
        ),
        is_danger=True,
    )
    return _answer(request, row, form, orphans.reap, _("%(marker)s is being taken away."))


def _presented(row: OrphanRow) -> dict[str, Any]:
    """Return the row as a plain dict. Added: where, the first places as text."""
    shown = msgspec.structs.asdict(row)
    places = [f"{place['node']} {place['device']}" for place in row.places]
    return shown | {"where": ", ".join(places[:3]), "more_places": max(0, len(places) - 3)}


def _found(request: HttpRequest, orphan_id: UUID) -> OrphanRow:
    try:
        return reads.one(orphan_id, pages.access(request))
    except OrphanMissing:
        raise Http404 from None


def _form(row: OrphanRow, *, heading: str, **fields: Any) -> Form:
    return Form(
        heading=heading % {"marker": row.marker},
        back=reverse("orphans"),
        back_label=_("Orphans"),
        here="orphans",
        **fields,
    )


def _answer(request: HttpRequest, row: OrphanRow, form: Form, act: Callable[..., Any], done: str) -> HttpResponse:
    outcome = forms.NOT_SENT
    if request.method == "POST":
        outcome = forms.tried(lambda: act(orphan_id=row.id, actor=pages.actor(request), now=pages.now()))
    if not outcome.is_done:
        return forms.answer(request, form, {}, outcome)
    messages.success(request, done % {"marker": row.marker})
    return redirect("orphans")
