"""Asking for capacity: the form, and beside it what the request would be answered just now."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from pools.domain.errors import DomainError, Invalid, KeyReused
from pools.selectors import flavors, request_choices
from pools.selectors.flavors import FlavorRow
from pools.services import claims, idempotency, requests, what_ifs, writing
from pools.services.asked import Asked
from pools.services.idempotency import Kept
from pools.web import allocation_view, forms, pages, request_form_answer, room_view, words
from pools.web import request_form_fields as form_fields
from pools.web import request_form_values as form_values
from pools.web.forms import Outcome
from pools.web.request_form_values import Values

_FLAVORS_SHOWN: Final = 200
_PATCH_LONGEST: Final = 4000
_SIZES: Final = {"any_of", "members", "devices_per_member", "share"}


@require_http_methods(["GET", "HEAD", "POST"])
@pages.allowed("allocation", "create")
def new(request: HttpRequest) -> HttpResponse:
    """The form. Its buttons but one change the form; that one asks, and a key sees to it that twice asks once."""
    if request.method != "POST":
        return _page(request, _first(request), forms.NOT_SENT)
    values, do = form_values.read(request.POST), request.POST.get("do", "")
    if do != "send":
        return _page(request, _changed(values, do), forms.NOT_SENT)
    known = _flavors()
    body = _body(values, known)
    outcome = sent(request, body, _claim)
    if not outcome.is_done:
        return _page(request, values, outcome, known)
    messages.success(request, _("The request is made."))
    return redirect("allocation", allocation_id=outcome.result)


@require_POST
@pages.allowed("allocation", "create")
def what_if(request: HttpRequest) -> HttpResponse:
    """The part of the page that tells what the request would be answered."""
    told = _answer(request, form_values.read(request.POST), _flavors())
    return render(request, "allocations/what_if.html", {"answer": told})


def _first(request: HttpRequest) -> Values:
    """Return what the form begins with: what the address says, and the only project where there is no choice."""
    values = form_values.read(request.GET)
    if not values.texts["project"]:
        projects = request_choices.projects(pages.access(request))
        if len(projects) == 1:
            return Values({**values.texts, "project": projects[0]}, values.choices)
    return values


def _changed(values: Values, do: str) -> Values:
    """Return the values after one of the form's buttons: add, drop-N, up-N, or a change that would make it fit."""
    choices = list(values.choices)
    verb, _dash, given = do.partition("-")
    number = int(given) if given.isdecimal() and len(given) < 3 else -1
    if verb == "add" and len(choices) < form_values.CHOICES_MOST:
        return values.with_choices([*choices, form_values.Choice()])
    if verb == "drop" and 0 <= number < len(choices):
        return values.with_choices(choices[:number] + choices[number + 1 :])
    if verb == "up" and 0 < number < len(choices):
        choices[number - 1 : number + 1] = reversed(choices[number - 1 : number + 1])
        return values.with_choices(choices)
    if verb == "apply" and len(given) <= _PATCH_LONGEST:
        try:
            return form_values.patched(values, msgspec.json.decode(given, type=dict[str, Any]))
        except msgspec.MsgspecError:
            return values
    return values


def sent(request: HttpRequest, body: Mapping[str, Any], make: Callable[[Asked, datetime], UUID]) -> Outcome:
    """Make the request, once for the key of the form; the result is the allocation's id."""
    try:
        return Outcome(is_done=True, result=_made_once(request, body, make))
    except KeyReused:
        again = _("This form made a request before, with other values. Send it once more to make another one.")
        return Outcome(refused=again)
    except Invalid as error:
        return Outcome(errors=error.fields)
    except DomainError as error:
        return Outcome(refused=words.refusal(error))


def _made_once(request: HttpRequest, body: Mapping[str, Any], make: Callable[[Asked, datetime], UUID]) -> Any:
    """Ask, and return the allocation's id. With a key that was used before it is the one made then."""
    now, actor = pages.now(), pages.actor(request)
    user_id, key = actor.access.user_id, f"form-{forms.text(request.POST.get('key', ''))[:64]}"
    assert user_id is not None  # who is logged in has one
    with writing.request():
        fingerprint = sha256(msgspec.json.encode(body, order="sorted")).digest()
        kept = idempotency.claim(user_id=user_id, key=key, fingerprint=fingerprint, now=now)
        if kept is not None:
            return next(iter(kept.object_ids))
        made_id = make(requests.read(body, actor=actor, now=now), now)
        answer = Kept(status=303, headers={}, body=b"", object_ids=(made_id,))
        idempotency.keep(user_id=user_id, key=key, answer=answer)
        return made_id


