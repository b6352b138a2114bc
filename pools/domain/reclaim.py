"""Who gives back first when somebody wants what others have borrowed of a quota."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Holding:
    """A live allocation. ``borrowed_milli`` is what its project's row uses beyond its nominal, ``weight`` the row's."""

    allocation_id: UUID
    is_borrowed: bool
    priority: int
    created_at: datetime
    borrowed_milli: int
    weight: int


def order(holdings: Iterable[Holding]) -> list[Holding]:
    """Return those that can be reclaimed, the first to go first. Whoever stays within the nominal gives nothing back.

    The lowest priority goes first; among equals that of the project which has borrowed most for its weight, as in
    Kueue's fair sharing; of one project the youngest, which has done the least work.
    """
    borrowed = (holding for holding in holdings if holding.is_borrowed)
    return sorted(
        borrowed,
        key=lambda each: (
            each.priority,
            -each.borrowed_milli / each.weight,
            -each.created_at.timestamp(),
            each.allocation_id,
        ),
    )
