"""Drift: targets that do not carry on their platforms what they shall, and what people decide about them."""

from functools import partial
from typing import Any, Final
from uuid import UUID

import msgspec
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods, require_safe

from pools.domain.errors import DriftMissing
from pools.selectors import drift as reads
from pools.selectors.drift import DriftRow
from pools.services import drift
from pools.web import figures, forms, listing, pages
from pools.web.forms import Form
from pools.web.listing import Filter

_FILTERS: Final = (
    Filter("pool", gettext_lazy("Pool")),
    Filter("state", gettext_lazy("State"), vocabulary="drift_state"),
)


@require_safe
@pages.on_platform("drift")
def index(request: HttpRequest) -> HttpResponse:
    """Drift that is not over, the newest first."""
    access = pages.access(request)
    found = listing.read(
        request,
        _FILTERS,
        lambda params, cursor: reads.page(params=params, cursor=cursor, limit=listing.PAGE_ROWS, access=access),
    )
    context = {"may_decide": access.everywhere("drift", "operate")}
    return pages.page(request, "drift/list.html", {**found.context(msgspec.structs.asdict), **context}, here="drift")


@require_http_methods(["GET", "HEAD", "POST"])
@pages.on_platform("drift", "operate")
def repair(request: HttpRequest, drift_id: UUID) -> HttpResponse:
    """Make it again as ordered."""
    row = _found(request, drift_id)
    calls = ngettext(
        "A worker makes the %(count)s call that is listed, or what it then takes, after asking what is there.",
        "A worker makes the %(count)s calls that are listed, or what it then takes, after asking what is there.",
        len(row.calls),
    ) % {"count": figures.number(len(row.calls))}
    form = _form(
        row,
        heading=_("Repair %(target)s"),
        submit=_("Repair it"),
        consequences=(
            calls,
            _("The target carries again exactly what was ordered. What somebody changed there by hand is lost."),
            *_users(row),
        ),
    )
    done = _("%(target)s is being repaired.") % {"target": row.target}
    return forms.confirmed(request, form, partial(drift.repair, drift_id=row.id), done)


@require_http_methods(["GET", "HEAD", "POST"])
@pages.on_platform("drift", "operate")
def adopt(request: HttpRequest, drift_id: UUID) -> HttpResponse:
    """Take it as it is."""
    row = _found(request, drift_id)
    gone = [each.name or str(each.id) for each in row.allocations if each.is_gone]
    form = _form(
        row,
        heading=_("Take %(target)s as it is"),
        submit=_("Take it as it is"),
        consequences=(
            _("Nothing of these allocations is there any more, and they are given back: %(names)s.")
            % {"names": ", ".join(gone) or "–"},
            _("All members of a group are given back with it. It cannot be undone."),
        ),
        is_danger=True,
    )
    done = _("%(target)s is taken as it is.") % {"target": row.target}
    return forms.confirmed(request, form, partial(drift.adopt, drift_id=row.id), done)


@require_http_methods(["GET", "HEAD", "POST"])
@pages.on_platform("drift", "operate")
def ignore(request: HttpRequest, drift_id: UUID) -> HttpResponse:
    """Leave it alone."""
    row = _found(request, drift_id)
    form = _form(
        row,
        heading=_("Ignore what differs at %(target)s"),
        submit=_("Ignore it"),
        consequences=(
            _("It stays as it is, and in the list of what is ignored."),
            _("When it differs in another way, it is open again. The next change of its orders makes it as ordered."),
        ),
    )
    done = _("What differs at %(target)s is ignored.") % {"target": row.target}
    return forms.confirmed(request, form, partial(drift.ignore, drift_id=row.id), done)


def _users(row: DriftRow) -> tuple[str, ...]:
    if not row.allocations:
        return ()
    names = ", ".join(each.name or str(each.id) for each in row.allocations[:10])
    return (_("Those who use it may notice: %(names)s.") % {"names": names},)


def _found(request: HttpRequest, drift_id: UUID) -> DriftRow:
    try:
        return reads.one(drift_id, pages.access(request))
    except DriftMissing:
        raise Http404 from None


def _form(row: DriftRow, *, heading: str, **fields: Any) -> Form:
    return Form(
        heading=heading % {"target": row.target},
        back=reverse("drift"),
        back_label=_("Drift"),
        here="drift",
        **fields,
    )
