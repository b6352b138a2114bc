"""Seals and the rows they stand for, in the order of the log. None of these reads holds more than a seal in memory."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any, Final

import msgspec
from django.db import connection

from pools.domain import filters, merkle
from pools.domain.seals import STREAMS, Row, Seal, SealHead
from pools.selectors import pages
from pools.selectors.pages import Page

FILTERS: Final = {"stream": filters.some_of(STREAMS)}
# What a leaf is made of: the row as a JSON object in PostgreSQL's order of keys, without columns that are null. So a
# column that a later version adds, null in what is there already, changes no leaf.
_CANONICAL: Final = """
SELECT e.xid::text, e.id, e.at, (
    SELECT jsonb_object_agg(key, value)::text FROM jsonb_each(to_jsonb(e)) WHERE value <> 'null') FROM {stream} e
"""
_SEAL: Final = """
SELECT stream, number, month, from_xid::text, to_xid::text, ids, leaves, root, previous_root, key_id, sealed_at,
    signature FROM seal
"""
_UNSEALED: Final = _CANONICAL + " WHERE (e.xid, e.id) > (%s::xid8, %s) {until} ORDER BY e.xid, e.id"
_COMPLETE: Final = "AND e.xid < pg_snapshot_xmin(pg_current_snapshot())"
_ROWS_AT_ONCE: Final = 2000
_SEALS_AT_ONCE: Final = 20
BEGINNING: Final = (0, 0)


class SealRow(msgspec.Struct, frozen=True, kw_only=True):
    """A seal without its leaves. Root, previous root and signature are hexadecimal."""

    id: int
    stream: str
    number: int
    month: date
    from_xid: str
    to_xid: str
    row_count: int
    root: str
    previous_root: str
    key_id: str
    signature: str
    sealed_at: datetime


def page(*, params: Mapping[str, str], cursor: str | None, limit: int) -> Page[SealRow]:
    """Return seals, the newest first. One query. Raises Invalid."""
    wanted = filters.read(params, FILTERS).get("stream", STREAMS)
    (before,) = pages.decode(cursor, pages.BY_NUMBER) if cursor else (2**63 - 1,)
    with connection.cursor() as found:
        found.execute(
            """
            SELECT id, stream, number, month, from_xid::text, to_xid::text, row_count, encode(root, 'hex'),
                encode(previous_root, 'hex'), key_id, encode(signature, 'hex'), sealed_at
            FROM seal WHERE id < %s AND stream = ANY(%s) ORDER BY id DESC LIMIT %s
            """,
            [before, list(wanted), limit + 1],
        )
        rows = [SealRow(**dict(zip(SealRow.__struct_fields__, row, strict=True))) for row in found.fetchall()]
    return Page(rows[:limit], pages.encode([rows[limit - 1].id]) if len(rows) > limit else None)


def last(stream: str) -> tuple[SealHead | None, tuple[int, int]]:
    """Return the stream's last seal and the place (xid, id) where it ends."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT number, encode(root, 'hex'), to_xid::text, ids[row_count] FROM seal
            WHERE stream = %s ORDER BY number DESC LIMIT 1
            """,
            [stream],
        )
        row = cursor.fetchone()
    return (SealHead(number=row[0], root=row[1]), (int(row[2]), row[3])) if row else (None, BEGINNING)


def root(stream: str, number: int) -> str | None:
    """Return the root of one seal; None when there is no such."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT encode(root, 'hex') FROM seal WHERE stream = %s AND number = %s", [stream, number])
        row = cursor.fetchone()
    return row[0] if row else None


def complete_rows(stream: str, place: tuple[int, int], limit: int) -> list[Row]:
    """Return the next rows behind a place that no running transaction can add to."""
    with connection.cursor() as cursor:
        cursor.execute(
            _UNSEALED.format(stream=_known(stream), until=_COMPLETE) + " LIMIT %s", [str(place[0]), place[1], limit]
        )
        return [_row(row) for row in cursor.fetchall()]


