"""``?fields=a,b``: only some fields of what is read."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from rest_framework.request import Request
from rest_framework.response import Response

from pools.domain import filters
from pools.domain.errors import FieldError, Invalid


def only(request: Request, handle: Callable[[], Response], row: type | None) -> Response:
    """Return what ``handle`` answers with the fields that the query names; of a list those of its rows.

    ``row`` is the struct that is answered or listed. Raises Invalid that names unknown fields, with the nearest known.
    """
    if not (text := ",".join(request.query_params.getlist("fields")).strip()):
        return handle()
    known = {each.encode_name: each.name for each in msgspec.structs.fields(row)} if row else {}
    names = {name.strip() for name in text.split(",")}
    if unknown := [name for name in names if name not in known]:
        raise Invalid(
            fields=tuple(
                FieldError(
                    "fields", "unknown_field", f'"{name[:64]}" is no field. {filters.meant(name, known)}'.rstrip()
                )
                for name in sorted(unknown)
            )
        )
    response = handle()
    response.data = _narrowed(response.data, {name: known[name] for name in known if name in names})
    return response


def _narrowed(data: Any, names: Mapping[str, str]) -> Any:
    if data is None:  # 304
        return None
    if isinstance(data, dict) and "results" in data:
        return data | {"results": [_narrowed(row, names) for row in data["results"]]}
    values = {name: getattr(data, attribute, msgspec.UNSET) for name, attribute in names.items()}
    return {name: value for name, value in values.items() if value is not msgspec.UNSET}
