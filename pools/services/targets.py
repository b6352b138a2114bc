"""Turns of targets: the right to change one platform object, and what came of it.

A turn is taken in a short transaction, the platform is asked outside any, and the outcome is written only while the
turn is still ours. An outcome speaks for the orders as they were when the turn was taken: each order keeps the
generation of its target in which it changed last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db import connection
from django.db.models import Value
from django.db.models.functions import Greatest

from connectors.contract import Absent, ConnectorError, Done, Found, Order, Pending, Plan, Target
from pools.domain import ids, states
from pools.domain import targets as rules
from pools.models import Target as TargetRow
from pools.selectors import prepared
from pools.selectors import targets as carried
from pools.services import arrays, sql, writing

TURN_SECONDS: Final = 45
"""So long nobody else takes a target whose worker was killed: whoever lives keeps its turn while it waits."""
_json = msgspec.json.Encoder()


class TurnLost(Exception):
    """The turn ran out and is somebody else's. What came of it must not be written."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The right to change one target until it is lost; the target and all orders that it shall carry.

    ``has_new``: some of the orders were never confirmed. ``has_old``: others are to be taken off. ``is_unknown``: ask
    what is there before anything is sent. ``is_stale``: the platform refused it as older. ``until`` is when it runs
    out, unless it is kept.
    """

    id: UUID
    token: UUID
    until: datetime
    target: Target
    orders: tuple[Order, ...]
    has_new: bool
    has_old: bool
    is_unknown: bool
    is_stale: bool
    failures: int


@writing.transaction
def take_turn(*, pool_id: UUID, installation: str, now: datetime) -> Turn | None:
    """Take the turn of the pool's target that is due for longest. None: nothing is due, or others are at it."""
    token, until = ids.new_id(), _until(now)
    with prepared.cursor() as cursor:
        sql.run(
            cursor,
            "target_take",
            {
                "pool": pool_id,
                "token": token,
                "now": now,
                "until": until,
                "states": list(states.POOL_STATES_SYNCED),
            },
        )
        row = cursor.fetchone()
        if row is None:
            return None
    (
        id, kind, ref, generation, mode, is_tenants, is_unknown, failures, trouble, node_ref, project, keeps, has_new,
        has_old,
    ) = row  # fmt: skip
    return Turn(
        id=id,
        token=token,
        until=until,
        target=Target(
            kind=kind,
            ref=ref,
            generation=generation,
            node_ref=node_ref,
            mode=mode,
            is_tenants=is_tenants,
            project=project or "",
            keeps=tuple(keeps),
        ),
        orders=carried.orders(id, installation),
        has_new=has_new,
        has_old=has_old,
        is_unknown=is_unknown,
        is_stale=trouble == rules.STALE,
        failures=failures,
    )


@writing.transaction
def note_sending(turn: Turn, plan: Plan, *, now: datetime) -> datetime:
    """Write down what is about to be sent, before it is, and return when the turn runs out now. Raises TurnLost."""
    until = _until(now)
    with prepared.cursor() as cursor:
        sql.run(cursor, "target_sent", _params(turn, now) | {"calls": _text(plan.calls), "until": until})
        if cursor.fetchone()[0] == 0:
            raise TurnLost
    return until


def keep(turn: Turn, *, now: datetime) -> datetime:
    """Make the turn last longer, and return when it runs out now. Raises TurnLost."""
    until = _until(now)
    ours = TargetRow.objects.filter(id=turn.id, turn_token=turn.token)
    if not ours.update(turn_until=Greatest("turn_until", Value(until))):  # a beat may come late
        raise TurnLost
    return until


@writing.transaction
def catch_up(turn: Turn, generation: int, *, now: datetime) -> None:
    """Go on with a generation that is newer than what the platform has, as after a restored backup. Raises TurnLost."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE target SET generation = greatest(generation, %s), trouble = NULL, turn_token = NULL,"
            " turn_until = NULL, due_at = %s WHERE id = %s AND turn_token = %s",
            [generation, now, turn.id, turn.token],
        )
        if cursor.rowcount == 0:
            raise TurnLost


@writing.transaction
def finish_turn(turn: Turn, outcome: Done | Pending | ConnectorError, *, now: datetime) -> None:
    """Write what came of it and give the turn back, only if it is still ours. Raises TurnLost."""
    if isinstance(outcome, Done):
        told = _told(turn, outcome.found, turn.orders) | {"is_changed": bool(outcome.changes)}
        _finish("target_done", turn, now, told)
    elif isinstance(outcome, Pending):
        _finish("target_pending", turn, now, {"due": now + timedelta(seconds=outcome.after_seconds)})
    elif turn.has_new and rules.is_final(outcome):
        _finish("target_refused", turn, now, {"trouble": _text(rules.trouble(outcome))})
    else:
        after_seconds = getattr(outcome, "after_seconds", None)
        due = rules.next_try(now, turn.failures + 1, turn.id, after_seconds)
        params = {"trouble": _text(rules.trouble(outcome)), "due": due}
        if outcome.code == rules.NOT_OURS:
            _finish("target_not_ours", turn, now, params)
        else:
            _finish("target_unsure", turn, now, params | {"is_doubtful": outcome.code == rules.STALE})


@writing.transaction
def finish_partly(turn: Turn, found: Found | Absent, error: ConnectorError, *, now: datetime) -> None:
    """As ``finish_turn`` where the platform did not do all of it: each order is as it was found. Raises TurnLost."""
    there = found if isinstance(found, Found) else Found(generation=turn.target.generation)
    delivered = [order for order in turn.orders if order.marker in there.markers]
    params = _told(turn, found, delivered) | {
        "there": arrays.texts([*there.markers, *there.undelivered]),
        "trouble": _text(rules.trouble(error)),
        "due": rules.next_try(now, turn.failures + 1, turn.id),
    }
    _finish("target_partly", turn, now, params)


def postpone(pool_id: UUID, failures: int, *, now: datetime) -> None:
    """Leave a pool in peace that cannot be reached: none of its targets is due before the next try."""
    with connection.cursor() as cursor:
        due = rules.next_try(now, failures, pool_id)
        cursor.execute("UPDATE target SET due_at = %s WHERE pool_id = %s AND due_at <= %s", [due, pool_id, now])


def _until(now: datetime) -> datetime:
    return now + timedelta(seconds=TURN_SECONDS)


def _finish(name: str, turn: Turn, now: datetime, params: dict[str, Any]) -> None:
    """The first statement is the one that fails when the turn is lost; the others follow only then."""
    everything = _params(turn, now) | params
    with prepared.cursor() as cursor:
        for statement in sql.statements(name):
            cursor.execute(statement, everything)
            if cursor.rowcount == 0 and statement is sql.statements(name)[0]:
                raise TurnLost


def _params(turn: Turn, now: datetime) -> dict[str, Any]:
    return {"target": turn.id, "token": turn.token, "generation": turn.target.generation, "now": now}


def _told(turn: Turn, found: Found | Absent, delivered: Sequence[Order]) -> dict[str, Any]:
    places = found.places if isinstance(found, Found) else {}
    bound = [(order, places.get(order.marker, ())) for order in delivered]
    return {
        "found": _text(found) if isinstance(found, Found) else None,
        "allocations": arrays.literal(order.allocation for order, _ in bound),
        "indexes": arrays.numbers(order.member for order, _ in bound),
        "bindings": arrays.literal(
            _text({"marker": order.marker, "target": turn.target.ref, "places": where}) for order, where in bound
        ),
    }


def _text(value: Any) -> str:
    return _json.encode(value).decode()
