"""What people do to an allocation: confirm a hold, extend a lease, give it back. Each page says what follows first."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from pools.domain.actors import Actor
from pools.domain.errors import AllocationMissing, Denied, FieldError, LeaseBooked
from pools.domain.request_rules import SECONDS_MOST
from pools.selectors import allocations as reads
from pools.services import allocations, before_ends, binding, handovers
from pools.web import allocation_view, delivery_view, figures, forms, pages
from pools.web.forms import Field, Form, Outcome

HOUR: Final = 3600
_LONGEST_HOURS: Final = 10 * 366 * 24
_LONGER: Final = Field(
    name="hours",
    label=gettext_lazy("Hours more"),
    help=gettext_lazy("Counted from the end that the lease has now."),
    is_required=True,
    example="24",
)
_AT_ONCE: Final = Field(
    name="force",
    label=gettext_lazy("At once, without the time to save"),
    type="boolean",
    help=gettext_lazy("Else it ends when somebody says that it is saved, or when that time is over."),
    is_wide=True,
)
_Act = Callable[[HttpRequest, dict[str, Any]], HttpResponse]


def _of(verb: str) -> Callable[[_Act], Callable[..., HttpResponse]]:
    """Let those in who may do this to the allocation, and hand the view the allocation as a plain dict."""

    def guard(act: _Act) -> Callable[..., HttpResponse]:
        @require_http_methods(["GET", "HEAD", "POST"])
        @pages.signed_in
        def guarded(request: HttpRequest, allocation_id: UUID) -> HttpResponse:
            try:
                found = reads.find(str(allocation_id), pages.access(request), verb=verb)
            except AllocationMissing:
                raise Http404 from None
            except Denied:
                raise PermissionDenied from None
            return act(request, allocation_view.presented(reads.one(found)))

        return guarded

    return guard


@_of("edit")
def confirm(request: HttpRequest, allocation: dict[str, Any]) -> HttpResponse:
    """Claim what a hold keeps."""
    lease = allocation["spec"].get("lease_seconds")
    form = _form(
        allocation,
        heading=_("Confirm %(name)s"),
        submit=_("Confirm"),
        consequences=(
            _("The project has what was held, on the very same devices."),
            _("The lease begins now and lasts %(duration)s.") % {"duration": figures.duration(lease)}
            if lease
            else _("The lease begins now and has no end: it lasts until somebody gives it back."),
            *_costs(allocation),
        ),
    )
    return _answer(request, form, allocation, allocations.confirm, _("%(name)s is confirmed."))


@_of("remove")
def release(request: HttpRequest, allocation: dict[str, Any]) -> HttpResponse:
    """Give everything back."""
    form = _form(
        allocation,
        heading=_("Give back %(name)s"),
        submit=_("Give it back"),
        consequences=(*_released(allocation), _("It cannot be undone. Who needs it again has to ask anew.")),
        is_danger=True,
    )
    can_save = allocation["state"] == "active" and allocation["before_end_state"] in ("pending", "running", "failed")
    if can_save:
        form = replace(form, legend=_("Time to save"), fields=(_AT_ONCE,))
    is_forced = request.POST.get("force") == "true"
    act = partial(allocations.release, is_forced=is_forced)
    done = _("%(name)s is given back when the time to save is over.") if can_save and not is_forced else None
    return _answer(request, form, allocation, act, done or _("%(name)s is given back."))


@_of("operate")
def call_gone(request: HttpRequest, allocation: dict[str, Any]) -> HttpResponse:
    """Give back what cannot be taken off, on somebody's word that nothing of it is there."""
    form = _form(
        allocation,
        heading=_("Nothing is left of %(name)s"),
        submit=_("Nothing of it is left there"),
        consequences=(
            _("Look on the platform first: somebody else made what is there under its name, and ocenter cannot tell."),
            _("Its devices become free for others. What is left there all the same would be on them beside others."),
        ),
        is_danger=True,
    )
    act = partial(allocations.release, is_gone=True)
    return _answer(request, form, allocation, act, _("%(name)s is given back."))


@_of("edit")
def saved(request: HttpRequest, allocation: dict[str, Any]) -> HttpResponse:
    """Say that what matters is saved, before its end."""
    form = _form(
        allocation,
        heading=_("%(name)s is saved"),
        submit=_("It may end now"),
        consequences=(
            _("It ends at once, and not only when its time to save is over."),
            *_released(allocation),
        ),
        is_danger=True,
    )

    def say(*, allocation_id: UUID, generation: int | None, actor: Actor, now: datetime) -> None:
        before_ends.say(allocation_id=allocation_id, outcome="done", actor=actor, now=now)

    return _answer(request, form, allocation, say, _("%(name)s ends now."))


