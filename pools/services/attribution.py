"""Whose the observed use is: by our marker a claim's own, which lowers nothing twice; all the rest is shadow use.

A claim explains use while it lives, and until the first complete observation that began after it was given back: the
platform confirmed that before, so what is still there then is an orphan's. What the recorded use means can therefore
change though nobody tells of it any more; ``stale`` finds where.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from django.db import connection
from django.db.backends.utils import CursorWrapper

from connectors import catalog
from connectors.contract import CounterFact, DeviceFact, NodeFact, UseFact
from pools.models import Pool, PoolSync
from pools.services import arrays, sql

_MARKED: Final = """
SELECT EXISTS (SELECT FROM device WHERE pool_id = %(pool)s AND uses @? '$[*].marker' AND retired_at IS NULL)
    OR EXISTS (SELECT FROM capacity WHERE pool_id = %(pool)s AND kind = 'counter' AND uses @? '$[*].marker')
    OR EXISTS (SELECT FROM orphan WHERE pool_id = %(pool)s AND closed_at IS NULL)
"""
_uses: Final = msgspec.json.Decoder(tuple[UseFact, ...])


class Shares(NamedTuple):
    """What of a device or counter is used by others, and what by claims of ours. Each is at most all there is."""

    shadow_milli: int = 0
    shadow_mib: int = 0
    own_milli: int = 0
    own_mib: int = 0


def shares(uses: Sequence[UseFact], total_milli: int, total_mib: int, explained: Collection[str]) -> Shares:
    """Divide observed use. A use without a memory figure takes its share of the memory."""
    if not uses:
        return Shares()
    share = total_mib / total_milli if total_milli else 0
    milli, mib = [0, 0], [0, 0]
    for use in uses:
        is_own = use.marker is not None and use.marker in explained
        milli[is_own] += use.milli
        mib[is_own] += use.memory_mib or int(use.milli * share)
    return Shares(
        min(milli[False], total_milli),
        min(mib[False], total_mib),
        min(milli[True], total_milli),
        min(mib[True], total_mib),
    )


def markers(nodes: Iterable[NodeFact]) -> set[str]:
    """Return our markers among the uses of nodes."""
    found: set[str] = set()
    for node in nodes:
        parts: tuple[DeviceFact | CounterFact, ...] = (*node.devices, *node.counters)
        found.update(use.marker for part in parts for use in part.uses if use.marker is not None)
    return found


def is_anything_marked(pool_id: UUID) -> bool:
    """Tell whether recorded use of a pool carries a marker of ours, or did when an orphan was opened. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_MARKED, {"pool": pool_id})
        return bool(cursor.fetchone()[0])


def recorded_markers(cursor: CursorWrapper, pool_id: UUID) -> set[str]:
    """Return our markers among all recorded uses of a pool."""
    sql.run(cursor, "marked_uses", {"pool": pool_id})
    return {row[0] for row in cursor.fetchall()}


def explained(cursor: CursorWrapper, pool_id: UUID, found: Collection[str]) -> frozenset[str]:
    """Return those of the markers that a claim of the pool explains."""
    if not found:
        return frozenset()
    kind = Pool.objects.values_list("kind", flat=True).get(id=pool_id)
    since = PoolSync.objects.values_list("observed_at", flat=True).get(pool_id=pool_id)
    params = {
        "pool": pool_id,
        "markers": arrays.texts(sorted(found)),
        "since": since,
        "kinds": sorted({mode.target for mode in catalog.manifest(kind).modes}),
    }
    sql.run(cursor, "explained_markers", params)
    return frozenset(row[0] for row in cursor.fetchall())


def renew(cursor: CursorWrapper, pool_id: UUID, own: Collection[str], *, is_pool_grain: bool) -> bool:
    """Divide anew what is recorded of use that claims explain no longer, or again; return whether there was any.

    Within a merge: the nodes go into refresh_node, and their capacity rows are locked.
    """
    params: dict[str, Any] = {"pool": pool_id, "explained": arrays.texts(sorted(own)), "is_advisory": is_pool_grain}
    sql.run(cursor, "attribution_stale", params)
    rows = cursor.fetchall()
    if not rows:
        return False
    sql.run(cursor, "merge_incoming")
    cursor.execute(
        "INSERT INTO refresh_node (id, is_new) SELECT DISTINCT unnest(%s::uuid[]), false",
        [[node_id for _, _, node_id, *_ in rows]],
    )
    sql.run(cursor, "lock_capacity", params)
    for kind in ("device", "counter"):
        of_kind = [
            (id, *shares(_uses.decode(uses), total_milli, total_mib, own))
            for each, id, _, total_milli, total_mib, uses in rows
            if each == kind
        ]
        columns = zip(*of_kind, strict=True) if of_kind else ([],) * 5
        names = ("ids", "shadow_milli", "shadow_mib", "own_milli", "own_mib")
        values = {name: arrays.literal(column) for name, column in zip(names, columns, strict=True)}
        if of_kind:
            sql.run(cursor, f"attribution_{kind}s", params | values)
    return True
