"""Make targets carry their orders: the only loop that changes anything on a platform."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import takewhile
from typing import Final
from uuid import UUID

import msgspec
import structlog
from celery.exceptions import SoftTimeLimitExceeded
from msgspec import structs

from connectors.contract import Absent, ConnectorError, Done, Found, Outcome, Plan, Transient
from pools import dispatch
from pools.domain import markers
from pools.domain import targets as rules
from pools.domain.errors import DomainError
from pools.reconcile import deliveries, lanes
from pools.reconcile.allocations import APPLIES_AT_ONCE
from pools.reconcile.alone import alone
from pools.reconcile.holding import Holding, holding
from pools.reconcile.lanes import Lane, NoPlace, OutOfTime
from pools.reconcile.link import Link, Waiting
from pools.selectors import due
from pools.selectors.installation import installation_id
from pools.selectors.targets import unknown
from pools.services import binding, orphans, sync_runs, targets
from pools.services.targets import Turn, TurnLost

log = structlog.get_logger(__name__)
_json = msgspec.json.Encoder()

# A run takes turns for so long, then others have the process: pools, and what moves allocations on. A platform that has
# not answered by CALLS_SECONDS is asked again later.
RUN_SECONDS: Final = 2
CALLS_SECONDS: Final = 120
# What is carried is handed over when nothing else is due, some before the next look, and one now and then where always
# something is.
TURNS_TO_DELIVERY: Final = 4
DELIVERIES_AT_ONCE: Final = 4
_LOCK_SEEDS: Final = range(100, 100 + APPLIES_AT_ONCE)
_NO_ANSWER: Final = "The platform did not answer in time. What came of it is asked first when it is its turn again."
_BUG: Final = "ocenter itself failed; its log has the details. It is tried again."


def run(
    *,
    pool_id: UUID,
    clock: Callable[[], datetime],
    should_stop: Callable[[], bool] = lambda: False,
    lane: Lane | None = None,
) -> int:
    """Take turns of the pool's targets that are due, and hand over what they carry; return how many turns.

    Never raises for a platform that fails: the targets tell. ``lane`` is for slow pools; one for which it has no place
    stays due, and the sweep hints at it again.
    """
    is_slow = lane is not None and due.is_slow(pool_id, lanes.SLOW_SECONDS)
    count, ends_at = 0, time.monotonic() + RUN_SECONDS
    with lanes.place(lane, is_needed=is_slow) as may_begin, ExitStack() as stack:
        if not may_begin or not any(stack.enter_context(alone(pool_id, seed)) for seed in _LOCK_SEEDS):
            return 0
        link = stack.enter_context(Link(pool_id))
        while not should_stop() and time.monotonic() < ends_at:
            turn = targets.take_turn(pool_id=pool_id, installation=installation_id(), now=clock())
            if turn is not None:
                count += 1
                if not _take(turn, link, clock, lane):
                    break
            most = DELIVERIES_AT_ONCE if turn is None else int(count % TURNS_TO_DELIVERY == 0)
            handed = [*takewhile(bool, (deliveries.hand_over(link, clock=clock, lane=lane) for _ in range(most)))]
            if turn is None and not handed:
                break
        else:
            dispatch.advance_allocations()  # which tells of what is left
    return count


def _take(turn: Turn, link: Link, clock: Callable[[], datetime], lane: Lane | None) -> bool:
    """Use a turn; return whether the platform can be reached for another."""
    bound = log.bind(target=turn.target.ref, generation=turn.target.generation)
    try:
        outcome = _outcome(turn, link, clock, lane)
        if outcome is not None:
            targets.finish_turn(turn, outcome, now=clock())
    except TurnLost:
        bound.warning("target_turn_lost")
        return True
    except Exception:
        bound.exception("target_failed")
        targets.finish_turn(turn, Transient(_BUG, code="internal"), now=clock())
        raise
    if isinstance(outcome, ConnectorError):
        bound.warning("target_not_applied", code=outcome.code, reason=str(outcome))
    _move_on(turn, outcome, clock)
    if isinstance(outcome, Transient) and not link.is_open:
        targets.postpone(link.pool_id, turn.failures + 1, now=clock())
        return False
    return True


def _move_on(turn: Turn, outcome: Outcome | ConnectorError | None, clock: Callable[[], datetime]) -> None:
    """Let be active at once what waited for this target alone; a hint tells of what else is to be done now."""
    is_all = isinstance(outcome, Done) and (binding.activate(now=clock(), target_id=turn.id) > 0 or not turn.has_new)
    if turn.has_old or not is_all:
        dispatch.advance_allocations()


def _outcome(
    turn: Turn, link: Link, clock: Callable[[], datetime], lane: Lane | None
) -> Outcome | ConnectorError | None:
    """Return what came of it; None when the turn was given back on the way. Raises TurnLost."""
    calls_left = lanes.until(time.monotonic() + CALLS_SECONDS)
    try:
        with holding(turn, clock, calls_left) as held:
            return _carry(turn, held, link, partial(lanes.patience, lane, held.left_seconds), clock)
    except ConnectorError as error:
        return error
    except (NoPlace, OutOfTime, SoftTimeLimitExceeded):
        return Transient(_NO_ANSWER, code="timeout")
    except DomainError as error:
        return Transient(str(error), code="invalid_settings")


def _carry(turn: Turn, held: Holding, link: Link, waiting: Waiting, clock: Callable[[], datetime]) -> Outcome | None:
    """Ask what is there if nobody knows, write down what will be sent, and send it. Raises ConnectorError, TurnLost.

    Only the platform is waited for with patience, never the database: see ``lanes.patience``.
    """
    connector = link.connector(waiting)
    if turn.is_unknown:
        with waiting():
            found = connector.probe(turn.target)
        turn = _keeping(turn, found, link.pool_id, clock)
        newer = rules.newer_generation(turn.target.generation, found, is_stale=turn.is_stale, failures=turn.failures)
        if newer is not None:
            targets.catch_up(turn, newer, now=clock())
            return None
    with waiting():
        planned = connector.plan(turn.target, turn.orders)
    if _names_strangers(turn, planned, link.pool_id):
        with waiting():
            found = connector.probe(turn.target)
        turn = _keeping(turn, found, link.pool_id, clock)
        with waiting():
            planned = connector.plan(turn.target, turn.orders)
    held.until = targets.note_sending(turn, planned, now=clock())
    try:
        with waiting():
            outcome = connector.apply(turn.target, turn.orders)
    except Transient as error:
        if error.code != rules.INCOMPLETE:
            raise
        with waiting():
            found = connector.probe(turn.target)
        _settle_partly(turn, found, error, clock)
        return None
    if isinstance(outcome, Done) and not rules.is_carried(turn.orders, outcome.found, turn.target.keeps):
        raise Transient(
            f"The platform said done, and {turn.target.ref} does not carry what was ordered. It is asked again.",
            code="unconfirmed",
        )
    return outcome


def _settle_partly(turn: Turn, found: Found | Absent, error: Transient, clock: Callable[[], datetime]) -> None:
    """Write what came of the orders of a host one by one: a dead card of one tenant holds up no other.

    Raises the error where what is there is not what was sent.
    """
    if isinstance(found, Found) and (not found.is_ours or found.generation != turn.target.generation):
        raise error
    log.warning("target_partly_applied", target=turn.target.ref, code=error.code, reason=str(error))
    targets.finish_partly(turn, found, error, now=clock())


def _keeping(turn: Turn, found: Found | Absent, pool_id: UUID, clock: Callable[[], datetime]) -> Turn:
    """Return the turn that leaves on a host what this database never knew, as after a restored backup.

    It is an orphan from now on, about which somebody has to decide.
    """
    if turn.target.node_ref is None or not isinstance(found, Found) or not found.is_ours:
        return turn
    others = {*found.markers, *found.undelivered} - {order.marker for order in turn.orders} - {*turn.target.keeps}
    strangers = unknown(others, pool_id) if others else ()
    if not strangers:
        return turn
    orphans.open_found(turn.id, strangers, now=clock())
    sync_runs.make_due(pool_id, now=clock())  # which tells what they use
    return replace(turn, target=structs.replace(turn.target, keeps=(*turn.target.keeps, *strangers)))


def _names_strangers(turn: Turn, planned: Plan, pool_id: UUID) -> bool:
    """Tell whether calls on a host are about names that this database never gave."""
    if turn.target.node_ref is None:
        return False
    named = markers.named_in(_json.encode(planned.calls).decode())
    named -= {turn.target.ref, *turn.target.keeps, *(order.marker for order in turn.orders)}
    return bool(named and unknown(named, pool_id))