@_of("edit")
def retry(request: HttpRequest, allocation: dict[str, Any]) -> HttpResponse:
    """Let it be tried again."""
    form = _form(
        allocation,
        heading=_("Try %(name)s again"),
        submit=_("Try again"),
        consequences=(
            _("The platform is asked anew for the very same place. What it has of it already stays.")
            if allocation["pool"]
            else _("A place is looked for anew, wherever there is room by now."),
            _("How often it was refused before does not count any more."),
        ),
    )
    return _answer(request, form, allocation, binding.retry, _("%(name)s is tried again."))


@_of("edit")
def extend(request: HttpRequest, allocation: dict[str, Any]) -> HttpResponse:
    """Let the lease last longer."""
    ends = allocation["lease"]["end_at"]
    if ends is None:
        messages.info(request, _("%(name)s has no lease that ends.") % {"name": allocation["title"]})
        return redirect("allocation", allocation_id=allocation["id"])
    form = _form(
        allocation,
        heading=_("Extend %(name)s"),
        submit=_("Extend the lease"),
        consequences=(
            _("It ends at %(end)s now, and later by what you say.") % {"end": figures.instant(ends)},
            _("A lease is never made shorter: who needs less gives back."),
            *_costs(allocation),
        ),
    )
    form = replace(form, legend=_("Lease"), fields=(_LONGER,))
    values = forms.sent(request, form.fields, {})
    outcome = forms.NOT_SENT
    if request.method == "POST":
        hours = int(values["hours"]) if values["hours"].isdecimal() and len(values["hours"]) < 7 else 0
        outcome = (
            _extended(request, allocation, ends + timedelta(hours=min(hours, _LONGEST_HOURS))) if hours else _WRONG
        )
    if not outcome.is_done:
        return forms.answer(request, form, values, outcome)
    messages.success(request, _("The lease of %(name)s is longer now.") % {"name": allocation["title"]})
    return redirect("allocation", allocation_id=allocation["id"])


@_of("edit")
def reveal(request: HttpRequest, allocation: dict[str, Any]) -> HttpResponse:
    """Read what is needed to use it, with its secrets."""
    form = _form(
        allocation,
        heading=_("Access to %(name)s"),
        submit=_("Reveal"),
        consequences=(
            _("The next page shows what the platform handed over, with its secrets, to copy."),
            _("That you read it is recorded in the timeline of the allocation and in the audit."),
        ),
    )
    outcome = forms.NOT_SENT
    if request.method == "POST":
        outcome = forms.tried(
            lambda: handovers.reveal(allocation_id=allocation["id"], actor=pages.actor(request), now=pages.now())
        )
    if not outcome.is_done:
        return forms.answer(request, form, {}, outcome)
    context = {
        "heading": form.heading,
        "back": form.back,
        "back_label": form.back_label,
        "revealed": [delivery_view.revealed(each) for each in outcome.result],
    }
    return pages.page(request, "allocations/revealed.html", context, here="allocations")


_WRONG: Final = Outcome(errors=(FieldError("hours", "not_a_number", "A whole number of hours is needed."),))


def _extended(request: HttpRequest, allocation: dict[str, Any], end: Any) -> Outcome:
    seconds = min(int((end - allocation["lease"]["start_at"]).total_seconds()), SECONDS_MOST)
    return forms.tried(
        lambda: allocations.extend(
            allocation_id=allocation["id"],
            lease_seconds=seconds,
            generation=forms.generation(request),
            actor=pages.actor(request),
            now=pages.now(),
        ),
        {LeaseBooked: "hours"},
    )


def _form(allocation: dict[str, Any], *, heading: str, **fields: Any) -> Form:
    return Form(
        heading=heading % {"name": allocation["title"]},
        back=reverse("allocation", args=(allocation["id"],)),
        back_label=allocation["title"],
        here="allocations",
        generation=allocation["generation"],
        **fields,
    )


def _answer(
    request: HttpRequest, form: Form, allocation: dict[str, Any], act: Callable[..., Any], done: str
) -> HttpResponse:
    decide = partial(act, allocation_id=allocation["id"], generation=forms.generation(request))
    return forms.confirmed(request, form, decide, done % {"name": allocation["title"]})


def _released(allocation: dict[str, Any]) -> tuple[str, ...]:
    if allocation["state"] == "scheduled":
        return (_("What is booked for it becomes free for others at once."),)
    if not allocation["is_placed"]:
        return (_("It waits no longer and loses its place in the queue."),)
    if allocation["state"] == "held":
        return (_("What is held becomes free for others at once."),)
    given = figures.devices(allocation["milli"])
    return (
        _("The platform takes %(devices)s devices from the project. What runs on them ends.") % {"devices": given},
        _("They are free for others once the platform has confirmed it."),
    )


def _costs(allocation: dict[str, Any]) -> tuple[str, ...]:
    if not allocation["price"]:
        return ()
    return (_("It costs %(price)s per hour.") % {"price": allocation["price"]},)
