"""Pools and their runs as plain dicts for the templates."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from django.http import Http404
from django.utils.translation import gettext as _

from connectors import catalog
from pools.domain.access import Access
from pools.domain.errors import PoolMissing, RunMissing
from pools.selectors import capacity, sync_runs
from pools.selectors import pools as reads
from pools.selectors.pools import PoolRow
from pools.selectors.sync_runs import RunRow
from pools.web import charts, figures, sentences, words

_WAITS_LONG: Final = timedelta(seconds=20)
_SUMS: Final = ("total_milli", "claimed_milli", "held_milli", "shadow_milli", "faulty_milli", "free_milli")


def found(reference: str, now: datetime, access: Access) -> dict[str, Any]:
    """Return the pool of a name or id, presented. Raises Http404."""
    try:
        return presented(reads.named(reference, now, access))
    except PoolMissing:
        raise Http404 from None


def presented(row: PoolRow) -> dict[str, Any]:
    """Return a pool with its sums and what follows from its state.

    Beside the fields of PoolRow: reference (its name, or its id once removed), sums, shares, is_known (observed
    completely at least once), used_share, described, bar, error_words, kind_words of its mode.
    """
    pool = msgspec.structs.asdict(row)
    shares = [share(each) for each in row.capacity]
    sums = {name: sum(getattr(each, name) for each in row.capacity) for name in _SUMS}
    used = sums["claimed_milli"] + sums["held_milli"] + sums["shadow_milli"]
    mode = next((mode for mode in catalog.manifest(row.kind).modes if mode.name == row.mode), None)
    pool |= {
        "reference": str(row.id) if row.removed_at else row.name,
        "shares": shares,
        "sums": sums,
        "is_known": row.observed_at is not None,
        "used_share": figures.percent(used, sums["total_milli"]),
        "described": described(row.name, sums),
        "bar": charts.bar(sums),
        "models": [each["model_name"] for each in shares if each["model_name"]],
        "mode_label": _(mode.label) if mode and mode.label else row.mode,
        "kind_label": words.kind(row.kind),
        "error_words": "",
        "health_reason": sentences.shown(row.health_reason),
    }
    run = pool["last_sync_run"]
    if run is not None:
        pool["last_sync_run"] = msgspec.structs.asdict(run)
        if run.error:
            pool["error_words"] = str(words.ERRORS.get(run.error["code"], ""))
    for name in ("credential", "pending_credential"):
        pool[name] = msgspec.structs.asdict(pool[name]) if pool[name] else None
    return pool


def share(each: capacity.ModelShare) -> dict[str, Any]:
    """Return one line of capacity with its bar."""
    line = msgspec.structs.asdict(each)
    used = each.claimed_milli + each.held_milli + each.shadow_milli
    return line | {
        "bar": charts.bar(line),
        "used_share": figures.percent(used, each.total_milli),
        "described": described(each.model_name or "", line),
        "is_overcommitted": each.claimed_milli + each.held_milli > each.total_milli,
    }


def described(name: str, sums: Mapping[str, int]) -> str:
    """Return capacity in words, for those who do not see the bar."""
    return _(
        "%(pool)s: claimed %(claimed)s, held %(held)s, shadow use %(shadow)s, out of service %(faulty)s, free %(free)s"
    ) % {"pool": name, **{state: figures.devices(sums[f"{state}_milli"]) for state in charts.BAR_STATES}}


def check(pool_id: UUID, now: datetime) -> dict[str, Any]:
    """Return {state, is_done, result, checked_at, waits_long, error_words} of the pool's latest check."""
    stands = msgspec.structs.asdict(reads.check(pool_id))
    result = stands["result"] or {}
    error = result.get("error") or {}
    requested_at = stands["requested_at"]
    return stands | {
        "is_done": stands["state"] in ("done", "idle"),
        "waits_long": stands["state"] == "queued" and requested_at is not None and now - requested_at > _WAITS_LONG,
        "warnings": [sentences.shown(warning) for warning in result.get("warnings", ())],
        "error_words": str(words.ERRORS.get(error.get("code", ""), "")),
        "may_go_on": bool(result.get("reachable") and result["watch"]["ok"]),
    }


def latest_run(pool_id: UUID, access: Access, *, is_dry_run: bool = False) -> UUID | None:
    """Return the id of the pool's newest run of one sort."""
    params = {"pool": str(pool_id), "is_dry_run": "true" if is_dry_run else "false"}
    rows = sync_runs.page(params=params, cursor=None, limit=1, access=access).rows
    return rows[0].id if rows else None


def run(run_id: UUID, access: Access) -> dict[str, Any]:
    """Return a run, presented. Raises Http404."""
    try:
        return run_presented(sync_runs.one(run_id, access))
    except RunMissing:
        raise Http404 from None


def run_presented(row: RunRow) -> dict[str, Any]:
    """Return a run with is_done, duration_seconds, count_rows, phase_rows, error_words and hold_words added."""
    run = msgspec.structs.asdict(row) | {"warnings": [sentences.shown(str(warning)) for warning in row.warnings]}
    counts = row.counts or {}
    total = sum(row.phases.values()) or 1
    return run | {
        "is_done": row.state not in ("queued", "running"),
        "duration_seconds": (row.ended_at - row.started_at).total_seconds()
        if row.started_at and row.ended_at
        else None,
        "count_rows": [
            {
                "name": name,
                "nodes": counts.get("nodes", {}).get(name),
                "devices": counts.get("devices", {}).get(name),
                "both": getattr(row, name),
            }
            for name in ("seen", "created", "changed", "unchanged", "missing", "retired")
        ],
        "phase_rows": [
            {"name": name, "seconds": seconds, "share": f"{100 * seconds / total:.1f}%"}
            for name, seconds in row.phases.items()
        ],
        "error_words": str(words.ERRORS.get(row.error["code"], "")) if row.error else "",
        "hold_words": str(words.HOLDS.get(row.hold.get("reason", ""), "")) if row.hold else "",
    }
