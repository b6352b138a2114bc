"""Allocations as plain dicts for the templates: what was asked for and what it got, in words."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from pools.domain import states
from pools.selectors.allocation_events import AllocationEventRow
from pools.selectors.allocations import AllocationRow
from pools.services import allocations, models
from pools.web import differences, figures, words

_KIND: Final = re.compile(r"(\d+) x (?:([\d.]+) of )?(.+)")
_SEEN_LATER: Final = ("pending_approval", "scheduled", "queued")
_STATES: Final = {"state": "allocation_state", "reason": "allocation_reason", "before_end": "before_end_state"}


def presented(row: AllocationRow) -> dict[str, Any]:
    """Return an allocation as a plain dict.

    Added: title, asked, got, price, model_name, is_final, is_placed, makes_room, reason_words, queue_words,
    member_count, saves.
    """
    allocation = msgspec.structs.asdict(row)
    return allocation | {
        "lease": msgspec.structs.asdict(row.lease),
        "queue": msgspec.structs.asdict(row.queue) if row.queue else None,
        "members": [msgspec.structs.asdict(member) for member in row.members],
        "title": row.name or str(row.id)[-12:],
        "asked": asked(row.spec),
        "model_name": model_name(row.model),
        "price": price(row.price_per_hour),
        "saves": row.state == "active" and row.before_end_state in ("running", "failed"),
        "is_final": row.state in states.ALLOCATION_FINAL,
        "is_placed": row.state not in _SEEN_LATER,
        "makes_room": row.reason == "preempted" and row.state not in states.ALLOCATION_FINAL,
        "reason_words": words.reason(row.reason),
        "queue_words": words.label("allocation_reason", row.queue.reason) if row.queue else "",
        "member_count": len(row.members),
    }


def ends_soon(row: AllocationRow, now: datetime) -> bool:
    """True when the time has come of which whoever asked wanted notice before the end."""
    notice, end_at = row.spec.get("notice_seconds") or 0, row.lease.end_at
    is_on = row.state in states.ALLOCATION_HOLDING and row.state not in ("held", "releasing")
    return is_on and end_at is not None and end_at - timedelta(seconds=notice) <= now < end_at


def is_extensible(row: AllocationRow) -> bool:
    """True when its lease has an end that may come later: not of who was told to leave or is given back."""
    return row.state in allocations.LEASED and row.lease.end_at is not None and row.reason not in ("preempted", "user")


def is_stuck(row: AllocationRow) -> bool:
    """True when somebody else made what is there now, so that nobody can tell whether something of it is left."""
    return row.state == "needs_attention" and any(
        member.order_state == "leaving" and member.trouble is not None and member.trouble.code == "not_ours"
        for member in row.members
    )


def asked(spec: Mapping[str, Any]) -> str:
    """Return in one line what a request asks for: ``4 × 8 NVIDIA H100 or NVIDIA A100``."""
    devices, members = spec.get("devices_per_member", 1), spec.get("members", 1)
    if not devices:
        return ngettext("%(number)s host without devices", "%(number)s hosts without devices", members) % {
            "number": figures.number(members)
        }
    choices = [choice(each) for each in spec.get("any_of", ())]
    share = (spec.get("share") or {}).get("milli")
    part = _("%(share)s of ") % {"share": figures.percent(share, 1000)} if share else ""
    count = f"{members:,} × {devices:,}" if members > 1 else f"{devices:,}"
    either = _(" or ").join(choices)
    return f"{count} × {part}{either}" if choices else count


def choice(given: Mapping[str, Any]) -> str:
    """Return one of the choices of a request in words."""
    name = model_name(given.get("model"))
    if not name:
        told = [given.get("vendor"), given.get("interconnect"), given.get("runtime")]
        if given.get("memory_mib_min"):
            told.append(_("at least %(memory)s") % {"memory": figures.memory(given["memory_mib_min"])})
        name = " ".join(filter(None, told)) or _("any model")
    return f"{name} · {given['profile']}" if given.get("profile") else name


def model_name(slug: str | None) -> str:
    """Return what a model is called; one that no catalogue has keeps its slug."""
    entry = models.current().by_slug.get(slug or "")
    return entry.name if entry else slug or ""


def price(per_hour: Decimal | str | None) -> str:
    """Return a price per hour without zeros that say nothing; empty where none is named."""
    return "" if per_hour is None else f"{Decimal(per_hour).normalize():,f}"


def explanation(decision: Mapping[str, Any] | None, pools: Mapping[UUID, str], *, sees_nodes: bool) -> Any:
    """Return {policy, promised, losses, chosen_over, delta} of a decision; None where there is none.

    ``pools`` are the names of those that the reader may know. Places in others are left out.
    """
    told = (decision or {}).get("explanation")
    if not told:
        return None
    return {
        "policy": words.label("allocation_policy", told["policy"]),
        "promised": words.label("allocation_promise", told["promised"]),
        "losses": [loss(each) for each in told.get("losses", ()) if each["share"] > 0],
        "chosen_over": [
            _alternative(each, pools, sees_nodes) for each in told.get("chosen_over", ()) if _id(each) in pools
        ],
        "rank": told.get("rank", 0) + 1,
    }


def alternatives(decision: Mapping[str, Any] | None) -> list[UUID]:
    """Return the pools of what was not chosen."""
    told = (decision or {}).get("explanation") or {}
    return [_id(each) for each in told.get("chosen_over", ())]


def loss(given: Mapping[str, Any]) -> str:
    """Return a loss in words: ``it takes 2.1% of the room of 8 × NVIDIA H100``."""
    return _("It takes %(share)s of the room of %(kind)s.") % {
        "share": figures.percent(round(1_000_000 * given["share"]), 1_000_000),
        "kind": kind(given["kind"]),
    }


def kind(text: str) -> str:
    """Return a kind of request as the explanation names it (``8 x nvidia-h100-80gb``), in words."""
    found = _KIND.fullmatch(text)
    if found is None:
        return _("hosts without devices")
    count, part, slugs = found.groups()
    names = _("any model") if slugs == "any model" else ", ".join(model_name(slug) for slug in slugs.split(", "))
    if part:
        return _("%(count)s × %(part)s of %(model)s") % {"count": count, "part": part, "model": names}
    return f"{count} × {names}"


def event(row: AllocationEventRow) -> dict[str, Any]:
    """Return an event with its fields before and after."""
    before, after = row.before or {}, dict(row.after or {})
    # What it has not and had not says nothing.
    untold = ("milli", "pool_id")  # ids and what the page has elsewhere
    after = {
        name: value for name, value in after.items() if name not in untold and (value is not None or name in before)
    }
    if not words.reason(after.get("reason", "")):
        after.pop("reason", None)
        before = {name: value for name, value in before.items() if name != "reason"}
    after |= {name: ", ".join(after[name]) for name in ("secret_names", "targets") if isinstance(after.get(name), list)}
    if "kind" in after:
        after["kind"] = words.label("delivery_kind", after["kind"])
    for name in ("start_at", "end_at"):
        if after.get(name):
            after[name] = figures.instant(datetime.fromisoformat(after[name]))
    if "model" in after:
        after["model"] = model_name(after["model"])
    return {
        "at": row.at,
        "action": row.action,
        "actor": row.actor,
        "reason": row.reason,
        "fields": differences.fields(before, after, _STATES),
    }


def facts(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return [{label, value, of}] of what was asked for beyond the devices; ``of`` is the field of the request."""
    per_member, topology = spec.get("per_member") or {}, spec.get("topology") or {}
    lease, where = spec.get("lease_seconds"), spec.get("pools") or {}
    found: list[tuple[str, str, Any]] = [
        ("flavor", _("Flavor"), spec.get("flavor")),
        ("per_member", _("CPU per member"), figures.devices(per_member.get("cpu_milli") or 0)),
        ("per_member", _("Memory per member"), figures.memory(per_member.get("memory_mib") or 0)),
        ("topology", _("Devices of a member"), _level(topology.get("devices"))),
        ("topology", _("Members together"), _level(topology.get("members"))),
        ("topology", _("Members apart"), _level(topology.get("spread"))),
        ("pools", _("Pools"), ", ".join(where.get("names") or ())),
        ("pools", _("Regions"), ", ".join(where.get("regions") or ())),
        ("pools", _("Labels of pools"), where.get("labels")),
        ("max_price_per_hour", _("Price per hour, at most"), price(spec.get("max_price_per_hour"))),
        ("policy", _("Policy"), words.label("allocation_policy", spec.get("policy", "pack"))),
        ("priority", _("Priority"), spec.get("priority")),
        ("lease_seconds", _("Lease"), figures.duration(lease) if lease else _("open-ended")),
        ("notice_seconds", _("Notice before the end"), _duration(spec.get("notice_seconds"))),
        ("before_end_seconds", _("Time to save before the end"), _duration(spec.get("before_end_seconds"))),
        ("preemptible", _("May be told to leave"), _("yes") if spec.get("preemptible") else ""),
        ("min_run_seconds", _("Runs at least"), _duration(spec.get("min_run_seconds"))),
    ]
    nothing = (None, "", "0", figures.memory(0))
    return [{"label": label, "value": value, "of": of} for of, label, value in found if value not in nothing]


def _duration(seconds: int | None) -> str:
    return figures.duration(seconds) if seconds else ""


def _level(given: Mapping[str, Any] | None) -> str:
    if not given:
        return ""
    degree = words.label("nearness", "required" if given.get("required") else "preferred")
    return f"{given['level']} ({degree})"


def _alternative(given: Mapping[str, Any], pools: Mapping[UUID, str], sees_nodes: bool) -> str:
    place = f"{pools[_id(given)]} · {model_name(given.get('model')) or _('hosts without devices')}"
    told: Sequence[str] = [place]
    if sees_nodes and given.get("nodes"):
        nodes = given["nodes"]
        told = [place, ngettext("%(number)s node alike", "%(number)s nodes alike", nodes) % {"number": nodes}]
    if given.get("price_per_hour") is not None:
        told = [*told, _("%(price)s per hour") % {"price": price(given["price_per_hour"])}]
    return " · ".join(told)


def _id(given: Mapping[str, Any]) -> UUID:
    return UUID(str(given["pool_id"]))
