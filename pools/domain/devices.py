"""What a device is doing, in one word."""

from typing import Final

# In this order: the first that holds is the state. The selectors say the same in SQL; a test compares the two.
DEVICE_STATES: Final = (
    "retired",
    "missing",
    "faulty",
    "in_use",
    "elsewhere",
    "partial",
    "shadow",
    "unknown",
    "unavailable",
    "free",
)
# In these nothing of a device is free: capacity counts what nobody holds of it as faulty.
OUT_OF_SERVICE: Final = frozenset({"missing", "faulty", "unknown", "unavailable"})


def state(
    *,
    is_retired: bool,
    is_missing: bool,
    health: str,
    total_milli: int,
    taken_milli: int,
    shadow_milli: int,
    is_node_available: bool,
    is_elsewhere: bool = False,
) -> str:
    """Return the state of a device. ``taken_milli`` is claimed + held.

    ``elsewhere``: another pool shows the same card and gives it out, so it counts for nothing here.
    ``partial``: a part is taken, or the card is cut and its pieces are counted on their own (total 0).
    ``shadow``: used, at least in part, by somebody ocenter gave nothing to. ``unknown``: nobody can say how it is.
    ``unavailable``: its node takes no new work. ``free`` is exactly what capacity counts as free as a whole; of the
    rest of one that is in parts or in shadow use, something is free only when it is well and its node takes new work.
    """
    if is_retired:
        return "retired"
    if is_missing:
        return "missing"
    if health == "faulty":
        return "faulty"
    if 0 < total_milli <= taken_milli:
        return "in_use"
    if is_elsewhere:
        return "elsewhere"
    if taken_milli > 0 or total_milli == 0:
        return "partial"
    if shadow_milli > 0:
        return "shadow"
    if health == "unknown":
        return "unknown"
    return "free" if is_node_available else "unavailable"
