"""Our marker on what we make, and the names of it. Pure.

Placement keeps a free text of up to 255 characters as the user of each consumer, and Cyborg a description of each
device profile: both hold the marker. Both are written in one step with what they mark.
"""

import uuid

from msgspec import Struct

from connectors.contract import Order, Permanent, Target

OURS = "OCENTER"
"""The consumer type of ocenter's own allocations in Placement."""
_FIRST = "ocenter"


class Mark(Struct, frozen=True, kw_only=True):
    """Who made an object and for whom. ``generation`` is the target's, 0 where none is kept (device profiles)."""

    installation: str
    allocation: str
    marker: str
    generation: int = 0

    def __str__(self) -> str:
        return "/".join((_FIRST, self.installation, self.allocation, self.marker, str(self.generation)))


def of(installation: str, order: Order, generation: int = 0) -> Mark:
    """Return the mark of what is made for an order. Raises Permanent ``invalid`` when its ids do not fit in."""
    mark = Mark(installation=installation, allocation=order.allocation, marker=order.marker, generation=generation)
    if read(str(mark)) != mark:
        raise Permanent(
            "The ids of installation, allocation or order hold a slash or are too long for OpenStack. Nothing was "
            "changed; use ids that ocenter makes.",
            code="invalid",
        )
    return mark


def read(text: str | None) -> Mark | None:
    """Return the mark in a text, or None where there is none of ours."""
    first, *fields = (text or "").split("/")
    if first != _FIRST or len(fields) != 4 or len(text or "") > 255 or not fields[3].isdigit():
        return None
    installation, allocation, marker, generation = fields
    return Mark(installation=installation, allocation=allocation, marker=marker, generation=int(generation))


def consumer(target: Target) -> str:
    """Return the uuid under which Placement and Cyborg know a target: uuid5 of its name in the DNS namespace."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, target.ref))
