"""Letting others make room: who they are, what follows, and then it is done. For operators."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from pools.domain import filters
from pools.domain.errors import AllocationMissing, AllocationState, RoomBooked
from pools.selectors import allocations as reads
from pools.services import preemptions, requests, what_ifs
from pools.services.asked import Asked
from pools.web import allocation_view, figures, forms, pages, request_form, room_view, words
from pools.web import request_form_fields as form_fields
from pools.web import request_form_values as form_values
from pools.web.forms import Outcome


@require_http_methods(["GET", "HEAD", "POST"])
@pages.on_platform("allocation", "operate")
def for_request(request: HttpRequest) -> HttpResponse:
    """For a request of the form, whose values this page carries on. A key sees to it that twice asks once."""
    if request.method != "POST":
        return redirect("allocation-new")
    values, outcome = form_values.read(request.POST), forms.NOT_SENT
    body = request_form.body_of(values)
    if request.POST.get("do") == "make-room":
        outcome = request_form.sent(request, body, lambda asked, now: _preempt(request, asked, now))
    if outcome.is_done:
        return _told(request, outcome.result)
    read = forms.tried(lambda: requests.read(body, actor=pages.actor(request), now=pages.now()))
    if not read.is_done:
        outcome = read
    key = uuid4().hex if outcome.refused or not request.POST.get("key") else request.POST["key"]
    context = {
        "heading": _("Make room for %(name)s") % {"name": values.texts["name"] or _("a new request")},
        "carried": [*form_values.pairs(values), ("key", key)],
        "asked_for": allocation_view.asked(msgspec.to_builtins(read.result.wanted)) if read.is_done else "",
        "project": values.texts["project"],
    }
    return _page(request, read.result, outcome, context)


@require_http_methods(["GET", "HEAD", "POST"])
@pages.on_platform("allocation", "operate")
def for_waiting(request: HttpRequest, allocation_id: UUID) -> HttpResponse:
    """For an allocation that waits in the queue."""
    try:
        row = reads.one(reads.find(str(allocation_id), pages.access(request), verb="operate"))
        asked = preemptions.waits(allocation_id, pages.actor(request))
    except AllocationMissing:
        raise Http404 from None
    except (AllocationState, RoomBooked) as error:
        messages.info(request, words.refusal(error))
        return redirect("allocation", allocation_id=allocation_id)
    outcome = forms.NOT_SENT
    if request.method == "POST":
        outcome = forms.tried(lambda: _preempt(request, asked, pages.now()))
    if outcome.is_done:
        return _told(request, allocation_id)
    allocation = allocation_view.presented(row)
    context = {
        "heading": _("Make room for %(name)s") % {"name": allocation["title"]},
        "back": reverse("allocation", args=(allocation_id,)),
        "back_label": allocation["title"],
        "asked_for": allocation["asked"],
        "project": row.project,
        "is_waiting": True,
    }
    return _page(request, asked, outcome, context)


def _preempt(request: HttpRequest, asked: Asked, now: datetime) -> UUID:
    victims = [id for given in request.POST.getlist("victim") if (id := filters.as_uuid(given))]
    preemptions.preempt(asked=asked, victim_ids=victims, now=now)
    return asked.id


def _told(request: HttpRequest, allocation_id: UUID) -> HttpResponse:
    count = len(request.POST.getlist("victim"))
    told = ngettext("%(number)s allocation was told to leave.", "%(number)s allocations were told to leave.", count)
    messages.success(request, told % {"number": figures.number(count)})
    return redirect("allocation", allocation_id=allocation_id)


def _page(request: HttpRequest, asked: Asked | None, outcome: Outcome, context: Mapping[str, Any]) -> HttpResponse:
    """Show who would have to give way just now. ``asked`` is None where the request itself is wrong."""
    now, room, fits = pages.now(), None, False
    if asked is not None and (asked.is_waiting or asked.wanted.mode != "hold"):
        answer = what_ifs.ask(asked, now=now)
        room, fits = room_view.presented(answer, now), answer.decision is not None
    wrong = [each.detail for each in form_fields.in_words(outcome).errors]
    shown = {
        **context,
        "room": room,
        "is_wrong": asked is None,
        "fits": fits,
        "consequences": room_view.consequences(room, asked.wanted.lease_seconds) if room and asked else (),
        "refused": " ".join(filter(None, [outcome.refused, *wrong])),
    }
    return pages.page(request, "allocations/make_room.html", shown, here="allocations", status=outcome.status)
