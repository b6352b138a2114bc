"""Nodes as plain dicts for the templates."""

from typing import Any, Final

import msgspec
from django.utils.translation import gettext_lazy as _

from connectors import catalog
from pools.selectors.nodes import NodeRow
from pools.web import pool_view
from pools.web.listing import Filter

FILTERS_IN_POOL: Final = (
    Filter("q", _("Name"), is_wide=True),
    Filter("state", _("State"), vocabulary="node_state"),
    Filter("vendor", _("Vendor")),
    Filter("model", _("Model")),
    Filter("health", _("Has devices that are"), vocabulary="device_health"),
    Filter("label", _("Label")),
)
FILTERS: Final = (*FILTERS_IN_POOL[:1], Filter("pool", _("Pool")), *FILTERS_IN_POOL[1:])


def presented(row: NodeRow) -> dict[str, Any]:
    """Return a node with its lines of capacity and whether its pool is simulated."""
    node = msgspec.structs.asdict(row)
    shares = [pool_view.share(each) for each in row.capacity]
    sums = {name: sum(line[name] for line in shares) for name in ("total_milli", "free_milli")}
    return node | {
        "shares": shares,
        "sums": sums,
        "models": list(dict.fromkeys(line["model_name"] or line["resource"] for line in shares)),
        "is_simulation": catalog.manifest(row.pool_kind).is_simulation,
    }
