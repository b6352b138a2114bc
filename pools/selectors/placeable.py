"""The pools as placement sees them: which are open, what they cost, who may use them, and what is free in sums."""

import time
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from connectors import catalog
from pools.domain import freshness, targets
from pools.domain.candidates import Form, PoolView
from pools.selectors import prepared

KEPT_SECONDS = 1.0
# Of a row of `pool`: its platform exists in ocenter alone and takes no time, so what was decided is done.
DONE_AT_ONCE: Final = "pool.kind = 'simulated' AND coalesce(pool.settings ->> 'latency_ms', '0') = '0'"

# Of instants the driver takes as long as of all else together, so they come as seconds.
_POOLS: Final = f"""
SELECT pool.id, pool.name, pool.kind, pool.grain, pool.region, pool.labels, pool.state, s.health,
    date_part('epoch', s.observed_at), pool.sync_interval_seconds, pool.mode, {DONE_AT_ONCE},
    coalesce(g.project_ids, '{{}}')
FROM pool JOIN pool_sync s ON s.pool_id = pool.id LEFT JOIN (
    SELECT g.pool_id, array_agg(g.project_id ORDER BY g.project_id)::text AS project_ids
    FROM pool_grant g JOIN project t ON t.id = g.project_id
    WHERE t.state <> 'archived' AND (%(lineage)s::uuid[] IS NULL OR g.project_id = ANY(%(lineage)s::uuid[]))
    GROUP BY g.pool_id
    ) g ON g.pool_id = pool.id
WHERE pool.removed_at IS NULL AND pool.state <> 'registering' ORDER BY pool.name
"""
_ROOM: Final = """
SELECT r.pool_id, r.model_id, m.slug, sum(r.free_milli)::bigint, sum(r.free_whole)::bigint
FROM capacity_rollup r JOIN chip_model m ON m.id = r.model_id
    JOIN pool ON pool.id = r.pool_id AND pool.removed_at IS NULL AND pool.state <> 'registering'
WHERE r.total_milli > 0 GROUP BY r.model_id, r.pool_id, m.slug ORDER BY r.model_id, r.pool_id
"""
_PRICES: Final = """
SELECT DISTINCT ON (p.flavor_id, p.model_id, p.profile, p.pool_id) p.pool_id, f.name, m.slug, p.profile, p.per_hour
FROM price p LEFT JOIN flavor f ON f.id = p.flavor_id LEFT JOIN chip_model m ON m.id = p.model_id
WHERE p.from_at <= %s ORDER BY p.flavor_id, p.model_id, p.profile, p.pool_id, p.from_at DESC
"""


class Room(NamedTuple):
    """What a pool has of a model, and how much of it is free."""

    pool_id: UUID
    model_id: UUID
    model: str
    free_milli: int
    free_whole: int


class Fleet:
    """All pools of one moment, and what each has of which model. Remembers who may use which."""

    def __init__(self, pools: tuple[PoolView, ...], granted: Sequence[frozenset[UUID]], room: Sequence[Room]) -> None:
        """``granted`` are the projects to which each pool was granted, in the order of the pools."""
        self.pools, self.room = pools, room
        self.room_of: dict[str, list[Room]] = {}
        for pair in room:
            self.room_of.setdefault(pair.model, []).append(pair)
        self.models = {model: pairs[0].model_id for model, pairs in self.room_of.items()}
        self._granted = granted
        self._projects = frozenset().union(*set(granted))
        self._usable: dict[tuple[UUID, ...], tuple[PoolView, ...]] = {}
        self._of_lineage: dict[tuple[int, ...], tuple[PoolView, ...]] = {}

    def usable(self, lineage: tuple[UUID, ...]) -> tuple[PoolView, ...]:
        """Return the pools granted to a project or to one above it. Equal ones are the same object."""
        key = tuple([project_id.int for project_id in lineage])  # hashed faster than ids
        known = self._of_lineage.get(key)
        if known is None:
            known = self._of_lineage[key] = self._granted_to(lineage)
        return known

    def _granted_to(self, lineage: tuple[UUID, ...]) -> tuple[PoolView, ...]:
        through = tuple(project_id for project_id in lineage if project_id in self._projects)
        known = self._usable.get(through)
        if known is None:
            may = {granted for granted in set(self._granted) if not granted.isdisjoint(through)}
            found = tuple(pool for pool, granted in zip(self.pools, self._granted, strict=True) if granted in may)
            # By the object batches tell who chooses from one read.
            known = next((other for other in self._usable.values() if other == found), found)
            self._usable[through] = known
        return known


