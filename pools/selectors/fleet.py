"""The whole fleet in one page: sums come from roll-ups, so the cost does not grow with the number of devices.

Device rows are read for the map only, and only while the fleet is small enough to draw one cell for each.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection

from pools.domain import freshness

SHOWN_POOLS: Final = 10
SHOWN_WARNINGS: Final = 8
MAP_DEVICES_MAX: Final = 4_000
TIMELINE_HOURS: Final = 6
TIMELINE_BUCKETS: Final = 72
# One letter a device, the first that holds: faulty, not available, counted in pieces, claimed, held, given out by
# another pool, shadow, free.
CELL_LETTERS: Final = "xupchesf"

_SUMS: Final = ("devices", "total_milli", "claimed_milli", "held_milli", "shadow_milli", "faulty_milli", "free_milli")

_STALE = """(s.observed_at IS NULL OR %(now)s >= s.observed_at
    + greatest(%(intervals)s * p.sync_interval_seconds, %(at_least)s) * interval '1 second')"""

_POOLS = f"""
WITH sums AS (
    SELECT pool_id, sum(units) FILTER (WHERE kind = 'cards') AS devices,
           sum(units) FILTER (WHERE kind = 'host') AS nodes,
           sum(total_milli) FILTER (WHERE kind <> 'host' AND NOT is_advisory) AS total_milli,
           sum(claimed_milli) FILTER (WHERE kind <> 'host' AND NOT is_advisory) AS claimed_milli,
           sum(held_milli) FILTER (WHERE kind <> 'host' AND NOT is_advisory) AS held_milli,
           sum(shadow_milli) FILTER (WHERE kind <> 'host' AND NOT is_advisory) AS shadow_milli,
           sum(faulty_milli) FILTER (WHERE kind <> 'host' AND NOT is_advisory) AS faulty_milli,
           sum(free_milli) FILTER (WHERE kind <> 'host' AND NOT is_advisory) AS free_milli
    FROM capacity_rollup GROUP BY pool_id),
fleet AS MATERIALIZED (
    SELECT p.id, p.name, p.kind, p.state, s.health, s.health_reason, s.observed_at,
           {_STALE} AS is_stale, s.observed_at IS NOT NULL AS is_known,
           coalesce(u.devices, 0)::bigint AS devices, coalesce(u.nodes, 0)::bigint AS nodes,
           coalesce(u.total_milli, 0)::bigint AS total_milli, coalesce(u.claimed_milli, 0)::bigint AS claimed_milli,
           coalesce(u.held_milli, 0)::bigint AS held_milli, coalesce(u.shadow_milli, 0)::bigint AS shadow_milli,
           coalesce(u.faulty_milli, 0)::bigint AS faulty_milli, coalesce(u.free_milli, 0)::bigint AS free_milli
    FROM pool p LEFT JOIN pool_sync s ON s.pool_id = p.id LEFT JOIN sums u ON u.pool_id = p.id
    WHERE p.state NOT IN ('removed', 'registering')),
shown AS (SELECT id, name, kind, state, health, health_reason, observed_at, is_stale, is_known, devices, nodes,
                 total_milli, claimed_milli, held_milli, shadow_milli, faulty_milli, free_milli
          FROM fleet ORDER BY devices DESC, name LIMIT %(limit)s)
SELECT NULL::uuid AS id, NULL AS name, NULL AS kind, NULL AS state, NULL AS health, NULL AS health_reason,
       max(observed_at) AS observed_at, NULL::boolean AS is_stale, NULL::boolean AS is_known,
       coalesce(sum(devices), 0)::bigint AS devices, coalesce(sum(nodes), 0)::bigint AS nodes,
       coalesce(sum(total_milli), 0)::bigint AS total_milli, coalesce(sum(claimed_milli), 0)::bigint AS claimed_milli,
       coalesce(sum(held_milli), 0)::bigint AS held_milli, coalesce(sum(shadow_milli), 0)::bigint AS shadow_milli,
       coalesce(sum(faulty_milli), 0)::bigint AS faulty_milli, coalesce(sum(free_milli), 0)::bigint AS free_milli,
       count(*) AS pools, count(*) FILTER (WHERE is_stale) AS stale_pools,
       count(*) FILTER (WHERE NOT is_known) AS unknown_pools,
       coalesce(sum(devices) FILTER (WHERE is_stale), 0)::bigint AS stale_devices,
       coalesce(sum(free_milli) FILTER (WHERE is_stale), 0)::bigint AS stale_free_milli,
       count(*) FILTER (WHERE shadow_milli > 0) AS shadow_pools,
       count(*) FILTER (WHERE faulty_milli > 0) AS faulty_pools,
       count(*) FILTER (WHERE claimed_milli + held_milli > total_milli) AS overcommitted_pools
