"""What a tenant needs to use an allocation, as plain dicts for the templates."""

from collections.abc import Mapping
from typing import Any

import msgspec
from django.utils.translation import gettext as _

from pools.selectors.deliveries import DeliveryRow
from pools.services.handovers import Revealed
from pools.web import words


def delivery(row: DeliveryRow) -> dict[str, Any]:
    """Return a delivery; ``facts`` are [{label, value}] with the command that uses them, ``trouble`` a dict or None."""
    return msgspec.structs.asdict(row) | {
        "facts": _facts(row.facts),
        "secrets": [words.label("delivery_fact", name) for name in row.secrets],
        "trouble": msgspec.structs.asdict(row.trouble) if row.trouble else None,
    }


def revealed(row: Revealed) -> dict[str, Any]:
    """Return what was revealed; ``secrets`` are [{label, value, is_long}]."""
    secrets = [
        {"label": words.label("delivery_fact", name), "value": value, "is_long": "\n" in value}
        for name, value in sorted(row.secrets.items())
    ]
    return msgspec.structs.asdict(row) | {"facts": _facts(row.facts), "secrets": secrets}


def _facts(facts: Mapping[str, str]) -> list[dict[str, str]]:
    shown = [{"label": words.label("delivery_fact", name), "value": value} for name, value in facts.items() if value]
    if facts.get("account") and facts.get("host"):
        port = f"-p {facts['port']} " if facts.get("port") else ""
        # Each member on the host is an account of its own.
        for account in facts["account"].split(", "):
            shown.append({"label": _("Log in with"), "value": f"ssh {port}{account}@{facts['host']}"})
    return shown
