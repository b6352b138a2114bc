"""What pack learns: how often each kind of request comes, and what room is worth because of it."""

import threading
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Final

import msgspec
from django.db import connection

from pools.domain.packing import Prices
from pools.domain.shapes import NodeState, Shape
from pools.selectors import packing
from pools.services import writing

CHANGED_SHARE: Final = 0.05
KEPT: Final = timedelta(days=30)
_STORED_EVERY: Final = timedelta(seconds=5)
_ROWS_MOST: Final = 20_000
_SHUFFLES: Final = 2**31 - 1

_STORE: Final = """
INSERT INTO request_kind AS k (key, shape, asked, last_asked_at)
SELECT key, shape::jsonb, asked, %(now)s FROM unnest(%(keys)s::bigint[], %(shapes)s::text[], %(counts)s::bigint[])
    noted (key, shape, asked) ORDER BY key
ON CONFLICT (key) DO UPDATE SET asked = k.asked + excluded.asked, last_asked_at = excluded.last_asked_at
"""
_SUMS: Final = """
SELECT coalesce(sum(total_milli), 0)::bigint, coalesce(sum(free_milli), 0)::bigint
FROM capacity_rollup WHERE kind <> 'host' AND NOT is_advisory
"""
# The states of nodes and how many are in each. Of a large fleet a part taken by chance, counted as if it were all.
_STATES: Final = """
SELECT coalesce(h.free_milli, 0), coalesce(h.free_mib, 0), m.slug, free.parts, count(*)
FROM capacity c JOIN chip_model m ON m.id = c.model_id
    LEFT JOIN capacity h ON h.pool_id = c.pool_id AND h.node_id = c.node_id AND h.kind = 'host'
    CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(part ORDER BY part DESC), '{}') AS parts
        FROM unnest(c.pos_total_milli, c.pos_claimed_milli, c.pos_held_milli, c.pos_shadow_milli, c.pos_faulty_milli)
            p (total, claimed, held, shadow, faulty), LATERAL (SELECT total - claimed - held - shadow - faulty) x (part)
        WHERE part > 0) free
WHERE c.kind = 'cards' AND c.node_id IS NOT NULL AND c.free_milli > 0 AND c.shuffle <= %s
GROUP BY 1, 2, 3, 4
"""


class _Noted:
    """Kinds that came since the last time they were stored. Losing some in a crash changes no price to speak of."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[Shape] = Counter()
        self._stored_at: datetime | None = None

    def add(self, counts: Mapping[Shape, int], now: datetime) -> Counter[Shape]:
        """Count them. Return all that is to be stored now, mostly nothing."""
        with self._lock:
            self._counts.update({shape: count for shape, count in counts.items() if shape.devices})
            if self._stored_at is not None and self._stored_at <= now < self._stored_at + _STORED_EVERY:
                return Counter()
            due, self._counts, self._stored_at = self._counts, Counter(), now
            return due


_noted = _Noted()


def note(counts: Mapping[Shape, int], *, now: datetime) -> None:
    """Count requests by kind, refused ones too. Stored every few seconds, so that no claim waits for a count."""
    due = _noted.add(counts, now)
    if due:
        _store(due, now)


@writing.transaction
def _store(counts: Counter[Shape], now: datetime) -> None:
    texts = {shape: packing.shape_text(shape) for shape in counts}
    params: dict[str, Any] = {
        "now": now,
        "keys": [_key(text) for text in texts.values()],
        "shapes": list(texts.values()),
        "counts": [counts[shape] for shape in texts],
    }
    with connection.cursor() as cursor:
        cursor.execute(_STORE, params)


def _key(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


def renew(*, now: datetime) -> int | None:
    """Make new prices when enough capacity has changed since the last ones; return their version, None: not due."""
    with connection.cursor() as cursor:
        cursor.execute(_SUMS)
        total, free = cursor.fetchone()
        cursor.execute("SELECT total_milli, free_milli FROM packing_prices ORDER BY version DESC LIMIT 1")
        last = cursor.fetchone()
        if last is not None and abs(total - last[0]) + abs(free - last[1]) <= CHANGED_SHARE * max(total, 1):
            return None
        cursor.execute("SELECT shape::text, asked FROM request_kind WHERE last_asked_at > %s", [now - KEPT])
        mix = {msgspec.json.decode(text, type=Shape): asked for text, asked in cursor.fetchall()}
    return _renew(mix, total, free, now) if mix else None


@writing.transaction
def _renew(mix: dict[Shape, int], total_milli: int, free_milli: int, now: datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM (SELECT FROM capacity WHERE kind = 'cards' AND free_milli > 0) free")
        stride = -(-cursor.fetchone()[0] // _ROWS_MOST) or 1
        cursor.execute(_STATES, [_SHUFFLES // stride])
        fleet = {
            NodeState(cpu, memory, model, tuple(parts)): count * stride
            for cpu, memory, model, parts, count in cursor.fetchall()
        }
        cursor.execute(
            "INSERT INTO packing_prices (weights, total_milli, free_milli, made_at) VALUES (%s, %s, %s, %s)"
            " RETURNING version",
            [packing.stored(Prices(mix, fleet)), total_milli, free_milli, now],
        )
        return int(cursor.fetchone()[0])
