"""Rows of the logs that are sealed, written by transactions that ended long ago, and ways to tamper with them."""

from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from pools.domain.seals import STREAMS
from pools.services import partitions, seals
from tests.factories import NOW

OLD_XID = 10
"""Every server's counter is far beyond it after initdb."""
_COLUMNS = {
    "audit_event": (
        "actor, action, object_kind, object_id, after",
        "'alice', 'pool.edited', 'pool', 'x', '{\"n\": 1}'",
    ),
    "ledger_event": ("pool_id, capacity_id, kind, milli", "gen_random_uuid(), gen_random_uuid(), 'shadow', 1000"),
}


def empty() -> None:
    """Leave no row and no seal, and nothing remembered of any."""
    run("TRUNCATE audit_event, ledger_event, seal RESTART IDENTITY")
    for stream in STREAMS:
        seals.note(stream, None)
    partitions.ensure(now=NOW)


def write(count: int = 1, *, xid: int = OLD_XID, at: datetime = NOW, stream: str = "audit_event") -> list[int]:
    """Write rows as a transaction of this number and return their ids."""
    columns, values = _COLUMNS[stream]
    return [
        row[0]
        for row in run(
            f"INSERT INTO {stream} (at, xid, {columns}) "
            f"SELECT %s, %s::xid8, {values} FROM generate_series(1, %s) RETURNING id",
            [at, str(xid), count],
        )
    ]


def sealed(*counts: int, stream: str = "audit_event", at: datetime = NOW) -> list[list[int]]:
    """Write rows and seal them, one seal for each count; return the ids of each."""
    made = []
    for number, count in enumerate(counts):
        made.append(write(count, xid=OLD_XID + number, stream=stream, at=at))
        assert seals.seal(now=at + timedelta(seconds=5)) == count
    return made


def inserted_in_the_past(row_id: int, *, xid: int = OLD_XID) -> None:
    """Insert a row with an id and a transaction of the past, as only the owner of the tables can."""
    columns, values = _COLUMNS["audit_event"]
    run(
        f"INSERT INTO audit_event (id, at, xid, {columns}) OVERRIDING SYSTEM VALUE VALUES (%s, %s, %s::xid8, {values})",
        [row_id, NOW, str(xid)],
    )


def run(statement: str, params: Any = None) -> list[Any]:
    """Execute a statement and return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.fetchall() if cursor.description else []


def seal_rows(stream: str = "audit_event") -> list[tuple[int, int]]:
    """The stream's seals: (number, rows)."""
    return run("SELECT number, row_count FROM seal WHERE stream = %s ORDER BY number", [stream])
