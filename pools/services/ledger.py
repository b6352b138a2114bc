"""The ledger follows the price list: from the instant of a new price on, what is held is told at the new rate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db import connection

from pools.domain import choices, prices, states
from pools.domain.candidates import Form, PoolView
from pools.domain.chips import Entry
from pools.domain.request import Wanted
from pools.selectors import placeable
from pools.services import models, writing

# A claim that was planned just before a price began is committed by then.
FOLLOWED_AFTER: Final = timedelta(seconds=5)

_NEXT: Final = """
SELECT p.id, p.from_at, p.pool_id, p.model_id, f.name
FROM price p LEFT JOIN flavor f ON f.id = p.flavor_id
WHERE p.followed_at IS NULL AND p.from_at <= %s
ORDER BY p.from_at, p.id LIMIT 1 FOR UPDATE OF p SKIP LOCKED
"""
_HOLDERS: Final = """
SELECT a.id, a.pool_id, m.slug, a.profile, a.spec::text, a.price_per_hour
FROM allocation a LEFT JOIN chip_model m ON m.id = a.model_id
WHERE a.state = ANY(%(states)s) AND (%(pool)s::uuid IS NULL OR a.pool_id = %(pool)s::uuid)
    AND (a.model_id = %(model)s::uuid OR a.spec ->> 'flavor' = %(flavor)s)
ORDER BY a.id FOR NO KEY UPDATE OF a
"""
# What is open of devices goes on at another rate, at the earliest where it began.
_SPLIT: Final = """
WITH last AS (
    SELECT DISTINCT ON (allocation_id, member_index, capacity_id, kind) *
    FROM ledger_event WHERE allocation_id = ANY(%(ids)s::uuid[])
    ORDER BY allocation_id, member_index, capacity_id, kind, id DESC)
INSERT INTO ledger_event (at, pool_id, capacity_id, kind, milli, allocation_id, member_index, project_id, positions,
                          certainty, price_per_hour)
SELECT greatest(%(at)s, l.at), l.pool_id, l.capacity_id, l.kind, l.milli, l.allocation_id, l.member_index, l.project_id,
       l.positions, l.certainty, n.price / a.members
FROM last l JOIN unnest(%(ids)s::uuid[], %(prices)s::numeric[]) n (id, price) ON n.id = l.allocation_id
    JOIN allocation a ON a.id = l.allocation_id JOIN capacity c ON c.id = l.capacity_id
WHERE l.milli > 0 AND c.kind <> 'host'
"""
_NOTE: Final = """
UPDATE allocation a SET price_per_hour = n.price
FROM unnest(%(ids)s::uuid[], %(prices)s::numeric[]) n (id, price) WHERE a.id = n.id
"""


@dataclass(frozen=True, slots=True)
class _Price:
    id: UUID
    from_at: datetime
    pool_id: UUID | None
    model_id: UUID | None
    flavor: str | None


def follow_prices(*, now: datetime) -> int:
    """Split what is held at the instants of prices that began since; return how many prices were followed."""
    count = 0
    while _follow(now):
        count += 1
    return count


@writing.transaction
def _follow(now: datetime) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_NEXT, [now - FOLLOWED_AFTER])
        if (found := cursor.fetchone()) is None:
            return False
        price = _Price(*found)
        scope: dict[str, Any] = {"pool": price.pool_id, "model": price.model_id, "flavor": price.flavor}
        cursor.execute(_HOLDERS, {**scope, "states": list(states.ALLOCATION_HOLDING)})
        changed = _changed(cursor.fetchall(), price.from_at)
        if changed:
            columns: dict[str, Any] = {"ids": list(changed), "prices": list(changed.values())}
            cursor.execute(_SPLIT, {**columns, "at": price.from_at})
            cursor.execute(_NOTE, columns)
        cursor.execute("UPDATE price SET followed_at = %s WHERE id = %s", [now, price.id])
    return True


def _changed(holders: Sequence[Sequence[Any]], at: datetime) -> dict[UUID, Decimal]:
    """Return the price of all members, as of that instant, of those for whom it is another than before."""
    pools = {pool.id: pool for pool in placeable.fleet(at).pools} if holders else {}
    found = {}
    for allocation_id, pool_id, model, profile, spec, before in holders:
        wanted = msgspec.json.decode(spec, type=Wanted)
        price = _price(wanted, pools[pool_id], model or "", profile or "", models.current().by_slug)
        if price is not None and price != before:
            found[allocation_id] = price
    return found


def _price(wanted: Wanted, pool: PoolView, model: str, profile: str, chips: Mapping[str, Entry]) -> Decimal | None:
    form: Form = "profile" if profile else "share" if wanted.share else "whole" if wanted.devices_per_member else "cpu"
    need = choices.need(wanted, form, profile, chips.get(model), has_bookings=False)
    each = prices.per_member(pool, wanted.flavor, model, need)
    return None if each is None else each * wanted.members
