"""Forms that are no pool's: their fields as plain dicts, what comes of sending one, and the page around them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from pools.domain.errors import DomainError, FieldError, Invalid
from pools.web import access_words, pages, words

Text = Any  # str, or one that is translated when it is shown
_MEANT: Final = re.compile(r"Is (\S+) meant\?$")
Refusals = Mapping[type[DomainError], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field. ``type`` is text, choice, multiline, boolean or instant (in UTC)."""

    name: str
    label: Text
    help: Text = ""
    type: str = "text"
    choices: tuple[tuple[str, Any], ...] = ()
    is_required: bool = False
    is_secret: bool = False
    is_wide: bool = False
    example: str = ""

    def presented(self, value: str, error: str) -> dict[str, Any]:
        """Return it as the template takes it."""
        given = {name: getattr(self, name) for name in self.__slots__}
        return given | {"value": "" if self.is_secret else value, "error": error}


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A page that asks before it does something. ``consequences`` say what follows."""

    heading: Text
    submit: Text
    back: str
    back_label: Text
    here: str
    legend: Text = ""
    fields: tuple[Field, ...] = ()
    consequences: tuple[Text, ...] = ()
    is_danger: bool = False
    generation: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of sending a form: its result, or what is wrong with fields, or why ocenter refuses."""

    is_done: bool = False
    result: Any = None
    errors: tuple[FieldError, ...] = field(default=())
    refused: str = ""

    @property
    def status(self) -> int:
        """The status of the page that shows it."""
        return 422 if self.errors or self.refused else 200


NOT_SENT: Final = Outcome()


def tried(write: Callable[[], Any], beside: Refusals | None = None) -> Outcome:
    """Do it, and return what ocenter refuses instead of raising it.

    ``beside`` names the field that a refusal belongs to, by its class.
    """
    try:
        return Outcome(is_done=True, result=write())
    except Invalid as error:
        return Outcome(errors=error.fields, refused="" if error.fields else words.refusal(error))
    except DomainError as error:
        name = next((name for kind, name in (beside or {}).items() if isinstance(error, kind)), "")
        if name:
            return Outcome(errors=(FieldError(name, "refused", words.refusal(error)),))
        return Outcome(refused=words.refusal(error))


def sent(request: HttpRequest, form_fields: tuple[Field, ...], stored: Mapping[str, str]) -> dict[str, str]:
    """Return the values to show: those that were sent, or those that are stored."""
    if request.method != "POST":
        return {each.name: stored.get(each.name, "") for each in form_fields}
    return {each.name: text(request.POST.get(each.name, "")) for each in form_fields}


def text(given: str) -> str:
    """Return what somebody wrote without what PostgreSQL cannot store and nobody writes on purpose."""
    return given.replace("\x00", "").strip()


def generation(request: HttpRequest) -> int | None:
    """Return the generation that the form was made from."""
    given = request.POST.get("generation", "")
    return int(given) if given.isdecimal() and len(given) < 19 else None


def answer(request: HttpRequest, form: Form, values: Mapping[str, str], outcome: Outcome = NOT_SENT) -> HttpResponse:
    """Show the form, with what is wrong beside each field."""
    groups = grouped(form.legend, form.fields, values, outcome)
    context = {
        "form": {name: getattr(form, name) for name in form.__slots__ if name != "fields"},
        "groups": groups,
        "mistakes": summary(groups, outcome),
        "refused": outcome.refused,
    }
    return pages.page(request, "shared/form.html", context, here=form.here, status=outcome.status)


def confirmed(request: HttpRequest, form: Form, act: Callable[..., Any], done: str) -> HttpResponse:
    """Ask first; when it is confirmed, do it, say that it is done and go back to where the form is reached from."""
    outcome = NOT_SENT
    if request.method == "POST":
        outcome = tried(lambda: act(actor=pages.actor(request), now=pages.now()))
    if not outcome.is_done:
        return answer(request, form, {}, outcome)
    messages.success(request, done)
    return redirect(form.back)


def grouped(
    legend: Text, form_fields: tuple[Field, ...], values: Mapping[str, str], outcome: Outcome
) -> list[dict[str, Any]]:
    """Return [{legend, fields}] for a template."""
    if not form_fields:
        return []
    wrong = {_field_of(each): mistake(each) for each in reversed(outcome.errors)}
    shown = [each.presented(values.get(each.name, ""), wrong.get(each.name, "")) for each in form_fields]
    return [{"legend": legend, "fields": shown}]


def summary(groups: list[dict[str, Any]], outcome: Outcome) -> list[dict[str, Any]]:
    """Return [{name, label, error}] of all mistakes, also of those that have no field."""
    shown = [each for group in groups for each in group["fields"] if each["error"]]
    names = {each["name"] for each in shown}
    others = [
        {"name": "", "label": each.field, "error": mistake(each)}
        for each in outcome.errors
        if _field_of(each) not in names
    ]
    return [{name: each[name] for name in ("name", "label", "error")} for each in shown] + others


def mistake(wrong: FieldError) -> str:
    """Return what is wrong, translated where the words are known."""
    name = _field_of(wrong)
    for key in (f"{name}.{wrong.code}", name, wrong.code):
        if key in access_words.MISTAKES:
            return f"{access_words.MISTAKES[key]} {_meant(wrong.detail)}".rstrip()
    return _(wrong.detail) if wrong.detail else ""


def _meant(detail: str) -> str:
    """Return which name may have been meant, where the detail says so (`domain.filters`)."""
    found = _MEANT.search(detail)
    return _("Is %(name)s meant?") % {"name": found[1]} if found else ""


def labels_of(text: str) -> dict[str, str]:
    """Return the labels of ``name=value, ...``. What is no label becomes one that the services refuse."""
    labels: dict[str, str] = {}
    for term in filter(None, (term.strip() for term in text.split(","))):
        name, equals, value = term.partition("=")
        labels[name.strip() if equals else f"={term}"] = value.strip()
    return labels


def labels_text(labels: Mapping[str, str]) -> str:
    """Return labels as people write them."""
    return ", ".join(f"{name}={value}" for name, value in labels.items())


def _field_of(wrong: FieldError) -> str:
    return "labels" if wrong.field.startswith("labels.") else wrong.field
