"""Orphans and shadow use: what is used on platforms without a claim, and what people decide about it."""

from functools import partial
from typing import Any, Final
from uuid import UUID

import msgspec
from django.http import Http404, HttpRequest, HttpResponse
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
        if row.is_pool_removed
        else (
            _("It belongs to the allocation whose marker it carries, if that holds its claim in this pool."),
            _("A worker then makes it carry what was claimed, and nothing else."),
        ),
    )
    done = _("%(marker)s is adopted.") % {"marker": row.marker}
    return forms.confirmed(request, form, partial(orphans.adopt, orphan_id=row.id), done)


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
        if row.is_pool_removed
        else (
            _("A worker takes it off the platform; whoever uses it loses it."),
            _("What else the same object of the platform carries for live claims stays."),
            _("It may be reaped from %(at)s on.") % {"at": figures.instant(row.reapable_at)},
            _("What it uses is free when a sync sees that it is gone. It cannot be undone."),
        ),
        is_danger=True,
    )
    done = _("%(marker)s is being taken away.") % {"marker": row.marker}
    return forms.confirmed(request, form, partial(orphans.reap, orphan_id=row.id), done)


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