FROM fleet
UNION ALL SELECT shown.*, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM shown
"""

_MODELS = """
SELECT pool_id, (array_agg(name ORDER BY units DESC, name))[1] AS model, count(*) AS models
FROM (SELECT r.pool_id, m.name, sum(r.units) AS units
      FROM capacity_rollup r JOIN chip_model m ON m.id = r.model_id
      WHERE r.pool_id = ANY(%(pools)s) AND r.units > 0 AND r.kind IN ('cards', 'counter') GROUP BY 1, 2) by_model
GROUP BY pool_id
"""

_TIMELINE = """
SELECT pool_id, array_agg(bucket) AS buckets, array_agg(severity) AS severities FROM (
    SELECT pool_id, floor(date_part('epoch', queued_at - %(start)s) / %(bucket)s)::integer AS bucket,
           max(CASE state WHEN 'failed' THEN 3 WHEN 'held' THEN 2 WHEN 'rejected' THEN 2 WHEN 'succeeded' THEN
               CASE WHEN complete THEN 0 ELSE 2 END ELSE 1 END) AS severity
    FROM sync_run
    WHERE pool_id = ANY(%(pools)s) AND queued_at >= %(start)s AND NOT is_dry_run
    GROUP BY 1, 2) by_bucket
GROUP BY 1
"""

_TROUBLED = f"""
SELECT p.id, p.name, p.kind, p.state, s.health, s.health_reason, s.observed_at, {_STALE} AS is_stale,
       s.held_run_id, h.queued_at AS held_at,
       h.hold ->> 'reason' AS hold_reason, l.error ->> 'code' AS error_code, count(*) OVER () AS troubled_pools
FROM pool p JOIN pool_sync s ON s.pool_id = p.id LEFT JOIN sync_run h ON h.id = s.held_run_id
LEFT JOIN sync_run l ON l.id = s.last_run_id
WHERE p.state IN ('active', 'draining', 'maintenance')
    AND (s.held_run_id IS NOT NULL OR s.health <> 'online' OR {_STALE})
ORDER BY s.held_run_id IS NULL, s.observed_at NULLS FIRST, p.name LIMIT %(warnings)s
"""

_OTHER_COUNTS = """
SELECT (SELECT count(*) FROM chip_model WHERE NOT is_catalogued) AS unknown_models,
       (SELECT count(*) FROM live_twin WHERE device_id < other_id) AS twins,
       (SELECT count(*) FROM pool WHERE state = 'registering') AS drafts
