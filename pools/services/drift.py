"""Drift: found by comparing what targets shall carry with their platforms, then repaired, adopted or ignored.

Nothing here talks to a platform: repairing makes the target due, and the worker that takes its turn applies it anew.
Locks come in one order: allocations, the target, its drift.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db import connection

from connectors.contract import Absent, Call, ConnectorError, Found, Order, Target
from pools import dispatch
from pools.domain import drift as rules
from pools.domain import targets
from pools.domain.actors import SYSTEM, Actor
from pools.domain.errors import DriftClosed, DriftMissing, DriftNotAdoptable, DriftNotOurs
from pools.models import Drift, Pool
from pools.selectors import targets as carried
from pools.services import allocations, audit, sql, writing

_json = msgspec.json.Encoder()
_STILL: Final = """
SELECT pool_id FROM target WHERE id = %(target)s AND generation = %(generation)s AND applied_generation = generation
    AND due_at IS NULL AND turn_token IS NULL FOR NO KEY UPDATE
"""
_CLOSE: Final = """
UPDATE drift SET state = 'closed', outcome = %(outcome)s, closed_at = %(now)s
WHERE target_id = %(target)s AND closed_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class Compared:
    """A target as it was when it was read, and all orders that it shall carry."""

    id: UUID
    target: Target
    orders: tuple[Order, ...]


def next_target(*, pool_id: UUID, installation: str, now: datetime) -> Compared | None:
    """Return the confirmed target of the pool that was looked at longest ago; None: all were, lately. Two queries."""
    before = now - timedelta(seconds=rules.COMPARE_SECONDS)
    with connection.cursor() as cursor:
        sql.run(cursor, "drift_target", {"pool": pool_id, "before": before})
        row = cursor.fetchone()
    if row is None:
        return None
    id, kind, ref, generation, mode, is_tenants, node_ref, project, keeps = row
    target = Target(
        kind=kind,
        ref=ref,
        generation=generation,
        node_ref=node_ref,
        mode=mode,
        is_tenants=is_tenants,
        project=project or "",
        keeps=tuple(keeps),
    )
    return Compared(id=id, target=target, orders=carried.orders(id, installation))


def skip(compared: Compared, *, now: datetime) -> None:
    """Leave one target in peace for which the platform had no answer, as of a host that is down: others had theirs."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE target SET checked_at = %s WHERE id = %s AND generation = %s AND due_at IS NULL",
            [now, compared.id, compared.target.generation],
        )


def postpone(pool_id: UUID, *, now: datetime) -> None:
    """Leave a pool in peace that does not answer: its targets are compared when the next time has come."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE target SET checked_at = %s WHERE pool_id = %s AND due_at IS NULL AND found IS NOT NULL",
            [now, pool_id],
        )


@writing.transaction
def store(
    compared: Compared,
    calls: Sequence[Call],
    found: Found | Absent | None = None,
    refusal: ConnectorError | None = None,
    *,
    now: datetime,
) -> UUID | None:
    """Open, tell anew or close the drift of a target; return its id where the pool's policy wants something done.

    Says nothing when the target changed meanwhile: who changed it compares in their turn.
    """
    with connection.cursor() as cursor:
        cursor.execute(_STILL, {"target": compared.id, "generation": compared.target.generation})
        row = cursor.fetchone()
        if row is None:
            return None
        cursor.execute("UPDATE target SET checked_at = %s WHERE id = %s", [now, compared.id])
        if not calls and refusal is None:
            cursor.execute(_CLOSE, {"target": compared.id, "outcome": "agrees", "now": now})
            return None
        # What is there and cannot be used now is not gone.
        there = {*found.markers, *found.undelivered} if isinstance(found, Found) else set()
        gone = sorted(
            {order.allocation for order in compared.orders if found is not None and order.marker not in there}
        )
        sql.run(
            cursor,
            "drift_seen",
            {
                "pool": row[0],
                "target": compared.id,
                "code": refusal.code[:32] if refusal else rules.GONE if isinstance(found, Absent) else rules.DIFFERS,
                "calls": _text(list(calls)),
                "found": _text(found) if isinstance(found, Found) else None,
                "trouble": _text(targets.trouble(refusal)) if refusal else None,
                "gone": _text(gone),
                "now": now,
            },
        )
        drift_id, state = cursor.fetchone()
    return drift_id if state == "open" else None


