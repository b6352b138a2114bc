"""What a device is doing, in one word."""

from typing import Final

# In this order: the first that holds is the state. The selectors say the same in SQL; a test compares the two.
DEVICE_STATES: Final = ("retired", "missing", "faulty", "in_use", "partial", "shadow", "unavailable", "free")


def state(
    *,
    is_retired: bool,
    is_missing: bool,
    health: str,
    total_milli: int,
    taken_milli: int,
    shadow_milli: int,
    is_node_available: bool,
) -> str:
    """Return the state of a device. ``taken_milli`` is claimed + held.

    ``partial``: a part is taken, or the card is cut and its pieces are counted on their own (total 0).
    ``shadow``: used, at least in part, by somebody ocenter gave nothing to. ``unavailable``: nothing new is placed
    there, for its node takes none or nobody can say how it is.
    """
    if is_retired:
        return "retired"
    if is_missing:
        return "missing"
    if health == "faulty":
        return "faulty"
    if 0 < total_milli <= taken_milli:
        return "in_use"
    if taken_milli > 0 or total_milli == 0:
        return "partial"
    if shadow_milli > 0:
        return "shadow"
    return "free" if is_node_available and health == "ok" else "unavailable"