def _claim(asked: Asked, now: datetime) -> UUID:
    (made,) = claims.submit([asked], now=now)
    if isinstance(made, DomainError):
        raise made
    return made.allocation_id


def body_of(values: Values) -> dict[str, Any]:
    """Return the body of the request that the form's values are."""
    return _body(values, _flavors())


def _body(values: Values, known: Sequence[FlavorRow]) -> dict[str, Any]:
    chosen = next((each for each in known if each.name == values.texts["flavor"]), None)
    return form_values.body(values, chosen.spec if chosen else {})


def _flavors() -> list[FlavorRow]:
    return flavors.page(params={}, cursor=None, limit=_FLAVORS_SHOWN, now=pages.now()).rows


def _page(
    request: HttpRequest, values: Values, outcome: Outcome, known: Sequence[FlavorRow] | None = None
) -> HttpResponse:
    access = pages.access(request)
    known = _flavors() if known is None else known
    outcome = form_fields.in_words(outcome)
    projects = request_choices.projects(access)
    who = form_fields.who(values, projects, [_flavor(each) for each in known], outcome)
    how = form_fields.how(values, outcome)
    is_new_key = request.method != "POST" or outcome.refused
    context = {
        "who": who,
        "how": how,
        "choices": form_fields.choices(values, outcome),
        "models": form_fields.models(request_choices.models(access), values),
        "vendors": form_fields.vendors(),
        "interconnects": form_fields.interconnects(),
        "runtimes": form_fields.runtimes(),
        "may_add": len(values.choices) < form_values.CHOICES_MOST,
        "flavor_note": _flavor_note(values, known),
        "mistakes": form_fields.mistakes([*who, *how], outcome),
        "refused": outcome.refused,
        "key": uuid4().hex if is_new_key else request.POST.get("key", ""),
        "answer": _answer(request, values, known),
    }
    return pages.page(request, "allocations/new.html", context, here="allocations", status=outcome.status)


def _answer(request: HttpRequest, values: Values, known: Sequence[FlavorRow]) -> dict[str, Any]:
    """Return what it would be answered; {hint} while too little is said, {mistakes} or {refused} where it is wrong."""
    texts = values.texts
    has_devices = texts["flavor"] or texts["devices"] == "0" or any(any(choice) for choice in values.choices)
    if not texts["project"] or not has_devices:
        return {"hint": True}
    read = forms.tried(lambda: _asked(request, _body(values, known)))
    if not read.is_done:
        return {"mistakes": [each.detail for each in form_fields.in_words(read).errors], "refused": read.refused}
    answer = what_ifs.ask(read.result, now=pages.now())
    wanted = read.result.wanted
    sees_nodes = pages.access(request).everywhere("node", "read")
    told = request_form_answer.presented(answer, wanted, sees_nodes=sees_nodes)
    may_make_room = answer.preemption is not None and wanted.mode != "hold"
    return told | {"room": room_view.presented(answer, pages.now()) if may_make_room else None}


def _asked(request: HttpRequest, body: Mapping[str, Any]) -> Asked:
    return requests.read(body, actor=pages.actor(request), now=pages.now())


def _flavor(row: FlavorRow) -> dict[str, Any]:
    price = allocation_view.price(row.price_per_hour)
    told = [row.name, row.description, _("%(price)s per hour") % {"price": price} if price else ""]
    return {"name": row.name, "label": " · ".join(filter(None, told))}


def _flavor_note(values: Values, known: Sequence[FlavorRow]) -> list[str]:
    """Return what the flavor sets, in words."""
    spec = next((each.spec for each in known if each.name == values.texts["flavor"]), None)
    if spec is None:
        return []
    facts = [f"{each['label']}: {each['value']}" for each in allocation_view.facts(spec) if each["of"] in spec]
    return ([allocation_view.asked(spec)] if spec.keys() & _SIZES else []) + facts
