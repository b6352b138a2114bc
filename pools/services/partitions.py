"""Partitions of the append-only tables: made ahead of time, dropped when their retention is over.

What is sealed is dropped only as it was sealed. Its seals stay, and the audit says which months are gone.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Final

from django.db import connection, transaction

from pools.domain import verification
from pools.domain.seals import STREAMS
from pools.models import PARTITIONED_TABLES
from pools.selectors import seals
from pools.services import drops
from pools.services.drops import Dropped

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


def older(table: str, *, keep_days: int, now: datetime) -> list[date]:
    """Return the months whose last row is older than ``keep_days``, the oldest first."""
    if table not in PARTITIONED_TABLES:
        raise ValueError(f"{table} is not an append-only table")
    kept = (now - timedelta(days=keep_days)).astimezone(UTC).date().replace(day=1)  # it still holds rows to keep
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", [table])
        months = [_month(name.removeprefix(table)) for (name,) in cursor.fetchall()]
    return sorted(month for month in months if month < kept)


def drop(table: str, month: date, *, now: datetime) -> bool:
    """Drop the partition of a month and say so in the audit; False when its rows are not those that were sealed.

    Needs the owner role. Raises OperationalError when somebody uses the table for too long: those who write to it
    wait behind us, so we do not.
    """
    name = f"{table}_y{month.year:04}m{month.month:02}"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '2s'")
        cursor.execute(f'LOCK TABLE "{name}" IN SHARE MODE')
        cursor.execute(f'SELECT count(*) FROM "{name}"')
        (rows,) = cursor.fetchone()
        if table in STREAMS and not _is_proved(table, month):
            return False
        cursor.execute(f'DROP TABLE "{name}"')
        drops.record(Dropped(stream=table, through=month, rows=rows), now)
    return True


def _is_proved(stream: str, month: date) -> bool:
    with seals.month(stream, month) as (of_month, rows):
        return verification.is_whole(of_month, rows)


def _month(suffix: str) -> date:
    year, month = suffix.removeprefix("_y").split("m")
    return date(int(year), int(month), 1)
