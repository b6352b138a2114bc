"""The fleet at a glance, and the device behind a cell of its map."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe

from connectors import catalog
from pools.selectors import fleet
from pools.web import charts, figures, pages, pool_view, sentences, words

_LETTER_OF: Final = {
    "claimed_milli": "c",
    "held_milli": "h",
    "shadow_milli": "s",
    "free_milli": "f",
    "faulty_milli": "x",
}
_STATES: Final = ("claimed", "held", "shadow", "free", "faulty")


@require_safe
@pages.signed_in
def overview(request: HttpRequest) -> HttpResponse:
    """The page that an operator leaves open: sums, map, bars, runs, warnings."""
    if not pages.access(request).everywhere("node", "read"):
        return redirect("projects")
    now = pages.now()
    found = fleet.overview(now)
    if not found["totals"]["pools"]:
        return pages.page(request, "overview/first_run.html", {"drafts": found["drafts"]}, here="overview")
    letters, per_cell = _letters(found)
    shown = [_pool(pool, letters[pool["id"]], per_cell) for pool in found["pools"]]
    warnings = _warnings(found)
    context = {
        "totals": found["totals"],
        "tiles": _tiles(found["totals"]),
        "pools": shown,
        "has_room_left": _map_height(shown) < _list_height(len(warnings), len(shown)),
        "others": found["others"] if found["others"]["pools"] else None,
        "devices_per_cell": per_cell,
        "legend": _legend(letters, per_cell, found["totals"]),
        "timeline": _timeline(found["timeline"], found["pools"]),
        "warnings": warnings,
        "more_warnings": max(0, found["troubled_pools"] - len(found["troubled"])),
        "drafts": found["drafts"],
    }
    return pages.page(request, "overview/overview.html", context, here="overview")


@require_safe
@pages.on_platform("device")
def cell(request: HttpRequest, pool_id: UUID, number: int) -> HttpResponse:
    """What a cell of the map stands for: a hint for htmx-less scripts, the device's page for a click."""
    found = fleet.cell(pool_id, number)
    if found is None:
        raise Http404
    if request.headers.get("X-Fragment"):
        return pages.page(request, "overview/cell.html", {"device": found})
    return redirect("device", device_id=found["id"])


def _map_height(pools: list[dict[str, Any]]) -> float:
    """Return about how many pixels the map takes on a wide screen, to put the runs where there is room."""
    heights: list[int] = [pool["map"]["height"] for pool in pools]
    return sum(max(1.05 * height, 46) + 12 for height in heights)


def _list_height(warnings: int, pools: int) -> float:
    """Return about how many pixels warnings and bars take beside the map."""
    return 44 * warnings + 27 * pools + (100 if warnings else 40)


def _letters(found: Mapping[str, Any]) -> tuple[dict[UUID, str], int]:
    """Return the cells of each pool and for how many devices one stands."""
    if found["cells"] is not None:
        return {pool["id"]: found["cells"].get(pool["id"], "") for pool in found["pools"]}, 1
    per_cell = charts.devices_per_cell(sum(pool["devices"] for pool in found["pools"]))
    return {pool["id"]: charts.proportional(_counts(pool), per_cell) for pool in found["pools"]}, per_cell


