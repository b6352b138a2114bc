"""Who may have how much: the tree of projects with the quotas of each."""

from typing import Any, Final

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from pools.domain.access import Access
from pools.selectors import quota_tree
from pools.selectors.quota_tree import ProjectQuotas
from pools.selectors.quotas import QuotaRow
from pools.web import allocation_view, charts, figures, listing, pages
from pools.web.listing import Filter

_FILTERS: Final = (
    Filter("q", gettext_lazy("Name"), is_wide=True),
    Filter("under", gettext_lazy("Project and all below")),
    Filter("model", gettext_lazy("Model")),
)
_INDENT: Final = "\u2003"


@require_safe
@pages.allowed("quota")
def index(request: HttpRequest) -> HttpResponse:
    """The projects that one may see, each before what is below it, with what each may have and has."""
    access = pages.access(request)
    found = listing.read(
        request,
        _FILTERS,
        lambda params, cursor: quota_tree.page(params=params, cursor=cursor, limit=listing.PAGE_ROWS, access=access),
    )
    context = {"may_edit_all": access.everywhere("quota", "edit")}
    shown = found.context(lambda row: _presented(row, access))
    return pages.page(request, "quotas/list.html", {**shown, **context}, here="quotas")


def _presented(row: ProjectQuotas, access: Access) -> dict[str, Any]:
    """Return {path, above, name, indent, reference, may_edit, quotas}. Who is above a project edits its quotas."""
    project = row.project
    above, _slash, name = project.path.rpartition("/")
    is_open = project.state != "archived"
    return {
        "path": project.path,
        "name": name,
        "indent": _INDENT * above.count("/") + _INDENT if above else "",
        "reference": project.path if is_open else str(project.id),
        "may_edit": is_open and access.within("quota", "edit", row.lineage[:-1]),
        "quotas": [presented(each) for each in row.quotas],
    }


def presented(row: QuotaRow) -> dict[str, Any]:
    """Return a quota as a plain dict. Added: title, unit, limits (in words), bar, described."""
    shown = msgspec.structs.asdict(row)
    return shown | {
        "title": title(row),
        "is_units": row.model is None,
        "limits": _limits(row),
        "bar": charts.parts(
            [
                ("s-claimed", row.used_milli - row.borrowed_milli),
                ("s-held", row.borrowed_milli),
                ("s-shadow", row.lent_milli),
            ],
            max(row.nominal_milli, row.used_milli),
            mark=row.nominal_milli,
        ),
        "described": _("%(used)s of %(nominal)s used, %(borrowed)s of it borrowed, %(lent)s used by others")
        % {
            "used": figures.devices(row.used_milli),
            "nominal": figures.devices(row.nominal_milli),
            "borrowed": figures.devices(row.borrowed_milli),
            "lent": figures.devices(row.lent_milli),
        },
    }


def title(row: QuotaRow) -> str:
    """Return what a quota counts, in words."""
    told = allocation_view.model_name(row.model) if row.model else _("All models, in compute units")
    if row.profile:
        told = f"{told} · {row.profile}"
    return told if row.pools is None else _("%(what)s in %(pools)s") % {"what": told, "pools": ", ".join(row.pools)}


def _limits(row: QuotaRow) -> list[str]:
    """Return which limits are set, in words; without any, what that means."""
    told = []
    if row.borrow_limit_milli is not None:
        told.append(_("borrows up to %(number)s") % {"number": figures.devices(row.borrow_limit_milli)})
    if row.lend_limit_milli is not None:
        told.append(_("lends up to %(number)s") % {"number": figures.devices(row.lend_limit_milli)})
    if row.hard_limit_milli is not None:
        told.append(_("never above %(number)s") % {"number": figures.devices(row.hard_limit_milli)})
    if row.parent_limit_milli is not None:
        above = {"project": row.parent, "number": figures.devices(row.parent_limit_milli)}
        told.append(_("%(project)s has at most %(number)s") % above)
    return told