def follow_policy(drift_id: UUID, *, now: datetime) -> None:
    """Do what the pool's policy says. What the policy cannot do stays open for people."""
    drift = _read(drift_id)
    policy = Pool.objects.values_list("drift_policy", flat=True).get(id=drift.pool_id)
    try:
        if policy == "repair":
            repair(drift_id=drift_id, actor=SYSTEM, now=now)
        # What is there and not usable now, as a server that somebody shut down, is for a person to call lost.
        elif policy == "adopt" and drift.code == rules.GONE:
            adopt(drift_id=drift_id, actor=SYSTEM, now=now)
    except (DriftClosed, DriftNotAdoptable, DriftNotOurs):
        return


@writing.transaction
def repair(*, drift_id: UUID, actor: Actor, now: datetime) -> None:
    """Have a worker make the target carry again what was ordered. Asking again changes nothing.

    Raises DriftNotOurs where somebody else made what is there, DriftClosed, DriftMissing.
    """
    drift = _locked(drift_id)
    if drift.state == "repairing":
        return
    if drift.code == targets.NOT_OURS:
        raise DriftNotOurs
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE target SET generation = generation + 1, is_unknown = true, due_at = %s WHERE id = %s",
            [now, drift.target_id],
        )
    _set(drift, "repairing")
    _tell(actor, "drift.repaired", drift, {"calls": len(drift.calls)}, now)
    dispatch.advance_allocations()


@writing.transaction
def adopt(*, drift_id: UUID, actor: Actor, now: datetime) -> None:
    """Take it as it is: allocations of which nothing is there any more are given back.

    Raises DriftNotAdoptable where all of them are there in part, DriftClosed, DriftMissing.
    """
    gone = [UUID(each) for each in _read(drift_id).gone]
    # First, because it locks the targets of all their members in order, and this one may be any of them.
    allocations.give_back(gone, "lost", actor, now)
    drift = _locked(drift_id)
    if not gone or sorted(drift.gone) != sorted(map(str, gone)):
        raise DriftNotAdoptable
    with connection.cursor() as cursor:
        cursor.execute(_CLOSE, {"target": drift.target_id, "outcome": "adopted", "now": now})
    _tell(actor, "drift.adopted", drift, {"allocations": drift.gone}, now)


@writing.transaction
def ignore(*, drift_id: UUID, actor: Actor, now: datetime) -> None:
    """Leave it as it is while it stays the same; once more changes nothing. Raises DriftClosed, DriftMissing."""
    drift = _locked(drift_id)
    if drift.state == "ignored":
        return
    _set(drift, "ignored")
    _tell(actor, "drift.ignored", drift, {}, now)


def _read(drift_id: UUID) -> Drift:
    drift = Drift.objects.filter(id=drift_id).first()
    if drift is None:
        raise DriftMissing
    return drift


def _locked(drift_id: UUID) -> Drift:
    target_id = _read(drift_id).target_id
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM target WHERE id = %s FOR NO KEY UPDATE", [target_id])
    drift = Drift.objects.select_for_update(of=("self",)).select_related("target", "pool").get(id=drift_id)
    if drift.closed_at is not None:
        raise DriftClosed
    return drift


def _set(drift: Drift, state: str) -> None:
    drift.state = state
    drift.save(update_fields=["state"])


def _tell(actor: Actor, action: str, drift: Drift, after: dict[str, Any], now: datetime) -> None:
    name = f"{drift.pool.name} {drift.target.ref}"
    audit.record(actor, action, "drift", drift.pk, name, None, {"code": drift.code, **after}, now)


def _text(value: Any) -> str:
    return _json.encode(value).decode()
