"""Lists whose whole state is in the address: filters, cursor, and the links to the next page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final

from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from pools.domain import filters as instants
from pools.domain.errors import Invalid
from pools.web import words

PAGE_ROWS: Final = 50


@dataclass(frozen=True, slots=True)
class Filter:
    """One field above a list: a choice of words of a vocabulary, plain choices, an instant in UTC, or a text."""

    name: str
    label: "str | Promise"
    vocabulary: str = ""
    choices: Sequence[tuple[str, "str | Promise"]] = ()
    is_wide: bool = False
    is_instant: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """Rows and what stands around them. ``mistakes`` says which filters could not be understood."""

    rows: Sequence[Any]
    filters: list[dict[str, Any]]
    is_filtered: bool
    next_query: str
    first_query: str
    mistakes: list[str]

    def context(self, present: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Return the plain dicts for a template, with each row presented."""
        return {
            "rows": [present(row) for row in self.rows],
            "filters": self.filters,
            "is_filtered": self.is_filtered,
            "next_query": self.next_query,
            "first_query": self.first_query,
            "mistakes": self.mistakes,
        }


def read(
    request: HttpRequest,
    filters: Sequence[Filter],
    load: Callable[[dict[str, str], str | None], Any],
    fixed: Mapping[str, str] | None = None,
) -> Listing:
    """Read the filters from the address and load one page of rows by ``load(params, cursor)``.

    ``fixed`` are filters that the address cannot change, such as the pool on a pool's page. A filter that cannot be
    understood gives an empty list that says so: showing everything instead would mislead.
    """
    given = {each.name: request.GET.get(each.name, "").strip() for each in filters}
    given = {name: value for name, value in given.items() if value}
    cursor = request.GET.get("cursor") or None
    mistakes: list[str] = []
    rows: Sequence[Any] = ()
    next_cursor = None
    try:
        page = load({**given, **(fixed or {})}, cursor)
        rows, next_cursor = page.rows, page.next_cursor
    except Invalid as error:
        labels = {each.name: str(each.label) for each in filters}
        mistakes = [f"{labels.get(wrong.field, wrong.field)}: {_mistake(wrong.code)}" for wrong in error.fields]
    return Listing(
        rows=rows,
        filters=[_presented(each, given.get(each.name, "")) for each in filters],
        is_filtered=bool(given),
        next_query=urlencode({**given, "cursor": next_cursor}) if next_cursor else "",
        first_query=f"?{urlencode(given)}" if cursor else "",
        mistakes=mistakes,
    )


def _mistake(code: str) -> str:
    return _("there is nothing of this name, or the value cannot be understood.") if code == "bad_value" else code


def _presented(each: Filter, value: str) -> dict[str, Any]:
    choices = list(each.choices)
    if each.vocabulary:
        choices = [(word, label) for word, (label, _tone) in words.WORDS[each.vocabulary].items()]
    if choices and value and value not in dict(choices):
        choices.append((value, ", ".join(str(dict(choices).get(word, word)) for word in value.split(","))))
    shown = {name: getattr(each, name) for name in ("name", "label", "is_wide", "is_instant")}
    return shown | {"value": _local(value) if each.is_instant and value else value, "choices": choices}


def _local(value: str) -> str:
    """Return an instant as fields of browsers have it; what is none stays as it is."""
    try:
        return f"{instants.instant(value).astimezone(UTC):%Y-%m-%dT%H:%M}"
    except ValueError:
        return value
