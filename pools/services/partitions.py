"""Partitions of the append-only tables: made ahead of time, dropped when their retention is over."""

from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import connection, transaction

from pools.models import PARTITIONED_TABLES

MONTHS_AHEAD: Final = 2


def ensure(*, now: datetime) -> None:
    """Make this month's partitions and those of the next two. Needs the owner role."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT append_only_partition(parent, (%s AT TIME ZONE 'UTC' + n * interval '1 month')::date)
            FROM unnest(%s::text[]) parent, generate_series(0, %s) n
            """,
            [now, list(PARTITIONED_TABLES), MONTHS_AHEAD],
        )


def drop_older(table: str, *, keep_days: int, now: datetime) -> list[str]:
    """Drop the partitions of the table whose last row is older than ``keep_days``; return their names.

    Needs the owner role. Raises OperationalError when somebody reads the table for too long: those who write to it
    wait behind us, so we do not.
    """
    if table not in PARTITIONED_TABLES:
        raise ValueError(f"{table} is not an append-only table")
    before = (now - timedelta(days=keep_days)).astimezone(UTC)
    limit = f"{table}_y{before.year:04}m{before.month:02}"  # the month that still holds rows to keep
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass ORDER BY 1", [table]
        )
        names = [row[0] for row in cursor.fetchall() if row[0] < limit]
        for name in names:
            with transaction.atomic():
                cursor.execute("SET LOCAL lock_timeout = '2s'")
                cursor.execute(f'DROP TABLE "{name}"')
    return names
