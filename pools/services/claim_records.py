"""What is stored of an allocation when it is made, or gets what it waited for, and what the audit tells of it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import msgspec

from pools.domain.decisions import Explanation
from pools.domain.quotas import Taken
from pools.selectors import columns
from pools.selectors.candidates import Read
from pools.services import arrays, leases
from pools.services.asked import Asked, Planned

_KEPT: Final = 1024
_json = msgspec.json.Encoder(decimal_format="string")
_COLUMNS: Final[Mapping[str, Callable[[Sequence[Any]], Any]]] = {
    "ids": columns.uuids,
    "project_ids": columns.uuids,
    "names": columns.texts,
    "states": columns.texts,
    "modes": columns.texts,
    "specs": columns.encoded,
    "asked_by": columns.uuids,
    "pool_ids": columns.uuids,
    "model_ids": columns.uuids,
    "profiles": columns.texts,
    "members": columns.integers,
    "devices": columns.integers,
    "milli": columns.bigints,
    "units": columns.bigints,
    "borrowed": columns.booleans,
    "preemptible": columns.booleans,
    "priorities": columns.smalls,
    "prices": arrays.literal,
    "leases": columns.bigints,
    "starts": columns.instants,
    "ends": columns.instants,
    "notices": columns.instants,
    "held_until": columns.instants,
    "queued_at": columns.instants,
    "queue_reasons": columns.texts,
    "before_ends": columns.texts,
}


def state(each: Planned, read: Read) -> str:
    """Return the state of its allocation once it has its claim."""
    if each.asked.wanted.mode == "hold":
        return "held"
    return "active" if read.pool(each.decision.pool_id).is_done_at_once else "claimed"


def word(each: Planned) -> str:
    """Return what the audit calls it."""
    return "held" if each.asked.wanted.mode == "hold" else "claimed"


def told(each: Planned, read: Read) -> dict[str, Any]:
    """Return what the audit tells of it."""
    decision = each.decision
    return {
        "state": state(each, read),
        "pool": read.pool(decision.pool_id).name,
        "model": decision.model,
        "profile": decision.profile,
        "members": len(decision.members),
        "milli": decision.milli,
    }


def record(each: Planned, taken: Taken, read: Read, now: datetime) -> dict[str, Any]:
    """Return what is stored of one that gets its claim, by the parameters of claim_insert."""
    asked, decision, wanted = each.asked, each.decision, each.asked.wanted
    is_hold = wanted.mode == "hold"
    ends_at = None if is_hold else asked.until_at or later(now, wanted.lease_seconds)
    return _common(asked) | {
        "states": state(each, read),
        "pool_ids": decision.pool_id,
        "model_ids": read.models.get(decision.model) if decision.model else None,
        "profiles": decision.profile,
        "milli": decision.milli,
        "units": each.ask.units_milli,
        "quotas": taken.quota_ids,
        "borrowed": taken.is_borrowed,
        "prices": decision.price_per_hour,
        "decisions": _decided(decision.score, decision.fragmentation_delta, decision.explanation),
        "starts": None if is_hold else now,
        "ends": ends_at,
        "notices": leases.notice_at(ends_at, wanted.notice_seconds),
        "held_until": later(now, wanted.hold_seconds or 0) if is_hold else None,
        "queued_at": asked.queued_at,
        "queue_reasons": "",
    }


@lru_cache(_KEPT)
def later(now: datetime, seconds: int | None) -> datetime | None:
    """Return the instant after so many seconds; None is never."""
    return None if seconds is None else now + timedelta(seconds=seconds)


def waiting(asked: Asked, reason: str, now: datetime) -> dict[str, Any]:
    """Return what is stored of one that waits, in the same way."""
    nothing = dict.fromkeys(
        ("pool_ids", "model_ids", "profiles", "prices", "decisions", "starts", "ends", "notices", "held_until")
    )
    return (
        _common(asked)
        | nothing
        | {
            "states": "queued",
            "milli": 0,
            "units": 0,
            "quotas": (),
            "borrowed": False,
            "queued_at": now,
            "queue_reasons": reason,
        }
    )


def _common(asked: Asked) -> dict[str, Any]:
    wanted = asked.wanted
    return {
        "ids": asked.id,
        "project_ids": asked.project_id,
        "names": wanted.name,
        "modes": wanted.mode,
        "specs": _json.encode(wanted),
        "labels": _json.encode(wanted.labels),
        "asked_by": asked.actor.access.user_id,
        "members": wanted.members,
        "devices": wanted.devices_per_member,
        "preemptible": wanted.preemptible,
        "priorities": wanted.priority,
        "leases": wanted.lease_seconds,
        "before_ends": "pending" if wanted.before_end_seconds else "",
    }


@lru_cache(_KEPT)
def _decided(score: float, fragmentation_delta: float, explanation: Explanation) -> bytes:
    """Return what is stored of a decision as JSON: of many in a batch the same."""
    return _json.encode({"score": score, "fragmentation_delta": fragmentation_delta, "explanation": explanation})


def params(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the parameters of claim_insert and claim_update, column by column."""
    values = dict(zip(records[0], zip(*[record.values() for record in records], strict=True), strict=True))
    return {
        **{name: make(values[name]) for name, make in _COLUMNS.items()},
        **columns.documents("labels", values["labels"]),
        **columns.documents("decisions", values["decisions"]),
        **columns.slices("quotas", values["quotas"], columns.uuids),
    }
