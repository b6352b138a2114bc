"""Measures how broken up what is free is, some pools at a time: pages need not read large ones, and days compare."""

from datetime import date, datetime, timedelta
from typing import Any, Final

import msgspec
from django.db import connection

from pools.domain import fragmentation, largest
from pools.domain.candidates import View
from pools.selectors import fragmentation as seen
from pools.selectors import packing
from pools.services import arrays, writing

DEVICES_AT_ONCE: Final = 50_000
AGAIN_AFTER: Final = timedelta(minutes=5)
ROWS_AT_ONCE: Final = 10_000

# Pools and models of which no measurement is of today, or which changed since it, the oldest one first.
_DUE: Final = """
SELECT r.pool_id, r.model_id, m.slug, sum(r.units)::bigint, sum(r.free_milli)::bigint, sum(r.free_whole)::bigint
FROM capacity_rollup r JOIN chip_model m ON m.id = r.model_id JOIN pool p ON p.id = r.pool_id AND p.removed_at IS NULL
    LEFT JOIN LATERAL (
        SELECT day, measured_at, seen_free_milli, seen_free_whole FROM fragmentation_day
        WHERE pool_id = r.pool_id AND model_id = r.model_id ORDER BY day DESC LIMIT 1) last ON true
WHERE r.kind IN ('cards', 'counter') AND r.units > 0
GROUP BY r.pool_id, r.model_id, m.slug, last.day, last.measured_at, last.seen_free_milli, last.seen_free_whole
HAVING last.day IS DISTINCT FROM %(today)s OR (last.measured_at <= %(before)s
    AND (last.seen_free_milli, last.seen_free_whole) IS DISTINCT FROM (sum(r.free_milli), sum(r.free_whole)))
ORDER BY last.measured_at NULLS FIRST, r.pool_id, r.model_id
"""
_STORE: Final = """
INSERT INTO fragmentation_day AS f (pool_id, model_id, day, measured_at, free_milli, unusable_milli, largest,
    seen_free_milli, seen_free_whole)
SELECT pool_id, model_id, %(today)s, %(now)s, free_milli, unusable_milli, largest::jsonb, seen_free_milli,
    seen_free_whole
FROM unnest(%(pools)s::uuid[], %(models)s::uuid[], %(free)s::bigint[], %(unusable)s::bigint[], %(largest)s::text[],
            %(seen_free)s::bigint[], %(seen_whole)s::bigint[])
    new (pool_id, model_id, free_milli, unusable_milli, largest, seen_free_milli, seen_free_whole)
ORDER BY pool_id, model_id
ON CONFLICT (pool_id, model_id, day) DO UPDATE SET measured_at = excluded.measured_at, free_milli = excluded.free_milli,
    unusable_milli = excluded.unusable_milli, largest = excluded.largest, seen_free_milli = excluded.seen_free_milli,
    seen_free_whole = excluded.seen_free_whole
WHERE f.measured_at < excluded.measured_at
"""


def measure(*, now: datetime) -> int:
    """Measure what is due, at least one pool and model and about DEVICES_AT_ONCE devices; return how many pairs.

    Two at once do the same twice and are harmless.
    """
    with connection.cursor() as cursor:
        cursor.execute(_DUE, {"today": now.date(), "before": now - AGAIN_AFTER})
        due: list[Any] = []
        devices = 0
        for row in cursor.fetchall():
            devices += row[3]
            if due and devices > DEVICES_AT_ONCE:
                break
            due.append(row)
    if due:
        _store(_measured(due), now)
    return len(due)


def _measured(due: list[Any]) -> list[tuple[Any, ...]]:
    version, prices = packing.current()
    rows = seen.states([row[0] for row in due], [row[1] for row in due])
    view = View(pools=(), candidates=rows, prices=prices, prices_version=version)
    scores = {(each.pool_id, each.model): each for each in fragmentation.measure(view)}
    shapes: dict[Any, list[largest.Largest]] = {}
    for shape in largest.largest(view):
        shapes.setdefault((shape.pool_id, shape.model), []).append(shape)
    found = []
    for pool_id, model_id, model, _, free_milli, free_whole in due:
        score = scores.get((pool_id, model))
        unusable = None if score is None or not prices.shares else round(score.unusable_milli)
        told = msgspec.json.encode(shapes.get((pool_id, model), ())).decode()
        free = score.free_milli if score else 0
        found.append((pool_id, model_id, free, unusable, told, free_milli, free_whole))
    return found


@writing.transaction
def _store(rows: list[tuple[Any, ...]], now: datetime) -> None:
    names = ("pools", "models", "free", "unusable", "largest", "seen_free", "seen_whole")
    columns = {name: arrays.literal(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    with connection.cursor() as cursor:
        cursor.execute(_STORE, columns | {"today": now.date(), "now": now})


def forget(*, before: date) -> int:
    """Delete days before this one; return how many rows. Short transactions, so that nobody waits for them."""
    count = 0
    with connection.cursor() as cursor:
        while True:
            cursor.execute(
                "DELETE FROM fragmentation_day WHERE ctid = ANY (ARRAY("
                "SELECT ctid FROM fragmentation_day WHERE day < %s LIMIT %s))",
                [before, ROWS_AT_ONCE],
            )
            deleted: int = cursor.rowcount
            count += deleted
            if deleted < ROWS_AT_ONCE:
                return count
