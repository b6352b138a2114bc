"""What is kept for how long: months of append-only tables are dropped as a whole, the rest row by row."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import connection
from django.db.utils import OperationalError

from pools.models import PARTITIONED_TABLES
from pools.services import fragmentation, partitions, telemetry

log = structlog.get_logger(__name__)

TABLES: Final = (*PARTITIONED_TABLES, "sync_run", "device_usage_hour", "fragmentation_day")
RUNS_AT_ONCE: Final = 10_000


def clean(*, keep_days: Mapping[str, int], now: datetime) -> dict[str, int]:
    """Drop and delete what is older than ``keep_days`` says by table, 0 for ever; return partitions and rows by table.

    Needs the owner role. A table that somebody reads for long is left for tomorrow.
    """
    gone: dict[str, int] = {}
    for table in TABLES:
        if not keep_days[table]:
            continue
        try:
            gone[table] = _clean(table, keep_days[table], now)
        except OperationalError as error:
            log.warning("retention_left_for_later", table=table, reason=str(error).strip())
    if any(gone.values()):
        log.info("retention", **gone)
    return gone


def _clean(table: str, keep_days: int, now: datetime) -> int:
    if table == "sync_run":
        return _delete_runs(keep_days, now)
    if table == "device_usage_hour":
        return telemetry.forget(before_at=now - timedelta(days=keep_days))
    if table == "fragmentation_day":
        return fragmentation.forget(before=(now - timedelta(days=keep_days)).date())
    return _drop(table, keep_days, now)


def _drop(table: str, keep_days: int, now: datetime) -> int:
    """Drop the oldest months first; stop at one that is not proved, for a statement is about all months before too."""
    count = 0
    for month in partitions.older(table, keep_days=keep_days, now=now):
        if not partitions.drop(table, month, now=now):
            log.error("retention_refused", table=table, month=f"{month:%Y-%m}", reason="not what was sealed")
            break
        count += 1
    return count


def _delete_runs(keep_days: int, now: datetime) -> int:
    """Delete ended runs that no pool refers to as its last one; their changes go with the months of their own table."""
    count = 0
    with connection.cursor() as cursor:
        while True:
            cursor.execute(
                """
                DELETE FROM sync_run WHERE id IN (
                    SELECT id FROM sync_run r WHERE ended_at < %s AND state IN ('succeeded', 'failed', 'rejected')
                        AND NOT EXISTS (SELECT FROM pool_sync s WHERE r.id IN (s.last_run_id, s.held_run_id))
                    ORDER BY queued_at LIMIT %s)
                """,
                [now - timedelta(days=keep_days), RUNS_AT_ONCE],
            )
            deleted: int = cursor.rowcount
            count += deleted
            if deleted < RUNS_AT_ONCE:
                return count
