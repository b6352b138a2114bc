"""The time of a lease: how long it can last beside what was promised to others, and word of its end before it comes."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection

from pools.domain import profiles, windows
from pools.domain.access import Access
from pools.domain.actors import SYSTEM
from pools.domain.chips import Entry
from pools.domain.errors import FieldError, LeaseBooked
from pools.domain.profiles import Piece
from pools.selectors import booked
from pools.selectors.booked import Use
from pools.services import models, sql, writing

AT_ONCE: Final = 500
_TOLD_MOST: Final = 10

# What is out of reach of a position counts as far as claims leave it (capacity_derive).
_HELD: Final = """
SELECT l.capacity_id, at.position, c.pos_total_milli[at.position] - least(
    c.pos_shadow_milli[at.position] + c.pos_faulty_milli[at.position],
    greatest(c.pos_total_milli[at.position] - c.pos_claimed_milli[at.position] - c.pos_held_milli[at.position], 0)),
    c.pos_total_mib[at.position] - least(c.pos_shadow_mib[at.position] + c.pos_faulty_mib[at.position],
    greatest(c.pos_total_mib[at.position] - c.pos_claimed_mib[at.position] - c.pos_held_mib[at.position], 0))
FROM claim l JOIN capacity c ON c.id = l.capacity_id CROSS JOIN LATERAL unnest(l.positions) at (position)
WHERE l.allocation_id = %s AND l.released_at IS NULL
"""
_LOCK: Final = """
SELECT id FROM capacity WHERE id IN (SELECT capacity_id FROM claim WHERE allocation_id = %s AND released_at IS NULL)
ORDER BY id FOR NO KEY UPDATE
"""
_NAMES: Final = """
SELECT a.id, a.name, p.path, p.lineage, (SELECT min(b.start_at) FROM booking b WHERE b.allocation_id = a.id)
FROM allocation a JOIN project p ON p.id = a.project_id WHERE a.id = ANY(%s) ORDER BY 5, a.id LIMIT %s
"""


def guard(
    cursor: Any, allocation_id: UUID, *, start_at: datetime, end_at: datetime, access: Access, now: datetime
) -> None:
    """Lock what an allocation has, and see to it that it can have it for so long, in the caller's transaction.

    Raises LeaseBooked, which names what is booked to those who may see it.
    """
    cursor.execute(_LOCK, [allocation_id])
    cursor.execute(_HELD, [allocation_id])
    held = cursor.fetchall()
    rows = {row[0] for row in held}
    uses = booked.uses(rows, now=now)
    entries = _entries(rows) if any(use.pieces for there in uses.values() for use in there if use.is_booked) else {}
    full: list[datetime] = []
    others: set[UUID] = set()
    for row, position, room_milli, room_mib in held:
        there = uses[row, position]
        # The claim itself lasts, so it counts beyond the end that it has now.
        spans = [use.span._replace(end_at=None) if use.allocation_id == allocation_id else use.span for use in there]
        full_at = windows.full_at(spans, now, end_at, room_milli, room_mib)
        own = [piece for use in there if use.allocation_id == allocation_id for piece in use.pieces]
        cut_at = _cut_at(own, [use for use in there if use.is_booked], now, end_at, entries.get(row))
        at = min((at for at in (full_at, cut_at) if at is not None), default=None)
        in_the_way = {use.allocation_id for use in there if use.is_booked and at and use.span.meets(at, end_at)}
        if at is not None and in_the_way:
            full.append(at)
            others |= in_the_way
    if full:
        until_at = min(full)
        raise _booked(cursor, others, until_at, max(int((until_at - start_at).total_seconds()), 0), access)


def _entries(rows: Collection[UUID]) -> dict[UUID, Entry]:
    chips = models.current().by_slug
    return {row: chips[model] for row, model in booked.models(rows).items() if model in chips}


def _cut_at(
    own: Sequence[Piece], others: Iterable[Use], now: datetime, end_at: datetime, entry: Entry | None
) -> datetime | None:
    """Return from when on somebody booked the place of the own pieces, or pieces of a card that is not in pieces."""
    starts = [
        max(use.span.start_at or now, now)
        for use in others
        if use.span.meets(now, end_at)
        and (own or use.pieces)
        and not (own and use.pieces and profiles.lie_together(entry, own, use.pieces))
    ]
    return min(starts, default=None)


def notice_at(end_at: datetime | None, notice_seconds: int) -> datetime | None:
    """Return when to tell of the end of a lease, None where nobody asked to be told."""
    return end_at - timedelta(seconds=notice_seconds) if end_at is not None and notice_seconds else None


def _booked(cursor: Any, others: set[UUID], until_at: datetime, lease_seconds: int, access: Access) -> LeaseBooked:
    cursor.execute(_NAMES, [list(others), _TOLD_MOST])
    fields = []
    for id, name, path, lineage, start_at in cursor.fetchall():
        whose = f" for {name or id} of {path}" if access.within("allocation", "read", lineage) else ""
        fields.append(FieldError("lease_seconds", "booked", f"Booked from {_text(start_at)} on{whose}."))
    return LeaseBooked(until_at=_text(until_at), lease_seconds=lease_seconds, fields=tuple(dict.fromkeys(fields)))


def _text(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


@writing.transaction
def tell_ends(*, now: datetime) -> int:
    """Tell of leases that end soon, each end once however often this runs; return how many. Some hundred at once."""
    with connection.cursor() as cursor:
        sql.run(cursor, "lease_ends_soon", {"now": now, "actor": SYSTEM.name, "most": AT_ONCE})
        return int(cursor.rowcount)