def tail(stream: str) -> tuple[int, datetime | None]:
    """Return how many rows are not sealed yet, and the instant of the oldest. Two queries."""
    place = last(stream)[1]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*), min(at) FROM {_known(stream)} WHERE (xid, id) > (%s::xid8, %s)",
            [str(place[0]), place[1]],
        )
        count, since = cursor.fetchone()
    return count, since


def transaction_now() -> int:
    """Return the number of the oldest transaction that still runs, or of the next one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")
        return int(cursor.fetchone()[0])


@contextmanager
def everything(stream: str) -> Iterator[tuple[Iterator[Seal], Iterator[Row]]]:
    """Read all seals and all rows of a stream in their order, by cursors of the server, in the caller's transaction.

    The seals' snapshot is the older one, so whatever is sealed in it is among the rows.
    """
    with connection.chunked_cursor() as seals, connection.chunked_cursor() as rows:
        seals.execute(f"{_SEAL} WHERE stream = %s ORDER BY number", [stream])
        rows.execute(f"{_CANONICAL.format(stream=_known(stream))} ORDER BY e.xid, e.id")
        yield map(_seal, _fetched(seals, _SEALS_AT_ONCE)), map(_row, _fetched(rows, _ROWS_AT_ONCE))


@contextmanager
def month(stream: str, first: date) -> Iterator[tuple[Iterator[Seal], Iterator[Row]]]:
    """Read the seals and the rows of one month likewise."""
    with connection.chunked_cursor() as seals, connection.chunked_cursor() as rows:
        seals.execute(f"{_SEAL} WHERE stream = %s AND month = %s ORDER BY number", [stream, first])
        table = f"{_known(stream)}_y{first.year:04}m{first.month:02}"
        rows.execute(f"{_CANONICAL.format(stream=table)} ORDER BY e.xid, e.id")
        yield map(_seal, _fetched(seals, _SEALS_AT_ONCE)), map(_row, _fetched(rows, _ROWS_AT_ONCE))


def numbers(stream: str, places: Sequence[tuple[str, int]]) -> dict[int, tuple[int, datetime]]:
    """Return {row id: (number of its seal, when it was sealed)} of those of the rows (xid, id) that are sealed."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT e.id, s.number, s.sealed_at FROM unnest(%s::text[]::xid8[], %s::bigint[]) e (xid, id)
            CROSS JOIN LATERAL (
                SELECT number, sealed_at, ids FROM seal
                WHERE stream = %s AND to_xid >= e.xid AND (to_xid, ids[row_count]) >= (e.xid, e.id)
                ORDER BY to_xid, number LIMIT 1) s
            WHERE e.id = ANY(s.ids)
            """,
            [[xid for xid, _ in places], [row_id for _, row_id in places], stream],
        )
        return {row_id: (number, sealed_at) for row_id, number, sealed_at in cursor.fetchall()}


def _known(stream: str) -> str:
    if stream not in STREAMS:
        raise ValueError(f"{stream} is not a log that is sealed")
    return stream


def _fetched(cursor: Any, count: int) -> Iterator[Any]:
    while found := cursor.fetchmany(count):
        yield from found


def _row(row: tuple[str, int, datetime, str]) -> Row:
    xid, row_id, at, canonical = row
    return Row(int(xid), row_id, at, merkle.leaf(canonical.encode()))


def _seal(row: Sequence[Any]) -> Seal:
    stream, number, month, from_xid, to_xid, ids, leaves, root, previous_root, key_id, sealed_at, signature = row
    return Seal(
        stream=stream,
        number=number,
        month=month,
        from_xid=int(from_xid),
        to_xid=int(to_xid),
        ids=ids,
        leaves=bytes(leaves),
        root=bytes(root),
        previous_root=bytes(previous_root),
        key_id=key_id,
        sealed_at=sealed_at,
        signature=bytes(signature),
    )
