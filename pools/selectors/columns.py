"""Columns of many rows as parameters, ``unnest(%s::uuid[])``, in the bytes in which the server itself has them.

Of the text of an array it reads one character after another: an id so costs it fifteen times as much, and us thrice.
The format is that of array_send and array_recv (PostgreSQL, src/backend/utils/adt/arrayfuncs.c): how many dimensions,
whether there are NULLs, the elements' type (pg_type.dat), their number and the first index; then of each element its
length and what uuid_send, int4send ... make of it. All numbers are big-endian; a length of -1 is NULL.
"""

import struct
from array import array
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import accumulate, chain
from typing import Any, Final, TypeVar, cast
from uuid import UUID

from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper
from psycopg.pq import Format

Value = TypeVar("Value")

_BOOL, _BYTEA, _INT8, _INT2, _INT4, _TEXT, _TIMESTAMPTZ, _UUID, _JSONB = 16, 17, 20, 21, 23, 25, 1184, 2950, 3802
_KNOWN_MOST: Final = 400
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
    try:
        return _joined(_UUID, len(values), _SIXTEEN + _SIXTEEN.join(cast(Sequence[bytes], values)))
    except TypeError:  # where one is None
        return _array(_UUID, [_NULL if value is None else _SIXTEEN + value for value in values])


def smalls(values: Sequence[int | None]) -> Column:
    """Return smallint[]."""
    return _alike(_INT2, values, _small)


def integers(values: Sequence[int | None]) -> Column:
    """Return integer[]."""
    return _numbers(_INT4, "i", values, _integer)


def bigints(values: Sequence[int | None]) -> Column:
    """Return bigint[]."""
    return _numbers(_INT8, "q", values, _bigint)


def booleans(values: Sequence[bool | None]) -> Column:
    """Return boolean[]."""
    return _alike(_BOOL, values, _boolean)


def instants(values: Sequence[datetime | None]) -> Column:
    """Return timestamptz[]: microseconds since 2000."""
    return _alike(_TIMESTAMPTZ, values, _instant)


def texts(values: Sequence[str | None]) -> Column:
    """Return text[] of words and names that come again; others are cheaper ``encoded``."""
    return _alike(_TEXT, values, _text)


def encoded(values: Sequence[bytes | None]) -> Column:
    """Return text[] of texts in UTF-8."""
    return _each(_TEXT, values, _sized)


def blobs(values: Sequence[bytes | None]) -> Column:
    """Return bytea[]."""
    return _each(_BYTEA, values, _sized)


def documents(name: str, values: Sequence[bytes | None]) -> dict[str, Column]:
    """Return JSON by three parameters, so that the server reads alike texts once: those of ``claim_insert``.

    ``<name>_known`` jsonb[] are different ones, ``<name>_number`` integer[] says of each row which of them it has, from
    1. Where many differ they are text[] of each row instead: a late element of an array is found by passing all others.
    """
    found: dict[bytes | None, int] = {}
    numbers: list[int | None] = [found.setdefault(value, len(found) + 1) for value in values]
    is_few = len(found) <= _KNOWN_MOST
    nothing = [None] * len(values)
    return {
        name: encoded(nothing if is_few else values),
        f"{name}_known": _each(_JSONB, list(found) if is_few else [], _document),
        f"{name}_number": integers(numbers if is_few else nothing),
    }


def slices(
    name: str, of_rows: Sequence[Collection[Value] | None], make: Callable[[list[Value]], Column]
) -> dict[str, Column]:
    """Return the lists of rows by three parameters: ``(<name>)[<name>_first:<name>_last]``. None is NULL."""
    last = list(accumulate([len(row or ()) for row in of_rows]))
    first = [None if row is None else end - len(row) + 1 for row, end in zip(of_rows, last, strict=True)]
    values = list(chain.from_iterable(filter(None, of_rows)))
    return {name: make(values), f"{name}_first": integers(first), f"{name}_last": integers(last)}


def _each(kind: int, values: Sequence[Any], encode: Callable[[Any], bytes]) -> Column:
    return _array(kind, [_NULL if value is None else encode(value) for value in values])


def _alike(kind: int, values: Sequence[Any], encode: Callable[[Any], bytes]) -> Column:
    """Return values of which there are few different ones, as in most columns of a batch."""
    if values and values.count(values[0]) == len(values):
        return _array(kind, [_NULL if values[0] is None else encode(values[0])] * len(values))
    cells = {value: _NULL if value is None else encode(value) for value in set(values)}
    return _array(kind, list(map(cells.__getitem__, values)))


def _numbers(kind: int, code: str, values: Sequence[int | None], encode: Callable[[int], bytes]) -> Column:
    """Return whole numbers: all at once, each as one or two words of four bytes behind its length."""
    count = len(values)
    try:
        words = array("I", struct.pack(f"!{count}{code}", *values))
    except struct.error:  # where one is None
        return _each(kind, values, encode)
    each = len(words) // count if count else 0
    cells = array("I", _length(4 * each)) * (count + len(words))
    for word in range(each):
        cells[1 + word :: 1 + each] = words[word::each]
    return _joined(kind, count, cells.tobytes())


def _array(kind: int, cells: Sequence[bytes]) -> Column:
    return _joined(kind, len(cells), b"".join(cells))


def _joined(kind: int, count: int, body: bytes) -> Column:
    # Whether there are NULLs array_recv sees for itself.
    return Column(_header(1, 0, kind, count, 1) + body if count else _empty(0, 0, kind))


def _sized(value: bytes) -> bytes:
    return _length(len(value)) + value


def _text(value: str) -> bytes:
    return _sized(value.encode())


def _document(value: bytes) -> bytes:
    return _sized(_VERSION + value)


def _instant(value: datetime) -> bytes:
    return _bigint((value - _EPOCH) // _MICROSECOND)
