"""From bodies, headers and queries to checked values; all mistakes at once, none of them quoted."""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.request import Request

from pools.api.errors import LengthRequired, Malformed, TooLarge
from pools.domain import filters
from pools.domain.errors import FieldError, Invalid
from pools.domain.filters import meant
from pools.selectors import pages

Shape = TypeVar("Shape")
MOST_BYTES: Final = 1024 * 1024
DEPTH_MOST: Final = 32
ITEMS_MOST: Final = 10_000
REASON: Final = "X-Reason"
REASON_LONGEST: Final = 500
_MEDIA_TYPES: Final = ("application/json", "application/merge-patch+json")
_EXTENDED: Final = re.compile(r"utf-8'[a-z0-9-]*'(.*)", re.IGNORECASE)
# Controls, ends of lines, and what turns the direction of writing.
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_NO_OBJECT: Final = ("not_an_object", "A JSON object is needed.")
_NOT_STORED: Final = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL takes neither
_TOO_DEEP: Final = "The body is nested too deeply."
_ETAG: Final = re.compile(r'(?:W/)?"?(\d{1,18})(?:\.[0-9a-f]*)?"?')


class Nothing(msgspec.Struct):
    """An empty object, or no body at all."""


def body(shape: type[Shape], request: Request) -> Shape:
    """Return the JSON body as the struct. No body at all is an empty object.

    Raises Malformed (400), LengthRequired (411), TooLarge (413), UnsupportedMediaType (415), and Invalid (422) with
    every wrong field.
    """
    found, wrong = _struct(shape, _object(request), "")
    if found is None:
        raise Invalid(fields=tuple(wrong))
    return found


def rows(shape: type[Shape], request: Request) -> list[Shape]:
    """Return the JSON body, a list of objects, as structs; a field is named as ``[2].weight``. Raises as ``body``."""
    given: list[Any] = _decoded(request, list)
    if trouble := _trouble(given, raw(request)):
        raise Invalid(fields=(FieldError("", *trouble),))
    found: list[Shape] = []
    wrong: list[FieldError] = []
    for number, each in enumerate(given):
        if not isinstance(each, dict):
            wrong.append(FieldError(f"[{number}]", *_NO_OBJECT))
            continue
        row, mistakes = _struct(shape, each, f"[{number}].")
        wrong += mistakes
        if row is not None:
            found.append(row)
    if wrong:
        raise Invalid(fields=tuple(wrong))
    return found


def mapping(request: Request) -> dict[str, Any]:
    """Return the JSON body, an object of any names. Raises as ``body`` does."""
    return _object(request)


def words(request: Request) -> list[str]:
    """Return the JSON body, a list of texts. Raises as ``body`` does."""
    given: list[Any] = _decoded(request, list)
    if trouble := _trouble(given, raw(request)):
        raise Invalid(fields=(FieldError("", *trouble),))
    try:
        return msgspec.convert(given, list[str])
    except msgspec.ValidationError as error:
        raise Invalid(fields=(_wrong("", error),)) from None


def generation(request: Request) -> int | None:
    """Return the generation in If-Match; None when the caller does not care. Raises Invalid.

    A pool's ETag is its generation and its version: what a sync changes is no reason to refuse an edit.
    """
    header = request.META.get("HTTP_IF_MATCH", "").strip()
    if header in ("", "*"):
        return None
    match = _ETAG.fullmatch(header)
    if match is None:
        raise Invalid(fields=(FieldError("If-Match", "bad_value", "Send the ETag of what you read."),))
    return int(match[1])


def listing(request: Request) -> tuple[dict[str, str], str | None, int]:
    """Return (filters, cursor, limit) of a list's query; a parameter given twice means any of its values.

    Raises Invalid.
    """
    params = {name: ",".join(request.query_params.getlist(name)) for name in request.query_params}
    params.pop("fields", None)  # base.View reads it
    cursor, limit = params.pop("cursor", None), params.pop("limit", str(pages.LIMIT_DEFAULT))
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit[:10]) <= pages.LIMIT_MOST:
        detail = f"A whole number from 1 to {pages.LIMIT_MOST} is needed."
        raise Invalid(fields=(FieldError("limit", "bad_value", detail),))
    return params, cursor, int(limit)


def only_queries(request: Request, known: Collection[str]) -> None:
    """Raise Invalid for parameters that a write does not have: one who means to try must not do it by a slip."""
    wrong = [name for name in request.query_params if name not in known]
    if wrong:
        detail = "There is no such parameter."
        raise Invalid(
            fields=tuple(
                FieldError(name[:64], "unknown_parameter", f"{detail} {meant(name, known)}".rstrip()) for name in wrong
            )
        )


def flag(request: Request, name: str) -> bool:
    """Return what a parameter of the query says, false without it. Raises Invalid."""
    try:
        return filters.flag(request.query_params.get(name, "false"))
    except ValueError as error:
        raise Invalid(fields=(FieldError(name, "bad_value", str(error)),)) from None


