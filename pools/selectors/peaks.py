"""How full pools will be: by pool and model, the most that is taken together in each interval of a window."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db import connection
from msgspec import UNSET, UnsetType

from pools.domain import filters, windows
from pools.domain.access import Access
from pools.domain.errors import FieldError, Invalid
from pools.domain.windows import Span
from pools.models import Pool
from pools.selectors import access as rights
from pools.selectors import calendar, pages, references
from pools.selectors.pages import Page

FILTERS: Final = {
    "from": filters.instant,
    "to": filters.instant,
    "pool": filters.words,
    "model": filters.words,
    "step_seconds": filters.phrase,
}
DAY: Final = 86_400
STEPS_MOST: Final = 400

_IN_ORDER: Final = pages.Order(("pool", "model"), tuple[str, str])
_LANES: Final = """
SELECT p.id, p.name, m.id, m.slug, sum(r.total_milli - r.shadow_milli - r.faulty_milli)
FROM capacity_rollup r JOIN pool p ON p.id = r.pool_id JOIN chip_model m ON m.id = r.model_id
WHERE p.removed_at IS NULL AND r.kind IN ('cards', 'counter') AND NOT r.is_advisory AND p.id = ANY(%(pools)s)
    AND (%(models)s::uuid[] IS NULL OR m.id = ANY(%(models)s))
    AND (r.units > 0 OR r.claimed_milli > 0 OR r.held_milli > 0)
    AND (%(after)s::text IS NULL OR (p.name, m.slug) > (%(after)s, %(after_model)s))
GROUP BY p.id, p.name, m.id, m.slug ORDER BY p.name, m.slug LIMIT %(limit)s
"""
# What should have ended is on until somebody knows that it has.
_SPANS: Final = """
SELECT a.pool_id, a.model_id, CASE WHEN a.state = 'scheduled' THEN a.start_at END,
    CASE WHEN a.state = 'held' THEN a.held_until_at WHEN a.end_at > %(now)s THEN a.end_at END, a.milli,
    a.state = 'scheduled', %(projects)s::uuid[] IS NULL OR a.project_id = ANY(%(projects)s)
FROM allocation a
WHERE a.state IN ('held', 'claimed', 'binding', 'active', 'needs_attention', 'releasing', 'scheduled')
    AND a.pool_id = ANY(%(lanes)s)
UNION ALL
SELECT c.pool_id, c.model_id, b.start_at, b.end_at, b.milli, true,
    %(projects)s::uuid[] IS NULL OR a.project_id = ANY(%(projects)s)
FROM booking b JOIN capacity c ON c.id = b.capacity_id AND c.kind <> 'host' AND c.pool_id = ANY(%(lanes)s)
    JOIN allocation a ON a.id = b.allocation_id AND a.state = 'queued'
"""


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """The most that is taken together at an instant of [from, to), and of it what is booked.

    ``is_full``: all that is in reach. ``is_conflict``: more is promised than is in reach. ``own_milli`` is what one's
    projects have of it; people of projects are told of others only whether it is full.
    """

    from_at: datetime
    to_at: datetime
    is_full: bool
    own_milli: int
    is_conflict: bool | UnsetType = UNSET
    peak_milli: int | UnsetType = UNSET
    booked_milli: int | UnsetType = UNSET


class LaneRow(msgspec.Struct, frozen=True, kw_only=True):
    """A pool and model. ``reach_milli`` is what it has without what is faulty or used by others now."""

    pool: str
    model: str
    intervals: list[Interval]
    reach_milli: int | UnsetType = UNSET


def page(*, params: Mapping[str, str], cursor: str | None, limit: int, access: Access, now: datetime) -> Page[LaneRow]:
    """Return pools and models by name, with their intervals between two instants. Raises Invalid.

    Three queries, more for names in filters; their cost grows with what is on in the pools of the page.
    """
    wanted = filters.read(params, FILTERS)
    steps = _steps(*calendar.window(wanted, now), wanted.get("step_seconds"))
    after = pages.decode(cursor, _IN_ORDER) if cursor else (None, None)
    pools = Pool.objects.filter(rights.pools(access), removed_at=None)
    if "pool" in wanted:
        pools = pools.filter(pk__in=references.pool_ids(wanted["pool"], access))
    models = references.model_ids(wanted["model"]) if "model" in wanted else None
    with connection.cursor() as read:
        read.execute(
            _LANES,
            {
                "pools": list(pools.values_list("pk", flat=True)),
                "models": models,
                "after": after[0],
                "after_model": after[1],
                "limit": limit + 1,
            },
        )
        lanes = read.fetchall()
        seen = {"projects": calendar.seen_projects(access), "now": now, "lanes": list({lane[0] for lane in lanes})}
        read.execute(_SPANS, seen)
        spans = _by_lane(read.fetchall())
    sees_sums = access.everywhere("pool", "read")
    rows = [_lane(lane, spans[lane[0], lane[2]], steps, sees_sums) for lane in lanes[:limit]]
    return Page(rows, pages.encode([rows[-1].pool, rows[-1].model]) if len(lanes) > limit else None)


def _steps(from_at: datetime, to_at: datetime, text: str | None) -> list[tuple[datetime, datetime]]:
    """Return the intervals of a window: of a day each, or of so many seconds."""
    seconds = DAY if text is None else int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
    count = -(-int((to_at - from_at).total_seconds()) // seconds) if seconds else 0
    if not 1 <= count <= STEPS_MOST:
        detail = f"A whole number of seconds is needed that makes at most {STEPS_MOST} intervals."
        raise Invalid(fields=(FieldError("step_seconds", "bad_value", detail),))
    starts = [from_at + timedelta(seconds=seconds * step) for step in range(count)]
    return list(zip(starts, [*starts[1:], to_at], strict=True))


Spans = list[tuple[Span, tuple[bool, bool, bool]]]


def _by_lane(found: Sequence[tuple[Any, ...]]) -> defaultdict[tuple[UUID, UUID], Spans]:
    """Return by pool and model each span, and that it counts, whether it is booked, and whether it is one's own."""
    spans: defaultdict[tuple[UUID, UUID], Spans] = defaultdict(list)
    for pool_id, model_id, start_at, end_at, milli, is_booked, is_own in found:
        spans[pool_id, model_id].append((Span(start_at, end_at, milli), (True, is_booked, is_own)))
    return spans


def _lane(lane: tuple[Any, ...], spans: Spans, steps: Sequence[tuple[datetime, datetime]], sees_sums: bool) -> LaneRow:
    _, pool, _, model, reach = lane
    intervals = []
    for step, (peak, booked, own) in zip(steps, windows.peaks(spans, steps, 3), strict=True):
        told: dict[str, Any] = {}
        if sees_sums:
            told = {"peak_milli": peak, "booked_milli": booked, "is_conflict": peak > reach}
        intervals.append(Interval(from_at=step[0], to_at=step[1], is_full=peak >= reach, own_milli=own, **told))
    return LaneRow(pool=pool, model=model, intervals=intervals, reach_milli=int(reach) if sees_sums else UNSET)
