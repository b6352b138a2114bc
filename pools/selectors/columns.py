"""Columns of many rows as parameters, ``unnest(%s::uuid[])``, in the bytes in which the server itself has them.

Of the text of an array it reads one character after another: an id so costs it fifteen times as much, and us thrice.
The format is that of array_send and array_recv (PostgreSQL, src/backend/utils/adt/arrayfuncs.c): how many dimensions,
whether there are NULLs, the elements' type (pg_type.dat), their number and the first index; then of each element its
length and what uuid_send, int4send ... make of it. All numbers are big-endian; a length of -1 is NULL.
"""

import struct
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import Any, Final, TypeVar, cast
from uuid import UUID

from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper
from psycopg.pq import Format

Value = TypeVar("Value")

_BOOL, _BYTEA, _INT8, _INT2, _INT4, _TEXT, _TIMESTAMPTZ, _UUID, _JSONB = 16, 17, 20, 21, 23, 25, 1184, 2950, 3802
_KNOWN_MOST: Final = 400
_REMEMBERED: Final = 1024
_VERSION: Final = b"\x01"  # of jsonb's format
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_empty: Final = struct.Struct("!iiI").pack
_header: Final = struct.Struct("!iiIii").pack
_length: Final = struct.Struct("!i").pack
_NULL, _SIXTEEN = _length(-1), _length(16)
# A length, and a value of so many bytes.
_boolean, _small = partial(struct.Struct("!i?").pack, 1), partial(struct.Struct("!ih").pack, 2)
_integer, _bigint = partial(struct.Struct("!ii").pack, 4), partial(struct.Struct("!iq").pack, 8)


class Column(bytes):
    """An array as it is sent. The statement says by a cast of which type it is."""


class _AsItIs(Dumper):
    format = Format.BINARY

    def dump(self, obj: Any) -> bytes:
        return cast(Column, obj)


def register(connection: AdaptContext) -> None:
    """Let the connection take columns."""
    connection.adapters.register_dumper(Column, _AsItIs)


def uuids(values: Iterable[UUID | None]) -> Column:
    """Return uuid[]."""
    return keys([None if value is None else value.int.to_bytes(16) for value in values])


def keys(values: Sequence[bytes | None]) -> Column:
    """Return uuid[] of ids as their 16 bytes."""
    if None in values:
        cells = [_NULL if value is None else _SIXTEEN + value for value in values]
        return _array(_UUID, len(values), b"".join(cells), True)
    body = _SIXTEEN + _SIXTEEN.join(cast(Sequence[bytes], values)) if values else b""
    return _array(_UUID, len(values), body, False)


def smalls(values: Sequence[int | None]) -> Column:
    """Return smallint[]."""
    return _column(_INT2, values, _small)


def integers(values: Sequence[int | None]) -> Column:
    """Return integer[]."""
    return _column(_INT4, values, _integer)


def bigints(values: Sequence[int | None]) -> Column:
    """Return bigint[]."""
    return _column(_INT8, values, _bigint)


def booleans(values: Sequence[bool | None]) -> Column:
    """Return boolean[]."""
    return _column(_BOOL, values, _boolean)


def instants(values: Sequence[datetime | None]) -> Column:
    """Return timestamptz[]: microseconds since 2000."""
    return _column(_TIMESTAMPTZ, values, _instant)


def texts(values: Sequence[str | None]) -> Column:
    """Return text[] of words and names that come again; others are cheaper ``encoded``."""
    return _column(_TEXT, values, _text)


def encoded(values: Sequence[bytes | None]) -> Column:
    """Return text[] of texts in UTF-8."""
    return _column(_TEXT, values, _sized)


def blobs(values: Sequence[bytes | None]) -> Column:
    """Return bytea[]."""
    return _column(_BYTEA, values, _sized)


def documents(name: str, values: Sequence[bytes | None]) -> dict[str, Column]:
    """Return JSON by three parameters, so that the server reads alike texts once: those of ``claim_insert``.

    ``<name>_known`` jsonb[] are different ones, ``<name>_number`` integer[] says of each row which of them it has, from
    1. Where many differ they are text[] of each row instead: a late element of an array is found by passing all others.
    """
    found: dict[bytes | None, int] = {}
    numbers: list[int | None] = [found.setdefault(value, len(found) + 1) for value in values]
    is_few = len(found) <= _KNOWN_MOST
    known = _column(_JSONB, list(found), _document) if is_few else _NONE_KNOWN
    nothing = [None] * len(values)
    return {
        name: encoded(nothing if is_few else values),
        f"{name}_known": known,
        f"{name}_number": integers(numbers if is_few else nothing),
    }


def slices(
    name: str, of_rows: Iterable[Collection[Value] | None], make: Callable[[list[Value]], Column]
) -> dict[str, Column]:
    """Return the lists of rows by three parameters: ``(<name>)[<name>_first:<name>_last]``. None is NULL."""
    values: list[Value] = []
    first: list[int | None] = []
    last: list[int | None] = []
    for row in of_rows:
        if row is None:
            first.append(None)
            last.append(None)
        else:
            first.append(len(values) + 1)
            values += row
            last.append(len(values))
    return {name: make(values), f"{name}_first": integers(first), f"{name}_last": integers(last)}


def _column(kind: int, values: Sequence[Any], encode: Callable[[Any], bytes]) -> Column:
    count = len(values)
    if count and values.count(first := values[0]) == count:  # as most columns of a batch are
        cell = _NULL if first is None else encode(first)
        return Column(_header(1, first is None, kind, count, 1) + cell * count)
    if None in values:
        cells = [_NULL if value is None else encode(value) for value in values]
        return _array(kind, count, b"".join(cells), True)
    return _array(kind, count, b"".join(map(encode, values)), False)


def _array(kind: int, count: int, body: bytes, has_null: bool) -> Column:
    return Column(_header(1, has_null, kind, count, 1) + body if count else _empty(0, 0, kind))


def _sized(value: bytes) -> bytes:
    return _length(len(value)) + value


@lru_cache(_REMEMBERED)
def _text(value: str) -> bytes:
    return _sized(value.encode())


def _document(value: bytes) -> bytes:
    return _sized(_VERSION + value)


@lru_cache(_REMEMBERED)
def _instant(value: datetime) -> bytes:
    return _bigint((value - _EPOCH) // _MICROSECOND)


_NONE_KNOWN: Final = _array(_JSONB, 0, b"", False)