def reason(request: Request) -> str:
    """Return why somebody writes, as X-Reason says: ASCII, or any text as RFC 8187 has it (UTF-8''%E5%8D%87).

    Raises Invalid.
    """
    header = request.META.get("HTTP_X_REASON", "").strip()
    encoded = _EXTENDED.fullmatch(header)
    try:
        text = unquote_to_bytes(encoded[1]).decode() if encoded else header.encode("ascii").decode()
    except UnicodeError:
        detail = "Send ASCII, or UTF-8'' and the text in percent-encoded UTF-8 (RFC 8187)."
        raise Invalid(fields=(FieldError(REASON, "bad_value", detail),)) from None
    if len(text) > REASON_LONGEST or _UNPRINTABLE.search(text):
        detail = f"At most {REASON_LONGEST} characters in one line are allowed."
        raise Invalid(fields=(FieldError(REASON, "bad_value", detail),))
    return text


def raw(request: Request) -> bytes:
    """Return the body as it came. Raises LengthRequired (411), TooLarge (413), UnsupportedMediaType (415)."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    if length == "0" and "HTTP_TRANSFER_ENCODING" in request.META:
        raise LengthRequired  # Django would take the body for an empty one
    if not length.isdigit() or int(length) == 0:
        return b""
    if int(length) > MOST_BYTES:
        raise TooLarge(f"At most {MOST_BYTES} bytes are taken.")
    # First, for looking for a CSRF token in a form has used up the body of one.
    media_type = (request.content_type or "").partition(";")[0].strip().lower()
    if media_type not in _MEDIA_TYPES:
        raise UnsupportedMediaType(media_type[:64])
    return request._request.body


def _struct(shape: type[Shape], given: Mapping[str, Any], place: str) -> tuple[Shape | None, list[FieldError]]:
    """Return an object as the struct, or None and every wrong field. ``place`` comes before the names of fields."""
    values: dict[str, Any] = {}
    wrong = []
    fields = {field.encode_name: field for field in msgspec.structs.fields(shape)}  # type: ignore[arg-type]  # a struct
    for name in given:
        if name not in fields:
            detail = f"There is no such field. {meant(name, fields)}".rstrip()
            wrong.append(FieldError(place + name[:64], "unknown_field", detail))
    for name, field in fields.items():
        if name in given:
            try:
                values[field.name] = msgspec.convert(given[name], field.type)
            except msgspec.ValidationError as error:
                wrong.append(_wrong(place + name, error))
        elif field.required:
            wrong.append(FieldError(place + name, "required", "This field is needed."))
    return (None if wrong else shape(**values)), wrong


def _object(request: Request) -> dict[str, Any]:
    given: dict[str, Any] = _decoded(request, dict)
    text = raw(request)
    wrong = [_refused(name, trouble) for name, value in given.items() if (trouble := _trouble([name, value], text))]
    if wrong:
        raise Invalid(fields=tuple(wrong))
    return given


def _decoded(request: Request, shape: type[dict[str, Any]] | type[list[Any]]) -> Any:
    text = raw(request)
    if not text:
        return shape()
    try:
        given = msgspec.json.decode(text)
    except RecursionError:
        raise Malformed(_TOO_DEEP) from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Malformed from None
    if not isinstance(given, shape):
        wanted = _NO_OBJECT if shape is dict else ("not_a_list", "A list is needed.")
        raise Invalid(fields=(FieldError("", *wanted),))
    return given


def _trouble(value: Any, text: bytes) -> tuple[str, str] | None:
    """Return (code, detail) of what no service takes, at any depth. Raises Malformed when that is too deep.

    Of a body without escapes no text is looked at: the decoder refuses what cannot be stored unless it is escaped.
    """
    waiting, depth, kinds = [value], 0, (dict, list, str) if b"\\" in text else (dict, list)
    while waiting:
        inside: list[Any] = []
        for item in waiting:
            if isinstance(item, str):
                if _NOT_STORED.search(item):
                    return "bad_character", "A text contains a character that cannot be stored; remove it."
                continue
            if item and depth == DEPTH_MOST:
                raise Malformed(_TOO_DEEP)
            if isinstance(item, dict):
                inside += [each for part in (item, item.values()) for each in part if isinstance(each, kinds)]
            else:
                if len(item) > ITEMS_MOST:
                    return "too_many", f"A list has at most {ITEMS_MOST} items."
                inside += [each for each in item if isinstance(each, kinds)]
        waiting, depth = inside, depth + 1
    return None


def _refused(name: str, trouble: tuple[str, str]) -> FieldError:
    return FieldError(name.encode("ascii", "backslashreplace").decode().replace("\x00", "\\x00")[:64], *trouble)


def _wrong(name: str, error: msgspec.ValidationError) -> FieldError:
    message, _, path = str(error).partition(" - at `$")
    return FieldError(name + path.rstrip("`").replace("[...]", ""), "bad_type", f"{message}.")
