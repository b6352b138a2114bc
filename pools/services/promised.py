"""What allocations were promised and claim now, in the caller's transaction: let go for that, or promised again."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from django.db import connection

from pools.services import bookings
from pools.services.asked import Planned
from pools.services.bookings import Booked


def let_go(allocation_ids: Sequence[UUID]) -> list[Booked]:
    """Let bookings go whose claims are made in their place: nothing is counted twice, and nobody else comes between."""
    if not allocation_ids:
        return []
    with connection.cursor() as cursor:
        return bookings.drop(cursor, allocation_ids)


def kept(
    planned: Sequence[tuple[Planned, datetime | None]], let_go: Sequence[Booked], now: datetime
) -> Collection[UUID]:
    """Return who claims what it was promised and leaves others what they were, at each instant until its end.

    What others booked of the same positions was seen when all of it was booked. The guard of claims knows only the peak
    of that, which may come when this one is long over.
    """
    if len(planned) > 1:
        return ()  # of several at once one may take what another one keeps
    ((each, end_at),) = planned
    wanted = bookings.of(each.asked.id, each.decision, (now, end_at))
    # The rows that were let go are locked already.
    if {row.capacity_id for row in wanted} - {row.capacity_id for row in let_go}:
        return ()
    with connection.cursor() as cursor:
        return () if bookings.guard(cursor, wanted, now=now) else (each.asked.id,)


def again(let_go: Sequence[Booked], got: Collection[UUID]) -> None:
    """Promise again what was let go, but to those who got what they asked for."""
    if left := [each for each in let_go if each.allocation_id not in got]:
        with connection.cursor() as cursor:
            bookings.make(cursor, left)