class _Kept:
    """The fleet of a moment ago, for requests that come one after the other."""

    def __init__(self) -> None:
        self.fleet: Fleet | None = None
        self.until = 0.0


_kept = _Kept()


def recent(now: datetime) -> Fleet:
    """Return the pools as they were at most KEPT_SECONDS ago, mostly without a query.

    Whoever is refused on it looks again (``fleet``); what is claimed on it is guarded anew by the write.
    """
    kept = _kept.fleet
    if kept is None or time.monotonic() >= _kept.until:
        kept = _kept.fleet = fleet(now)
        _kept.until = time.monotonic() + KEPT_SECONDS
    return kept


def is_kept(fleet: Fleet) -> bool:
    """Return whether this is the one that may be a moment old."""
    return fleet is _kept.fleet


def fleet(now: datetime, lineage: tuple[UUID, ...] | None = None) -> Fleet:
    """Return the pools that are there. Three queries, whose answers grow with the pools and their models only.

    With a lineage only its grants are read, and ``usable`` is to be asked of it alone.
    """
    with prepared.cursor() as cursor:
        cursor.execute(_PRICES, [now])
        # What holds in all pools first, so that a pool's own goes over it.
        prices = sorted(cursor.fetchall(), key=lambda price: price[0] is not None)
        cursor.execute(_POOLS, {"lineage": None if lineage is None else list(lineage)})
        rows = cursor.fetchall()
        cursor.execute(_ROOM)
        room = [Room(*row) for row in cursor.fetchall()]
    # Most pools are granted to the same projects, which are read once.
    granted = {told: frozenset(_ids(told)) for told in {row[12] for row in rows}}
    return Fleet(
        pools=tuple(_pool(row, prices, now) for row in rows),
        granted=[granted[row[12]] for row in rows],
        room=room,
    )


def _ids(told: str) -> list[UUID]:
    """Return the ids of an array as PostgreSQL tells it."""
    return [UUID(word) for word in told.strip("{}").split(",") if word]


@cache
def _forms(kind: str, mode: str) -> frozenset[Form]:
    return frozenset(targets.mode_of(catalog.manifest(kind), mode).forms)


def _pool(row: Sequence[Any], prices: Collection[Sequence[Any]], now: datetime) -> PoolView:
    pool_id, name, kind, grain, region, labels, state, health, observed, interval, mode, is_at_once, _granted = row
    observed_at = None if observed is None else datetime.fromtimestamp(observed, UTC)
    of_models: dict[tuple[str, str | None], Decimal] = {}
    of_flavors: dict[str, Decimal] = {}
    for of_pool, flavor, model, profile, per_hour in prices:
        if of_pool is None or of_pool == pool_id:
            if flavor is None:
                of_models[model, profile] = per_hour
            else:
                of_flavors[flavor] = per_hour
    return PoolView(
        id=pool_id,
        name=name,
        kind=kind,
        grain=grain,
        region=region,
        labels=msgspec.json.decode(labels),
        is_stale=health == "unknown" or freshness.is_stale(observed_at, interval, now),
        state=state,
        is_done_at_once=is_at_once,
        forms=_forms(kind, mode),
        prices=of_models,
        flavor_prices=of_flavors,
    )