"""

_CELL = """CASE
    WHEN d.health = 'faulty' THEN 'x'
    WHEN d.missing_since IS NOT NULL OR n.missing_since IS NOT NULL OR d.health <> 'ok' OR NOT n.is_available THEN 'u'
    WHEN d.total_milli = 0 THEN 'p'
    WHEN coalesce(c.pos_claimed_milli[d.position], 0) > 0 THEN 'c'
    WHEN coalesce(c.pos_held_milli[d.position], 0) > 0 THEN 'h'
    WHEN d.is_elsewhere THEN 'e'
    WHEN d.shadow_milli > 0 THEN 's' ELSE 'f' END"""
_CELL_ORDER = "n.name, n.id, d.index NULLS LAST, d.ref, d.id"

_CELLS = f"""
SELECT d.pool_id, string_agg({_CELL}, '' ORDER BY {_CELL_ORDER}) AS cells
FROM device d JOIN node n ON n.id = d.node_id LEFT JOIN capacity c ON c.id = d.capacity_id
WHERE d.retired_at IS NULL AND d.pool_id = ANY(%(pools)s) GROUP BY d.pool_id
"""

_ONE_CELL = f"""
SELECT d.id, d.ref, d.index, n.name AS node, coalesce(m.name, d.model_text) AS model, {_CELL} AS cell
FROM device d JOIN node n ON n.id = d.node_id LEFT JOIN chip_model m ON m.id = d.model_id
LEFT JOIN capacity c ON c.id = d.capacity_id
WHERE d.retired_at IS NULL AND d.pool_id = %(pool)s
ORDER BY {_CELL_ORDER} OFFSET %(number)s LIMIT 1
"""


def overview(now: datetime) -> dict[str, Any]:
    """Return the fleet at a glance; 7 statements at most, whatever its size.

    Shape: {totals, pools, others, troubled, troubled_pools, unknown_models, twins, drafts, timeline, cells}.
    ``totals`` and ``others`` are sums {pools, devices, nodes, *_milli, stale_*}; ``pools`` are the largest ones with
    their sums, ``model`` (the most frequent) and ``models`` (how many). ``timeline`` is {start_at, bucket_seconds,
    severities: {pool id: {bucket: 0 fine, 1 on its way, 2 waits or incomplete, 3 failed}}}. ``cells`` is {pool id:
    letters} of CELL_LETTERS, one a device, or None when the fleet has more than MAP_DEVICES_MAX devices.
    """
    params = {**_freshness(now), "limit": SHOWN_POOLS, "warnings": SHOWN_WARNINGS}
    totals, *pools = _read(_POOLS, params)
    pool_ids = [pool["id"] for pool in pools]
    by_model = {row["pool_id"]: row for row in _read(_MODELS, {"pools": pool_ids})} if pools else {}
    for pool in pools:
        found = by_model.get(pool["id"], {"model": None, "models": 0})
        pool |= {"model": found["model"], "models": found["models"]}
    troubled = _read(_TROUBLED, params) if pools else []
    (counts,) = _read(_OTHER_COUNTS, {})
    return {
        "totals": totals,
        "pools": pools,
        "others": _others(totals, pools),
        "troubled": troubled,
        "troubled_pools": troubled[0]["troubled_pools"] if troubled else 0,
        **counts,
        "timeline": timeline(pool_ids, now),
        "cells": cells(pool_ids) if pools and totals["devices"] <= MAP_DEVICES_MAX else None,
    }


def timeline(pool_ids: Sequence[UUID], now: datetime) -> dict[str, Any]:
    """Return how the pools' runs of the last hours went, by slices of time; see ``overview``."""
    bucket_seconds = TIMELINE_HOURS * 3600 // TIMELINE_BUCKETS
    start_at = now - timedelta(hours=TIMELINE_HOURS)
    severities: dict[UUID, dict[int, int]] = {pool_id: {} for pool_id in pool_ids}
    if pool_ids:
        for row in _read(_TIMELINE, {"pools": list(pool_ids), "start": start_at, "bucket": bucket_seconds}):
            severities[row["pool_id"]] = dict(zip(row["buckets"], row["severities"], strict=True))
    return {"start_at": start_at, "end_at": now, "bucket_seconds": bucket_seconds, "severities": severities}


def cells(pool_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Return one letter for each live device of the pools, by node name and then index. Reads device rows."""
    return {row["pool_id"]: row["cells"] for row in _read(_CELLS, {"pools": list(pool_ids)})}


def cell(pool_id: UUID, number: int) -> dict[str, Any] | None:
    """Return the device behind a cell of the map: {id, ref, index, node, model, cell}, or None past the last one."""
    rows = _read(_ONE_CELL, {"pool": pool_id, "number": number})
    return rows[0] if rows else None


def _others(totals: dict[str, Any], pools: Sequence[dict[str, Any]]) -> dict[str, Any]:
    sums = {name: totals[name] - sum(pool[name] for pool in pools) for name in (*_SUMS, "nodes")}
    return {"pools": totals["pools"] - len(pools), **sums}


def _freshness(now: datetime) -> dict[str, Any]:
    return {
        "now": now,
        "intervals": freshness.STALE_AFTER_INTERVALS,
        "at_least": freshness.STALE_AFTER_AT_LEAST_SECONDS,
    }


def _read(sql: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
