"""How broken up what is free is, and what still fits in one piece: by pool and model, as a list."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from django.db import connection
from django.db.models import F, Q, QuerySet, Sum
from msgspec import UNSET, UnsetType

from pools.domain import filters, fragmentation, freshness
from pools.domain.access import Access
from pools.domain.candidates import Candidate, Card, View
from pools.domain.fragmentation import Fragmentation
from pools.domain.largest import Largest, largest
from pools.models import CapacityRollup
from pools.selectors import access as rights
from pools.selectors import packing, pages, references
from pools.selectors.pages import Order, Page

LIVE_DEVICES: Final = 10_000  # of one page: so many are read in less than a tenth of a second
TREND_DAYS: Final = 30
FILTERS: Final = {"pool": filters.words, "vendor": filters.words, "model": filters.words}
_BY_POOL_AND_MODEL: Final = Order(("pool_name", "model_slug"), tuple[str, str])
_COLUMNS: Final = {
    "pool_name": F("pool__name"),
    "model_slug": F("model__slug"),
    "vendor": F("model__vendor"),
    "state": F("pool__state"),
    "health": F("pool__sync__health"),
    "observed_at": F("pool__sync__observed_at"),
    "interval": F("pool__sync_interval_seconds"),
}
# The nodes of these pools and models by what is free on them, and how many are in each state. Link groups are numbered
# by where they begin, so that nodes whose groups only have other names are in one state.
_STATES: Final = """
SELECT (array_agg(c.id))[1], c.pool_id, (array_agg(c.node_id))[1], c.kind, m.slug, c.profile, c.unit_milli,
    coalesce(h.free_milli, 0), coalesce(h.free_mib, 0), n.region, n.zone, n.rack, free.cards, count(*)
FROM unnest(%s::uuid[], %s::uuid[]) p (pool_id, model_id)
    JOIN capacity c ON c.pool_id = p.pool_id AND c.model_id = p.model_id JOIN chip_model m ON m.id = p.model_id
    JOIN LATERAL (SELECT topology ->> 'region', topology ->> 'zone', topology ->> 'rack' FROM node
        WHERE id = c.node_id OFFSET 0) n (region, zone, rack) ON true
    LEFT JOIN capacity h ON h.pool_id = c.pool_id AND h.node_id = c.node_id AND h.kind = 'host'
    CROSS JOIN LATERAL (
        SELECT array_agg(ARRAY[free_milli, greatest(free_mib, 0), total_milli, total_mib, link_group]
            ORDER BY link_group, free_milli DESC, free_mib DESC, total_milli, total_mib) AS cards
        FROM unnest(c.pos_total_milli, c.pos_claimed_milli, c.pos_held_milli, c.pos_shadow_milli, c.pos_faulty_milli,
            c.pos_total_mib, c.pos_claimed_mib, c.pos_held_mib, c.pos_shadow_mib, c.pos_faulty_mib, c.pos_link_group)
            p (total_milli, claimed, held, shadow, faulty, total_mib, claimed_mib, held_mib, shadow_mib, faulty_mib,
            name), LATERAL (SELECT total_milli - claimed - held - shadow - faulty,
            total_mib - claimed_mib - held_mib - shadow_mib - faulty_mib,
            CASE WHEN name <> '' THEN array_position(c.pos_link_group, name) ELSE 0 END
            ) x (free_milli, free_mib, link_group)
        WHERE free_milli > 0) free
WHERE c.free_milli > 0 AND c.node_id IS NOT NULL GROUP BY c.pool_id, c.kind, m.slug, c.profile, c.unit_milli, 8, 9,
    n.region, n.zone, n.rack, free.cards
"""


# The last row of each pair has its shapes; of the days before only the score is told.
_TREND: Final = """
SELECT f.pool_id, f.model_id, f.day, f.measured_at, f.free_milli, f.unusable_milli,
    CASE WHEN lead(f.day) OVER (PARTITION BY f.pool_id, f.model_id ORDER BY f.day) IS NULL THEN f.largest::text END
FROM unnest(%s::uuid[], %s::uuid[]) p (pool_id, model_id)
    JOIN fragmentation_day f ON f.pool_id = p.pool_id AND f.model_id = p.model_id AND f.day > %s
