"""Devices as plain dicts for the templates."""

from typing import Any, Final

import msgspec
from django.utils.translation import gettext_lazy as _

from connectors import catalog
from pools.domain.devices import OUT_OF_SERVICE
from pools.selectors.devices import DeviceRow
from pools.web import charts, figures
from pools.web.listing import Filter

FILTERS_IN_POOL: Final = (
    Filter("q", _("UUID, serial, PCI or node"), is_wide=True),
    Filter("vendor", _("Vendor")),
    Filter("model", _("Model")),
    Filter("state", _("State"), vocabulary="device_state"),
    Filter("health", _("Health"), vocabulary="device_health"),
    Filter("node", _("Node")),
)
FILTERS: Final = (*FILTERS_IN_POOL[:1], Filter("pool", _("Pool")), *FILTERS_IN_POOL[1:])


def presented(row: DeviceRow) -> dict[str, Any]:
    """Return a device with the bar of its use and a short title."""
    device = msgspec.structs.asdict(row)
    taken = row.claimed_milli + row.held_milli + row.shadow_milli
    parts = {
        "total_milli": row.total_milli,
        "claimed_milli": row.claimed_milli,
        "held_milli": row.held_milli,
        "shadow_milli": row.shadow_milli,
        "faulty_milli": row.total_milli - min(taken, row.total_milli) if row.state in OUT_OF_SERVICE else 0,
        "free_milli": 0,
    }
    return device | {
        "title": f"#{row.index}" if row.index is not None else row.ref,
        "bar": charts.bar(parts),
        "used_share": figures.percent(min(taken, row.total_milli), row.total_milli),
        "is_simulation": catalog.manifest(row.pool_kind).is_simulation,
    }
