"""From bodies, headers and queries to checked values; all mistakes at once, none of them quoted."""

import re
from typing import Any, Final, TypeVar

import msgspec
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.request import Request

from pools.api.errors import LengthRequired, Malformed, TooLarge
from pools.domain.errors import FieldError, Invalid
from pools.domain.filters import meant
from pools.selectors import pages

Shape = TypeVar("Shape")
MOST_BYTES: Final = 1024 * 1024
_MEDIA_TYPES: Final = ("application/json", "application/merge-patch+json")
_ETAG: Final = re.compile(r'(?:W/)?"?(\d{1,18})(?:\.[0-9a-f]*)?"?')


class Nothing(msgspec.Struct):
    """An empty object, or no body at all."""


def body(shape: type[Shape], request: Request) -> Shape:
    """Return the JSON body as the struct. No body at all is an empty object.

    Raises Malformed (400), LengthRequired (411), TooLarge (413), UnsupportedMediaType (415), and Invalid (422) with
    every wrong field.
    """
    given = _object(request)
    values: dict[str, Any] = {}
    wrong = []
    fields = {field.encode_name: field for field in msgspec.structs.fields(shape)}  # type: ignore[arg-type]  # a struct
    for name in given:
        if name not in fields:
            wrong.append(
                FieldError(name[:64], "unknown_field", f"There is no such field. {meant(name, fields)}".rstrip())
            )
    for name, field in fields.items():
        if name in given:
            try:
                values[field.name] = msgspec.convert(given[name], field.type)
            except msgspec.ValidationError as error:
                wrong.append(_wrong(name, error))
        elif field.required:
            wrong.append(FieldError(name, "required", "This field is needed."))
    if wrong:
        raise Invalid(fields=tuple(wrong))
    return shape(**values)


def mapping(request: Request) -> dict[str, Any]:
    """Return the JSON body, an object of any names. Raises as ``body`` does."""
    return _object(request)


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
    cursor, limit = params.pop("cursor", None), params.pop("limit", str(pages.LIMIT_DEFAULT))
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit[:10]) <= pages.LIMIT_MOST:
        detail = f"A whole number from 1 to {pages.LIMIT_MOST} is needed."
        raise Invalid(fields=(FieldError("limit", "bad_value", detail),))
    return params, cursor, int(limit)


def _object(request: Request) -> dict[str, Any]:
    raw = _raw(request)
    if not raw:
        return {}
    try:
        given = msgspec.json.decode(raw)
    except RecursionError:
        raise Malformed("The body is nested too deeply.") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Malformed from None
    if not isinstance(given, dict):
        raise Invalid(fields=(FieldError("", "not_an_object", "A JSON object is needed."),))
    wrong = [name for name, value in given.items() if not _is_storable(name) or not _is_storable(value)]
    if wrong:
        detail = "A text contains a character that cannot be stored; remove it."
        raise Invalid(fields=tuple(FieldError(_shown(name), "bad_character", detail) for name in wrong))
    return given


def _raw(request: Request) -> bytes:
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


def _is_storable(value: Any) -> bool:
    """False when a text in it, at any depth, has a character that PostgreSQL does not take."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += [*item, *item.values()]
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, str) and ("\x00" in item or any("\ud800" <= char <= "\udfff" for char in item)):
            return False
    return True


def _shown(name: str) -> str:
    return name.encode("ascii", "backslashreplace").decode().replace("\x00", "\\x00")[:64]


def _wrong(name: str, error: msgspec.ValidationError) -> FieldError:
    message, _, path = str(error).partition(" - at `$")
    return FieldError(name + path.rstrip("`").replace("[...]", ""), "bad_type", f"{message}.")
