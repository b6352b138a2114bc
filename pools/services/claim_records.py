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

Records = dict[str, Sequence[Any]]
"""What is stored of many, column by column."""


def state(each: Planned, read: Read) -> str:
    """Return the state of its allocation once it has its claim."""
    if each.asked.wanted.mode == "hold":
        return "held"
    return "active" if read.pool(each.decision.pool_id).is_done_at_once else "claimed"


def told(each: Planned, state: str, read: Read, **more: datetime | None) -> bytes:
    """Return what the audit tells of it, as JSON."""
    decision = each.decision
    pool = read.pool(decision.pool_id).name
    return _told(state, pool, decision.model, decision.profile, len(decision.members), decision.milli, **more)


@lru_cache(_KEPT)
def _told(
    state: str, pool: str, model: str | None, profile: str | None, members: int, milli: int, **more: datetime | None
) -> bytes:
    """Of many in a batch the same."""
    after = {"state": state, "pool": pool, "model": model, "profile": profile, "members": members, "milli": milli}
    return _json.encode(after | more)


def of_claims(got: Sequence[tuple[Planned, Taken]], read: Read, now: datetime) -> Records:
    """Return what is stored of those that get their claim, by the parameters of claim_insert."""
    asked = [each.asked for each, _ in got]
    decisions = [each.decision for each, _ in got]
    ends = [
        None if one.wanted.mode == "hold" else one.until_at or later(now, one.wanted.lease_seconds) for one in asked
    ]
    return _common(asked) | {
        "states": [state(each, read) for each, _ in got],
        "pool_ids": [one.pool_id for one in decisions],
        "model_ids": [each.ask.model_id for each, _ in got],
        "profiles": [one.profile for one in decisions],
        "milli": [one.milli for one in decisions],
        "units": [each.ask.units_milli for each, _ in got],
        "quotas": [taken.quota_ids for _, taken in got],
        "borrowed": [taken.is_borrowed for _, taken in got],
        "prices": [one.price_per_hour for one in decisions],
        "decisions": [_decided(one.score, one.fragmentation_delta, one.explanation) for one in decisions],
        "starts": [None if one.wanted.mode == "hold" else now for one in asked],
        "ends": ends,
        "notices": [leases.notice_at(end, one.wanted.notice_seconds) for end, one in zip(ends, asked, strict=True)],
        "held_until": [
            later(now, one.wanted.hold_seconds or 0) if one.wanted.mode == "hold" else None for one in asked
        ],
        "queued_at": [one.queued_at for one in asked],
        "queue_reasons": [""] * len(got),
    }


@lru_cache(_KEPT)
def later(now: datetime, seconds: int | None) -> datetime | None:
    """Return the instant after so many seconds; None is never."""
    return None if seconds is None else now + timedelta(seconds=seconds)


def of_waiting(asked: Sequence[Asked], reasons: Sequence[str], now: datetime) -> Records:
    """Return what is stored of those that wait, in the same way."""
    count = len(asked)
    nothing: Records = dict.fromkeys(
        ("pool_ids", "model_ids", "profiles", "prices", "decisions", "starts", "ends", "notices", "held_until"),
        [None] * count,
    )
    return (
        _common(asked)
        | nothing
        | {
            "states": ["queued"] * count,
            "milli": [0] * count,
            "units": [0] * count,
            "quotas": [()] * count,
            "borrowed": [False] * count,
            "queued_at": [now] * count,
            "queue_reasons": reasons,
        }
    )


def _common(asked: Sequence[Asked]) -> Records:
    wanted = [one.wanted for one in asked]
    return {
        "ids": [one.id for one in asked],
        "project_ids": [one.project_id for one in asked],
        "names": [one.name for one in wanted],
        "modes": [one.mode for one in wanted],
        "specs": list(map(_json.encode, wanted)),
        "labels": [_json.encode(one.labels) for one in wanted],
        "asked_by": [one.actor.access.user_id for one in asked],
        "members": [one.members for one in wanted],
        "devices": [one.devices_per_member for one in wanted],
        "preemptible": [one.preemptible for one in wanted],
        "priorities": [one.priority for one in wanted],
        "leases": [one.lease_seconds for one in wanted],
        "before_ends": ["pending" if one.before_end_seconds else "" for one in wanted],
    }


@lru_cache(_KEPT)
def _decided(score: float, fragmentation_delta: float, explanation: Explanation) -> bytes:
    """Return what is stored of a decision as JSON: of many in a batch the same."""
    return _json.encode({"score": score, "fragmentation_delta": fragmentation_delta, "explanation": explanation})


def params(records: Records) -> dict[str, Any]:
    """Return the parameters of claim_insert and claim_update."""
    return {
        **{name: make(records[name]) for name, make in _COLUMNS.items()},
        **columns.documents("labels", records["labels"]),
        **columns.documents("decisions", records["decisions"]),
        **columns.slices("quotas", records["quotas"], columns.uuids),
    }
