"""Reads what stands on objects of a cluster: whose they are, of which generation, whether they are as wanted. Pure."""

from typing import Any

import msgspec

from connectors.contract import Permanent, Target
from connectors.kubernetes.intent import GENERATION, INSTALLATION, ORDERS
from connectors.kubernetes.writes import Live


def is_active(queue: Live) -> bool:
    """Whether Kueue's controller says that it works with a queue; without a controller nobody does."""
    conditions = queue.get("status", {}).get("conditions", [])
    return any(told["type"] == "Active" and told["status"] == "True" for told in conditions)


def is_within(wanted: Any, live: Any) -> bool:
    """Whether all that we say of an object holds; what others say beside it does not count."""
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(is_within(part, live.get(name)) for name, part in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(live, list)
            and len(live) == len(wanted)
            and all(is_within(*pair) for pair in zip(wanted, live, strict=True))
        )
    return bool(wanted == live)


def labels(live: Live) -> dict[str, str]:
    """Its labels, none where it has none."""
    return live["metadata"].get("labels") or {}


def _annotations(live: Live) -> dict[str, str]:
    return live["metadata"].get("annotations") or {}


def generation(live: Live) -> int:
    """The generation that we wrote on it; 0 where none is to be read."""
    text = _annotations(live).get(GENERATION, "")
    return int(text) if text.isdecimal() else 0


def orders(live: Live) -> dict[str, Any]:
    """What the annotation says of the orders, by marker; nothing where it cannot be read."""
    try:
        return msgspec.json.decode(_annotations(live).get(ORDERS, "{}"), type=dict[str, Any])
    except msgspec.DecodeError:
        return {}


def refuse_stale(live: Live, target: Target) -> None:
    """Raise Permanent ``stale_generation`` where an object carries a newer generation than the target's."""
    if (there := generation(live)) > target.generation:
        raise Permanent(
            f"{target.ref} carries generation {there}, which is newer than {target.generation}. Nothing was changed; "
            "read the target again.",
            code="stale_generation",
        )


def not_ours(path: str, live: Live) -> Permanent:
    """The error for an object that we did not make."""
    other = labels(live).get(INSTALLATION)
    whose = f"belongs to the ocenter installation {other}" if other else "has no mark of ocenter"
    return Permanent(
        f"{path} {whose}, so it is left alone. Remove or rename it, or give it its labels back if they were taken off.",
        code="not_ours",
    )