def _counts(pool: Mapping[str, Any]) -> dict[str, int]:
    return {letter: -(-pool[column] // 1000) for column, letter in _LETTER_OF.items()}


def _tiles(totals: Mapping[str, Any]) -> list[dict[str, Any]]:
    whole = totals["total_milli"]
    notes = {
        "free": _("%(devices)s of them not fresh") % {"devices": figures.devices(totals["stale_free_milli"])}
        if totals["stale_free_milli"]
        else "",
        "shadow": _("outside ocenter") if totals["shadow_milli"] else "",
        "faulty": _("or on closed nodes") if totals["faulty_milli"] else "",
    }
    labels = {
        "claimed": _("Claimed"),
        "held": _("Held"),
        "shadow": _("Shadow use"),
        "free": _("Free now"),
        "faulty": _("Out of service"),
    }
    return [
        {
            "state": state,
            "label": labels[state],
            "devices": figures.devices(totals[f"{state}_milli"]),
            "share": figures.percent(totals[f"{state}_milli"], whole),
            "note": notes.get(state, ""),
            "swatch": charts.swatch(_LETTER_OF[f"{state}_milli"]),
        }
        for state in _STATES
    ]


def _pool(pool: Mapping[str, Any], letters: str, per_cell: int) -> dict[str, Any]:
    used = pool["claimed_milli"] + pool["held_milli"] + pool["shadow_milli"]
    return {
        **pool,
        **{state: figures.devices(pool[f"{state}_milli"]) for state in _STATES},
        "kind_label": words.kind(pool["kind"]),
        "is_simulation": catalog.manifest(pool["kind"]).is_simulation,
        "health": "unknown" if pool["is_stale"] else pool["health"],
        "used_share": figures.percent(used, pool["total_milli"]),
        "described": pool_view.described(pool["name"], pool),
        "bar": charts.bar(pool),
        "map": charts.cells(letters),
        "cell_address": reverse("cell", args=(pool["id"], 0))[:-2] if per_cell == 1 else "",
        "other_models": pool["models"] - 1 if pool["models"] else 0,
    }


def _legend(letters: Mapping[UUID, str], per_cell: int, totals: Mapping[str, Any]) -> list[dict[str, Any]]:
    shown = "".join(letters.values())
    sums = {letter: figures.devices(totals[column]) for column, letter in _LETTER_OF.items()}
    return [
        {
            "label": words.label("cell", letter),
            "count": figures.number(shown.count(letter)) if per_cell == 1 else sums.get(letter, ""),
            "swatch": charts.swatch(letter),
        }
        for letter in charts.LETTERS
        if letter in shown or letter in "csf"
    ]


def _timeline(timeline: Mapping[str, Any], pools: list[dict[str, Any]]) -> dict[str, Any]:
    start_at, end_at = timeline["start_at"], timeline["end_at"]
    steps = 4
    marks = [start_at + (end_at - start_at) * step / steps for step in range(steps + 1)]
    rows = []
    for pool in pools:
        severities = timeline["severities"][pool["id"]]
        failed = sum(1 for severity in severities.values() if severity == 3)
        rows.append(
            {
                "id": pool["id"],
                "name": pool["name"],
                "markup": charts.track(severities, fleet.TIMELINE_BUCKETS),
                "described": _("%(pool)s: runs in %(slices)s of %(all)s slices, failures in %(failed)s") % {
                    "pool": pool["name"], "slices": len(severities), "all": fleet.TIMELINE_BUCKETS, "failed": failed,
                },
            }
        )  # fmt: skip
    return {
        "rows": rows,
        "marks": [timezone.localtime(mark).strftime("%H:%M") for mark in marks],
        "zone": figures.zone(end_at),
        "buckets": fleet.TIMELINE_BUCKETS,
    }


def _warnings(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    warnings = [_troubled(row) for row in found["troubled"]]
    totals = found["totals"]
    devices = reverse("devices")
    counted = (
        (
            totals["overcommitted_pools"],
            "bad",
            reverse("pools"),
            ngettext(
                "%(count)s pool is overcommitted: claims exceed what is there",
                "%(count)s pools are overcommitted: claims exceed what is there",
                totals["overcommitted_pools"],
            ),
        ),
        (
            totals["faulty_pools"],
            "warn",
            f"{devices}?state=faulty",
            ngettext(
                "Devices out of service in %(count)s pool",
                "Devices out of service in %(count)s pools",
                totals["faulty_pools"],
            ),
        ),
        (
            totals["shadow_pools"],
            "info",
            f"{devices}?state=shadow",
            ngettext("Shadow use in %(count)s pool", "Shadow use in %(count)s pools", totals["shadow_pools"]),
        ),
        (
            found["twins"],
            "warn",
            reverse("twins"),
            ngettext(
                "%(count)s device is seen in two pools", "%(count)s devices are seen in two pools", found["twins"]
            ),
        ),
        (
            found["unknown_models"],
            "info",
            f"{reverse('models')}?is_catalogued=no",
            ngettext(
                "%(count)s chip model is not in the catalogue",
                "%(count)s chip models are not in the catalogue",
                found["unknown_models"],
            ),
        ),
    )
    return warnings + [
        {"tone": tone, "address": address, "text": text % {"count": figures.number(count)}, "detail": "", "at": None}
        for count, tone, address, text in counted
        if count
    ]


def _troubled(row: Mapping[str, Any]) -> dict[str, Any]:
    name = {"pool": row["name"]}
    at: datetime | None = row["observed_at"]
    if row["held_run_id"]:
        return {
            "tone": "bad",
            "address": reverse("sync-run", args=(row["held_run_id"],)),
            "text": _("%(pool)s: a run waits for your decision") % name,
            "detail": str(words.HOLDS.get(row["hold_reason"], "")),
            "at": row["held_at"],
        }
    if at is None:
        text, tone = _("%(pool)s was never observed completely") % name, "bad"
    elif row["is_stale"]:
        text, tone = _("%(pool)s is not observed any more; its numbers are old") % name, "bad"
    else:
        text, tone = _("%(pool)s is degraded") % name, "warn"
    return {
        "tone": tone,
        "address": reverse("pool", args=(row["name"],)),
        "text": text,
        "detail": words.ERRORS.get(row["error_code"] or "") or sentences.shown(row["health_reason"]),
        "at": at,
    }
