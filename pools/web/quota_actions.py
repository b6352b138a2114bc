"""Making, changing and removing a quota, which is for whoever is above the project."""

from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from pools.domain.errors import FieldError, Invalid
from pools.domain.quota_fields import QuotaWanted
from pools.selectors import quotas as seen
from pools.selectors.quotas import QuotaRow
from pools.services import quotas
from pools.web import figures, forms, pages, project_page
from pools.web import quotas as shown
from pools.web.forms import Field, Form, Outcome
from pools.web.project_page import Place

_NUMBERS: Final = ("nominal", "borrow_limit", "lend_limit", "hard_limit")
_SCOPE: Final = (
    Field(
        name="model",
        label=gettext_lazy("Model"),
        help=gettext_lazy("Empty: everything, in compute units."),
        example="nvidia-h100-80gb",
    ),
    Field(
        name="profile",
        label=gettext_lazy("Profile"),
        help=gettext_lazy("Empty: whole cards, shares and all profiles of the model."),
        example="1g.10gb",
    ),
    Field(
        name="pools",
        label=gettext_lazy("Pools"),
        help=gettext_lazy("Names with commas between. Empty: all pools together."),
        is_wide=True,
    ),
)
_AMOUNTS: Final = (
    Field(
        name="nominal",
        label=gettext_lazy("Nominal"),
        help=gettext_lazy("Devices that the project and all below it may have together; of everything, compute units."),
        is_required=True,
        example="32",
    ),
    Field(
        name="borrow_limit",
        label=gettext_lazy("Borrow at most"),
        help=gettext_lazy("Beyond the nominal, while others leave theirs free. Empty: without limit."),
    ),
    Field(
        name="lend_limit",
        label=gettext_lazy("Lend at most"),
        help=gettext_lazy("What others may use of the nominal while it is free. Empty: all of it."),
    ),
    Field(
        name="hard_limit",
        label=gettext_lazy("Never above"),
        help=gettext_lazy("Borrowed ones included. Empty: no hard limit."),
    ),
    Field(
        name="weight",
        label=gettext_lazy("Weight"),
        help=gettext_lazy("Who has less for its weight gives back later."),
        is_required=True,
    ),
)


@require_http_methods(["GET", "HEAD", "POST"])
@project_page.of("quota", "edit", above=True)
def new(request: HttpRequest, place: Place) -> HttpResponse:
    """Give the project one more quota."""
    form = _form(
        place,
        _("New quota of %(project)s") % {"project": place.row["path"]},
        _("Make the quota"),
        (*_SCOPE, *_AMOUNTS),
        (
            _("The project and all below it may have so much at once, as far as the quotas above it have room."),
            _("Of what no quota of a project or its tenant counts, nothing can be had."),
        ),
    )
    values = forms.sent(request, form.fields, {"weight": "1", "borrow_limit": "0"})
    return _answered(
        request, place, form, values, lambda rows: [*rows, _wanted(values, _named(values))], _("The quota is made.")
    )


@require_http_methods(["GET", "HEAD", "POST"])
@project_page.of("quota", "edit", above=True)
def edit(request: HttpRequest, place: Place, quota_id: UUID) -> HttpResponse:
    """Change how much a quota gives. What it counts stays: that would be another one."""
    row = _found(request, place, quota_id)
    form = _form(
        place,
        _("Change a quota of %(project)s") % {"project": place.row["path"]},
        _("Save"),
        _AMOUNTS,
        (
            _("%(number)s are used now.") % {"number": figures.devices(row.used_milli)},
            _("Less than is used takes nothing away: only new requests are refused until enough is given back."),
        ),
        legend=shown.title(row),
    )
    stored = {name: _text(getattr(row, f"{name}_milli")) for name in _NUMBERS} | {"weight": str(row.weight)}
    values = forms.sent(request, form.fields, stored)
    scope = {"model": row.model, "profile": row.profile, "pools": row.pools}

    def changed(rows: Sequence[QuotaWanted]) -> list[QuotaWanted]:
        # In the last place, where mistakes are looked for.
        return [each for each in rows if _scope(each) != scope] + [_wanted(values, scope)]

    return _answered(request, place, form, values, changed, _("Saved."))


@require_http_methods(["GET", "HEAD", "POST"])
@project_page.of("quota", "edit", above=True)
def remove(request: HttpRequest, place: Place, quota_id: UUID) -> HttpResponse:
    """Take a quota away."""
    row = _found(request, place, quota_id)
    form = _form(
        place,
        _("Remove a quota of %(project)s") % {"project": place.row["path"]},
        _("Remove the quota"),
        (),
        (
            _("It gives %(number)s: %(what)s.")
            % {"number": figures.devices(row.nominal_milli), "what": shown.title(row)},
            _("What is in use stays: %(number)s now.") % {"number": figures.devices(row.used_milli)},
            _("What no other quota of the project or of its tenant counts is refused from now on, also to all below."),
            _("What it kept for the project others may use."),
        ),
        is_danger=True,
    )
    scope = {"model": row.model, "profile": row.profile, "pools": row.pools}
    return _answered(
        request, place, form, {}, lambda rows: [each for each in rows if _scope(each) != scope], _("The quota is gone.")
    )