ORDER BY f.pool_id, f.model_id, f.day
"""


class _Day(NamedTuple):
    """What was measured last on a day."""

    day: date
    measured_at: datetime
    free_milli: int
    unusable_milli: int | None
    largest: list[Largest]

    @property
    def score(self) -> float | None:
        if self.unusable_milli is None:
            return None
        return round(self.unusable_milli / self.free_milli, 4) if self.free_milli else 0.0


class LargestShape(msgspec.Struct, frozen=True, kw_only=True):
    """Of members with so many whole devices each, how many fit now: in all of the pool, in the best rack, and how many
    with their devices in one link group. Null where the pool tells of no racks or link groups.
    """

    devices_per_member: int
    members: int
    members_in_one_rack: int | None
    members_in_link_groups: int | None


class TrendDay(msgspec.Struct, frozen=True, kw_only=True):
    """The score of one day (UTC), as it was measured last; null where nothing had been asked for before."""

    day: date
    score: float | None


class FragmentationRow(msgspec.Struct, frozen=True, kw_only=True):
    """How broken up what a pool has free of a model is, and the most that still fits in one piece.

    ``score`` is the expected part of what is free that a request cannot use, from 0 to 1, by what was asked for here
    lately; null before anything was, and where no node is known. ``unusable_milli`` is that part of ``free_milli``.
    ``largest`` counts devices only, not CPU or memory of hosts, and is empty while the pool takes no requests
    (``is_open`` false). ``measured_at`` is null where all of it was read just now; of large pools it was some minutes
    ago. ``trend`` has the score of each of the last days. People of projects are told of their pools what fits, as
    what-if does, and not the sums.
    """

    pool: str
    pool_id: UUID
    model: str
    vendor: str
    is_open: bool
    largest: list[LargestShape]
    measured_at: datetime | None = None
    score: float | UnsetType | None = UNSET
    free_milli: int | UnsetType = UNSET
    unusable_milli: int | UnsetType | None = UNSET
    trend: list[TrendDay] | UnsetType = UNSET


def page(
    *, params: Mapping[str, str], cursor: str | None, limit: int, access: Access, now: datetime
) -> Page[FragmentationRow]:
    """Return each pool and model that one may know of, by name. Four queries, more for names in filters.

    One of them reads the nodes of small pools; of large ones it is told what was measured last. Raises Invalid.
    """
    found = pages.cut(_pairs(params, access), _BY_POOL_AND_MODEL, cursor, limit)
    version, prices = packing.current()
    days = _days(found.rows, now)
    live = _live(found.rows, {key: of_pair[-1] for key, of_pair in days.items()})
    rows = states([pair["pool_id"] for pair in live], [pair["model_id"] for pair in live])
    view = View(pools=(), candidates=rows, prices=prices, prices_version=version)
    measured = {(each.pool_id, each.model): each for each in fragmentation.measure(view)}
    shapes: dict[tuple[UUID, str], list[Largest]] = defaultdict(list)
    for shape in largest(view):
        shapes[shape.pool_id, shape.model].append(shape)
    read = {(pair["pool_id"], pair["model_slug"]) for pair in live}
    is_told, is_known = access.everywhere("pool", "read"), bool(prices.shares)

    def row(pair: Mapping[str, Any]) -> FragmentationRow:
        key = pair["pool_id"], pair["model_slug"]
        is_open, given_milli = _is_open(pair, now), pair["given_milli"] or 0
        of_pair = days.get((pair["pool_id"], pair["model_id"]), [])
        last = None if key in read else of_pair[-1]
        largest_known = shapes[key] if last is None else last.largest
        fitting = [_shape(each, given_milli) for each in largest_known] if is_open else []
        sums = _sums(measured.get(key), is_known) if last is None else _stored(last)
        return FragmentationRow(
            pool=pair["pool_name"],
            pool_id=pair["pool_id"],
            model=pair["model_slug"],
            vendor=pair["vendor"],
            is_open=is_open,
            largest=[each for each in fitting if each.members],
            measured_at=None if last is None else last.measured_at,
            **(sums | {"trend": [TrendDay(day=each.day, score=each.score) for each in of_pair]} if is_told else {}),
        )

    return pages.mapped(found, row)


def _pairs(params: Mapping[str, str], access: Access) -> QuerySet[Any, Any]:
    wanted = filters.read(params, FILTERS)
    query = CapacityRollup.objects.filter(
        Q(units__gt=0) | Q(claimed_milli__gt=0) | Q(held_milli__gt=0),
        rights.pools(access, column="pool"),
        kind__in=("cards", "counter"),
        model__isnull=False,
        pool__removed_at=None,
    )
    if "pool" in wanted:
        query = query.filter(pool__in=references.pool_ids(wanted["pool"], access))
    if "vendor" in wanted or "model" in wanted:
        query = query.filter(model__in=references.models_of(wanted.get("vendor"), wanted.get("model")))
    # What a pool promises only as a whole is claimed from its own counter, of which its nodes learn later.
    given = Sum("free_milli", filter=Q(is_advisory=False, profile=None))
    pairs: QuerySet[Any, Any] = query.values("pool_id", "model_id", **_COLUMNS).annotate(
        given_milli=given, units=Sum("units")
    )
    return pairs


def states(pool_ids: Sequence[UUID], model_ids: Sequence[UUID]) -> tuple[Candidate, ...]:
    """Return one row for each state that nodes of these pairs of pool and model are in. One query, which reads all."""
    if not pool_ids:
        return ()
    with connection.cursor() as cursor:
        cursor.execute(_STATES, [list(pool_ids), list(model_ids)])
        return tuple([_candidate(row) for row in cursor.fetchall()])


def _candidate(row: Sequence[Any]) -> Candidate:
    (
        capacity_id, pool_id, node_id, kind, model, profile, unit_milli, cpu_free_milli, memory_free_mib, region, zone,
        rack, cards, alike,
    ) = row  # fmt: skip
    named = {"region": region, "zone": zone, "rack": rack}
    return Candidate(
        capacity_id=capacity_id,
        pool_id=pool_id,
        node_id=node_id,
        kind=kind,
        model=model,
        profile=profile,
        unit_milli=unit_milli,
        cards=tuple([_card(number, *card) for number, card in enumerate(cards or (), start=1)]),
        cpu_free_milli=cpu_free_milli,
        memory_free_mib=memory_free_mib,
        domains={level: name for level, name in named.items() if name is not None},
        alike=alike,
    )


def _card(position: int, free_milli: int, free_mib: int, total_milli: int, total_mib: int, group: int) -> Card:
    return Card(position, free_milli, free_mib, total_milli, total_mib, str(group) if group else "")


def _is_open(pair: Mapping[str, Any], now: datetime) -> bool:
    is_stale = pair["health"] == "unknown" or freshness.is_stale(pair["observed_at"], pair["interval"], now)
    return pair["state"] == "active" and not is_stale


def _shape(found: Largest, given_milli: int) -> LargestShape:
    """Return a shape as far as the pool has so much to give."""
    most = given_milli // (1000 * found.devices_per_member)

    def at_most(members: int | None) -> int | None:
        return None if members is None else min(members, most)

    return LargestShape(
        devices_per_member=found.devices_per_member,
        members=min(found.members, most),
        members_in_one_rack=at_most(found.members_in_one_rack),
        members_in_link_groups=at_most(found.members_in_link_groups),
    )


def _days(pairs: Collection[Mapping[str, Any]], now: datetime) -> dict[tuple[UUID, UUID], list[_Day]]:
    """Return what was measured on the last days by pool and model, the oldest first. One query."""
    found: dict[tuple[UUID, UUID], list[_Day]] = defaultdict(list)
    with connection.cursor() as cursor:
        params = [pair["pool_id"] for pair in pairs], [pair["model_id"] for pair in pairs]
        cursor.execute(_TREND, [*params, (now - timedelta(days=TREND_DAYS)).date()])
        for pool_id, model_id, day, measured_at, free_milli, unusable_milli, shapes in cursor.fetchall():
            known = msgspec.json.decode(shapes, type=list[Largest]) if shapes else []
            found[pool_id, model_id].append(_Day(day, measured_at, free_milli, unusable_milli, known))
    return found


def _live(pairs: Collection[Mapping[str, Any]], measured: Mapping[tuple[UUID, UUID], _Day]) -> list[Mapping[str, Any]]:
    """Return the pairs to read now: those that were never measured, and of the others the small ones."""
    live, devices = [], 0
    for pair in sorted(pairs, key=lambda pair: (pair["units"] or 0, str(pair["pool_id"]))):
        devices += pair["units"] or 0
        if devices <= LIVE_DEVICES or (pair["pool_id"], pair["model_id"]) not in measured:
            live.append(pair)
    return live


def _stored(last: _Day) -> dict[str, Any]:
    return {"score": last.score, "free_milli": last.free_milli, "unusable_milli": last.unusable_milli}


def _sums(found: Fragmentation | None, is_known: bool) -> dict[str, Any]:
    if found is None:
        return {"score": None, "free_milli": 0, "unusable_milli": None}
    return {
        "score": round(found.score, 4) if is_known else None,
        "free_milli": found.free_milli,
        "unusable_milli": round(found.unusable_milli) if is_known else None,
    }
