"""How busy devices were, as people and programs see it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from pools.domain import filters
from pools.models import DeviceUsageHour
from pools.selectors import pages
from pools.selectors.pages import Page

FILTERS: Final = {"from": filters.instant, "to": filters.instant}
_ASKED: Final = {"from": "hour_at__gte", "to": "hour_at__lt"}
_NEWEST_FIRST: Final = pages.Order(("hour_at",), tuple[pages.Instant], is_descending=True)
_COLUMNS: Final = (
    "hour_at",
    "samples",
    *(f"{what}_{sort}" for what in ("utilisation", "memory", "power") for sort in ("count", "sum", "max")),
    "temperature_max",
)


class UsageRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one device measured in the hour that begins at ``hour_at``; null is what nobody told, which is not zero.

    ``samples`` is how often it was asked and answered. Averages are of the answers that told the value.
    """

    hour_at: datetime
    samples: int
    utilisation_percent_average: float | None
    utilisation_percent_most: float | None
    memory_used_mib_average: float | None
    memory_used_mib_most: int | None
    power_watts_average: float | None
    power_watts_most: float | None
    temperature_celsius_most: float | None


def usage(*, device_id: UUID, params: Mapping[str, str], cursor: str | None, limit: int) -> Page[UsageRow]:
    """Return the hours of a device, the newest first. One query. Raises Invalid."""
    wanted = filters.read(params, FILTERS)
    asked = {_ASKED[name]: at for name, at in wanted.items()}
    hours = DeviceUsageHour.objects.filter(device_id=device_id, **asked).values(*_COLUMNS)
    return pages.mapped(pages.cut(hours, _NEWEST_FIRST, cursor, limit), _row)


def _row(row: Mapping[str, Any]) -> UsageRow:
    return UsageRow(
        hour_at=row["hour_at"],
        samples=row["samples"],
        utilisation_percent_average=_average(row, "utilisation"),
        utilisation_percent_most=row["utilisation_max"],
        memory_used_mib_average=_average(row, "memory"),
        memory_used_mib_most=row["memory_max"],
        power_watts_average=_average(row, "power"),
        power_watts_most=row["power_max"],
        temperature_celsius_most=row["temperature_max"],
    )


def _average(row: Mapping[str, Any], what: str) -> float | None:
    count = row[f"{what}_count"]
    return round(row[f"{what}_sum"] / count, 1) if count else None