def _form(
    place: Place,
    heading: str,
    submit: str,
    fields: tuple[Field, ...],
    consequences: tuple[str, ...],
    *,
    legend: str = "",
    is_danger: bool = False,
) -> Form:
    return Form(
        heading=heading,
        submit=submit,
        back=f"{reverse('quotas')}?under={place.row['path']}",
        back_label=_("Quotas of %(project)s") % {"project": place.row["path"]},
        here="quotas",
        legend=legend or _("Quota"),
        fields=fields,
        consequences=consequences,
        is_danger=is_danger,
        generation=place.row["generation"],
    )


def _answered(
    request: HttpRequest,
    place: Place,
    form: Form,
    values: dict[str, str],
    change: Callable[[Sequence[QuotaWanted]], list[QuotaWanted]],
    said: str,
) -> HttpResponse:
    """Show the form, or replace the project's quotas by what they are after the change."""
    if place.row["state"] == "archived":
        raise Http404

    def write() -> Any:
        rows = [_given(each) for each in seen.of_project(place.model, pages.access(request))]
        return quotas.replace(
            project_id=place.row["id"],
            rows=change(rows),
            generation=forms.generation(request) or place.row["generation"],
            actor=pages.actor(request),
            now=pages.now(),
        )

    outcome = forms.tried(write) if request.method == "POST" else forms.NOT_SENT
    if not outcome.is_done:
        return forms.answer(request, form, values, _at_fields(outcome))
    messages.success(request, said)
    return redirect(form.back)


def _found(request: HttpRequest, place: Place, quota_id: UUID) -> QuotaRow:
    """Return a quota of the project. Raises Http404."""
    rows = seen.of_project(place.model, pages.access(request))
    row = next((each for each in rows if each.id == quota_id), None)
    if row is None:
        raise Http404
    return row


def _given(row: QuotaRow) -> QuotaWanted:
    return QuotaWanted(**{name: getattr(row, name) for name in QuotaWanted.__struct_fields__})


def _scope(row: QuotaWanted) -> dict[str, Any]:
    return {"model": row.model, "profile": row.profile, "pools": row.pools}


def _wanted(values: dict[str, str], scope: dict[str, Any]) -> QuotaWanted:
    """Return the quota that the form's texts mean. Raises Invalid that names every text that is no number."""
    numbers = {name: _milli(values[name]) for name in _NUMBERS}
    wrong = [name for name, (_number, is_right) in numbers.items() if not is_right]
    if not values["nominal"]:
        wrong.append("nominal")
    if wrong:
        raise Invalid(fields=tuple([FieldError(name, "bad_value", "Write a number such as 8.") for name in wrong]))
    weight = int(values["weight"]) if values["weight"].isdecimal() and len(values["weight"]) < 9 else 0
    milli: dict[str, Any] = {f"{name}_milli": number for name, (number, _) in numbers.items()}
    return QuotaWanted(**scope, **milli, weight=weight)


def _named(values: dict[str, str]) -> dict[str, Any]:
    """Return what the form says that the quota counts."""
    names = [name.strip() for name in values["pools"].split(",") if name.strip()]
    return {"model": values["model"] or None, "profile": values["profile"] or None, "pools": names or None}


def _milli(text: str) -> tuple[int | None, bool]:
    """Return devices as thousandths of one, and whether the text could be understood; empty is None."""
    if not text:
        return None, True
    try:
        number = Decimal(text) * 1000
    except InvalidOperation:
        return None, False
    if not number.is_finite() or abs(number) > 10**15 or number != number.to_integral_value():
        return None, False
    return int(number), True


def _text(milli: int | None) -> str:
    return "" if milli is None else f"{Decimal(milli) / 1000:f}"


def _at_fields(outcome: Outcome) -> Outcome:
    """Return the outcome with its mistakes at the form's fields: ``[2].nominal_milli`` is of ``nominal``."""
    told = [FieldError(_field(each.field), each.code, each.detail) for each in outcome.errors]
    return Outcome(outcome.is_done, outcome.result, tuple(told), outcome.refused)


def _field(path: str) -> str:
    if not path.startswith("["):
        return path
    name = path.partition("].")[2].partition("[")[0].removesuffix("_milli")
    return name or "model"  # the same scope twice
