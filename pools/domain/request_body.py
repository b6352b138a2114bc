"""Reads a request from JSON: every wrong field is named at once, by its path (``any_of[1].model``)."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from pools.domain import filters, request_rules
from pools.domain.chips import Entry
from pools.domain.errors import FieldError, Invalid
from pools.domain.request import Wanted

_WORDS: Final = {
    int: "A whole number is needed.",
    bool: "true or false is needed.",
    str: "A text is needed.",
    Decimal: "A number is needed.",
    datetime: "An instant such as 2026-11-25T12:00:00Z is needed.",
    tuple: "A list of texts is needed.",
    Mapping: "An object is needed.",
}
_BAD: Final = object()


def read(
    body: Any, chips: Mapping[str, Entry], *, other_models: Collection[str] = (), now: datetime | None = None
) -> Wanted:
    """Return the request that a body asks for. ``other_models`` are known though no catalogue has them.

    A field that is null is as one not given. Raises Invalid with everything that is wrong.
    """
    wrong: list[FieldError] = []
    wanted = _struct(Wanted, body, "", wrong)
    if wanted is not _BAD:
        told = {mistake.field for mistake in wrong}
        rules = request_rules.mistakes(wanted, chips, other_models=other_models, now=now)
        wrong += [mistake for mistake in rules if not any(_is_within(mistake.field, field) for field in told)]
    if wrong:
        raise Invalid(fields=tuple(wrong))
    found: Wanted = wanted
    return found


def with_flavor(body: Mapping[str, Any], flavor: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body with the fields that its flavor sets. Raises Invalid where both set one differently."""
    wrong = [
        FieldError(name, "set_by_flavor", "The flavor sets this; leave it out, or leave the flavor out.")
        for name, value in flavor.items()
        if body.get(name) is not None and body[name] != value
    ]
    if wrong:
        raise Invalid(fields=tuple(wrong))
    return {**body, **flavor}


def _struct(kind: type[Struct], given: Any, path: str, wrong: list[FieldError]) -> Any:
    """Return the Struct, with the defaults in place of what is wrong so that the rest can be looked at too."""
    if not isinstance(given, Mapping):
        wrong.append(FieldError(path, "bad_value", "An object is needed."))
        return _BAD
    known, required = _fields(kind)
    values = {}
    for name, each in given.items():
        if name not in known:
            detail = f"There is no such field. {filters.meant(str(name), known)}".rstrip()
            wrong.append(FieldError(_join(path, str(name)[:64]), "unknown_field", detail))
        elif each is not None and (value := _value(known[name], each, _join(path, name), wrong)) is not _BAD:
            values[name] = value
    for name in required:
        if given.get(name) is None:
            wrong.append(FieldError(_join(path, name), "required", "This field is needed."))
    return _BAD if any(name not in values for name in required) else kind(**values)


@cache
def _fields(kind: type[Struct]) -> tuple[dict[str, Any], list[str]]:
    """Return the types of a Struct's fields without the None that each may be, and the fields that are required."""
    found = fields(kind)
    return {field.name: _plain(field.type) for field in found}, [field.name for field in found if field.required]


def _value(kind: Any, given: Any, path: str, wrong: list[FieldError]) -> Any:
    """Return a value of a type, _BAD when it is none. ``kind`` is not optional any more."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        return _struct(kind, given, path, wrong)
    if get_origin(kind) is tuple and issubclass(_plain(get_args(kind)[0]), Struct):
        if not isinstance(given, list | tuple):
            wrong.append(FieldError(path, "bad_value", "A list of objects is needed."))
            return _BAD
        found = [_struct(get_args(kind)[0], each, f"{path}[{number}]", wrong) for number, each in enumerate(given)]
        return _BAD if _BAD in found else tuple(found)
    try:
        value = msgspec.convert(given, kind)
    except msgspec.ValidationError:
        wrong.append(FieldError(path, "bad_value", _needed(kind)))
        return _BAD
    if not all(map(_is_storable, _texts(value))):
        detail = "The text contains a character that cannot be stored; remove it."
        wrong.append(FieldError(path, "bad_text", detail))
        return _BAD
    return value


def _plain(kind: Any) -> Any:
    """Return the type without the None that it may be."""
    if get_origin(kind) in (Union, UnionType):
        return next(one for one in get_args(kind) if one is not type(None))
    return kind


def _needed(kind: Any) -> str:
    if not isinstance(kind, type) and str in map(type, get_args(kind)):
        return f"One of {', '.join(map(str, get_args(kind)))} is needed."
    return _WORDS.get(get_origin(kind) or kind, "Another kind of value is needed.")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield str(key)
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def _is_storable(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _is_within(field: str, other: str) -> bool:
    return (
        field == other or field.startswith((f"{other}.", f"{other}[")) or other.startswith((f"{field}.", f"{field}["))
    )
