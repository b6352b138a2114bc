"""Store how busy devices are: each reading is added to its device's row of the hour, set by set."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import connection

from connectors.contract import Reading
from pools.models import PoolSync
from pools.services import sql, writing

ROWS_AT_ONCE: Final = 10_000
OLDEST: Final = timedelta(days=1)
_COLUMNS: Final = "node, ref, uuid, pci_address, index, utilisation, memory, power, temperature, hour_at"
_MOST_MIB: Final = 2**31 - 1


@writing.transaction
def store(*, pool_id: UUID, readings: Iterable[Reading], now: datetime) -> int:
    """Add readings of one look to the hours they were measured in; return how many device hours were written.

    A reading is of the device with its uuid, else its PCI address, ref or index on its node. One that no device or
    several devices answer to is left out, and so is one of more than a day ago. What a reading does not tell is not
    zero: it changes nothing.
    """
    with connection.cursor() as cursor:
        sql.run(cursor, "telemetry_incoming")
        with connection.wrap_database_errors, cursor.copy(f"COPY incoming_reading ({_COLUMNS}) FROM STDIN") as copy:
            for reading in readings:
                measured_at = _measured_at(reading, now)
                if now - OLDEST <= measured_at <= now + OLDEST:
                    copy.write_row(_row(reading, min(measured_at, now)))
        sql.run(cursor, "telemetry_usage", {"pool": pool_id})
        return int(cursor.rowcount)


def plan_next(pool_id: UUID, *, at: datetime) -> None:
    """Say when the devices of a pool are asked again."""
    PoolSync.objects.filter(pool_id=pool_id).update(telemetry_next_at=at)


def forget(*, before_at: datetime) -> int:
    """Delete hours that ended before; return how many. Short transactions, so that nobody waits for them."""
    count = 0
    with connection.cursor() as cursor:
        while True:
            cursor.execute(
                """
                DELETE FROM device_usage_hour WHERE ctid = ANY (ARRAY(
                    SELECT ctid FROM device_usage_hour WHERE hour_at < %s LIMIT %s))
                """,
                [before_at - timedelta(hours=1), ROWS_AT_ONCE],
            )
            deleted: int = cursor.rowcount
            count += deleted
            if deleted < ROWS_AT_ONCE:
                return count


def _measured_at(reading: Reading, now: datetime) -> datetime:
    if reading.measured_at is None:
        return now
    try:
        measured_at = datetime.fromisoformat(reading.measured_at)
    except ValueError:
        return now
    return measured_at if measured_at.tzinfo else measured_at.replace(tzinfo=UTC)


def _row(reading: Reading, measured_at: datetime) -> tuple[object, ...]:
    memory = reading.memory_used_mib
    return (
        reading.node,
        reading.ref,
        reading.uuid,
        reading.pci_address,
        reading.index,
        _finite(reading.utilisation_percent),
        None if memory is None else max(0, min(memory, _MOST_MIB)),
        _finite(reading.power_watts),
        _finite(reading.temperature_celsius),
        measured_at.replace(minute=0, second=0, microsecond=0),
    )


def _finite(value: float | None) -> float | None:
    """Exporters write NaN for what they do not know, and one would make a whole hour of it."""
    return value if value is not None and math.isfinite(value) else None
