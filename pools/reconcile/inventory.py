"""Observe one pool and merge what it shows: the loop behind every sync run."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from psycopg.errors import DiskFull

from connectors import catalog, session
from connectors.contract import Connector, ConnectorError, Identity, Last, NodeFact, Page, Permanent, Transient
from pools import dispatch
from pools.domain import observation
from pools.domain.errors import Conflict, DomainError
from pools.domain.observation import Sight
from pools.reconcile import lanes
from pools.reconcile.conclusion import conclude
from pools.reconcile.heartbeat import DATABASE_FAILURES, Heartbeat
from pools.reconcile.lanes import Lane, NoPlace, OutOfTime
from pools.reconcile.watch import Watch
from pools.selectors import due
from pools.selectors.installation import installation_id
from pools.services import credentials, inventory, pools, sync_runs, turns
from pools.services.inventory import BATCH_NODES, Merge
from pools.services.models import Resolver, current
from pools.services.turns import Turn, TurnLost

log = structlog.get_logger(__name__)

PROGRESS_SECONDS: Final = 1.0
_SLOW: Final = (
    "The pool answers slowly, and other slow pools are being read. What was merged is kept; the next run goes on when "
    "they are through."
)


class Stopped(Exception):
    """The run ends between two pages, for no fault of the pool, and is due again at once. ``code`` says why."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


def run(
    *,
    pool_id: UUID,
    clock: Callable[[], datetime],
    should_stop: Callable[[], bool] = lambda: False,
    lane: Lane | None = None,
) -> UUID | None:
    """Observe the pool if a run is due and nobody else is at it; return the run's id.

    ``lane`` is for slow pools; one for which it has no place stays due, and the sweep hints at it again.
    Never raises for a platform that fails: the run tells. Losing the turn ends it silently, for the other run tells.
    """
    with lanes.place(lane, is_needed=lane is not None and due.is_slow(pool_id, lanes.SLOW_SECONDS)) as may_begin:
        turn = turns.take(pool_id=pool_id, now=clock()) if may_begin else None
        if turn is None:
            return None
        _end_of(turn, clock, partial(_go_on, should_stop, lane), lane)
        return turn.run_id


def _go_on(should_stop: Callable[[], bool], lane: Lane | None, elapsed_seconds: float) -> None:
    """Raise Stopped when the worker shuts down, NoPlace when it is needed for others."""
    if should_stop():
        raise Stopped(
            "The worker was shut down in the middle. What was merged is kept; the next run goes on.", "stopped"
        )
    if lane is not None and elapsed_seconds > lanes.SLOW_SECONDS and not lane.enter():
        raise NoPlace


def _end_of(turn: Turn, clock: Callable[[], datetime], go_on: Callable[[float], None], lane: Lane | None) -> None:
    """Observe under the turn and see to it that the run ends, whatever happens."""
    bound = log.bind(pool=turn.pool_name, run=str(turn.run_id))
    try:
        with Heartbeat(partial(_keep, turn, clock)):
            _run(turn, clock, go_on, lane)
    except TurnLost:
        bound.warning("run_ended_without_turn")
    except NoPlace:
        bound.info("run_stopped", code="slow")
        _end_badly(turn, clock(), Transient(_SLOW, code="slow"), is_due=True)
    except (OutOfTime, SoftTimeLimitExceeded):
        bound.warning("run_failed", code="too_slow")
        _end_badly(turn, clock(), _too_slow(catalog.manifest(turn.kind).observe_seconds))
    except Stopped as stop:
        bound.info("run_stopped", code=stop.code)
        _end_badly(turn, clock(), Transient(str(stop), code=stop.code), is_due=True)
    except ConnectorError as error:
        bound.warning("run_failed", code=error.code, reason=str(error))
        _end_badly(turn, clock(), error)
    except DATABASE_FAILURES as error:
        bound.exception("run_failed_in_database")
        _end_after_database_error(turn, clock, error)
    except DomainError as error:
        bound.warning("run_failed", code=error.code, reason=str(error))
        _end_badly(turn, clock(), Permanent(str(error), code=error.code))
    except Exception:
        bound.exception("run_failed")
        _end_badly(turn, clock(), Permanent("ocenter itself failed; its log has the details.", code="internal"))
        raise


def _keep(turn: Turn, clock: Callable[[], datetime]) -> bool:
    """Make the turn last longer; return whether it is still ours."""
    try:
        turns.keep(turn, now=clock())
    except TurnLost:
        log.warning("turn_lost", pool=turn.pool_name, run=str(turn.run_id))
        return False
    return True


def _too_slow(observe_seconds: int) -> Transient:
    return Transient(
        f"The pool could not be read in {observe_seconds} s. What was merged is kept. Look at how loaded the platform "
        "is, or let it show less to this account.",
        code="too_slow",
    )


def _ends_at(turn: Turn) -> float:
    """Return when a run that begins now has to be through, on the monotonic clock. Raises Permanent: unknown kind."""
    return time.monotonic() + catalog.manifest(turn.kind).observe_seconds


def _run(turn: Turn, clock: Callable[[], datetime], go_on: Callable[[float], None], lane: Lane | None) -> None:
    ends_at = _ends_at(turn)
    secret, installation = credentials.of_pool(turn.pool_id), installation_id()
    with ExitStack() as opened:
        with lanes.patience(lane, lanes.until(ends_at)):
            connector = opened.enter_context(
                session.connect(
                    turn.kind,
                    turn.settings,
                    secret,
                    outgoing=settings.OUTGOING,
                    installation=installation,
                    identity_key=turn.identity,
                    log=log.bind(pool=turn.pool_name),
                )
            )
            found = connector.identity() if turn.identity is None else None
        if found is not None:
            _remember_identity(turn, found, clock())
        observe(turn, connector, clock=clock, go_on=go_on, lane=lane, ends_at=ends_at)


def _remember_identity(turn: Turn, found: Identity, now: datetime) -> None:
    try:
        pools.store_identity(turn.pool_id, found.key, found.label, found.version, now)
    except Conflict as conflict:
        raise Permanent(str(conflict), code="identity_taken") from conflict


def observe(
    turn: Turn,
    connector: Connector,
    *,
    clock: Callable[[], datetime],
    go_on: Callable[[float], None] = lambda _elapsed_seconds: None,
    lane: Lane | None = None,
    ends_at: float | None = None,
) -> None:
    """Merge one observation of a connected pool under the turn, and end the run.

    ``lane`` is for a pool that keeps this process waiting; ``ends_at`` of the monotonic clock is, unless given, as long
    from now as the kind allows. Else like ``merge``.
    """
    ends_at = _ends_at(turn) if ends_at is None else ends_at
    pages = lanes.patiently(lane, connector.observe(turn.cursor), ends_at)
    merge(turn, pages, clock=clock, go_on=go_on, ends_at=ends_at)


def merge(
    turn: Turn,
    pages: Iterator[Page],
    *,
    clock: Callable[[], datetime],
    go_on: Callable[[float], None] = lambda _elapsed_seconds: None,
    ends_at: float = math.inf,
) -> None:
    """Merge pages, of which the last one says so, under the turn, and end the run.

    ``go_on`` is asked between two pages with the seconds so far and raises to end it. Raises ConnectorError of the
    platform, TurnLost, OutOfTime, DatabaseError; what was merged until then stays.
    """
    watch = Watch()
    with watch.phase("read_recorded"):
        sight = Sight(recorded=inventory.recorded(turn.pool_id))
        resolver = Resolver(now=clock())
    writes = Merge(turn=turn, sight=sight, resolver=resolver)
    if turn.so_far is not None:
        watch.go_on_from(turn.so_far, writes)
    salt = observation.salt(current().digest)
    changed: list[tuple[NodeFact, int]] = []
    last: Last | None = None
    is_full = True
    shown_at = time.monotonic()
    for page in watch.timed("platform", pages):
        if time.monotonic() > ends_at:
            raise OutOfTime
        go_on(watch.elapsed_seconds)
        watch.page(page)
        is_full = is_full and page.is_full
        with watch.phase("compare"):
            changed += _changed(page, writes, salt)
        while len(changed) >= BATCH_NODES:
            with watch.phase("merge"):
                writes.batch(changed[:BATCH_NODES], now=clock())
            del changed[:BATCH_NODES]
        if time.monotonic() - shown_at > PROGRESS_SECONDS:
            turns.progress(turn, now=clock(), **watch.figures(writes))
            shown_at = time.monotonic()
        last = page.last or last
    if changed:
        with watch.phase("merge"):
            writes.batch(changed, now=clock())
    if last is None:
        raise Transient("The observation ended without saying that it was the end.", code="truncated")
    conclude(writes, watch, last, is_full=is_full, clock=clock)
    _hint_at_follow_up(turn)


def _changed(page: Page, merge: Merge, salt: bytes) -> Iterator[tuple[NodeFact, int]]:
    sight, counts = merge.sight, merge.counts
    for fact in page.nodes:
        if sight.is_repeated(fact.ref):
            continue
        counts.nodes["seen"] += 1
        counts.devices["seen"] += len(fact.devices)
        fingerprint = observation.fingerprint(fact, salt)
        if sight.is_unchanged(fact.ref, fingerprint):
            counts.nodes["unchanged"] += 1
            counts.devices["unchanged"] += len(fact.devices)
            continue
        yield fact, fingerprint
    sight.gone.update(page.gone)


def _end_badly(turn: Turn, now: datetime, error: ConnectorError, *, is_due: bool = False) -> None:
    told = {"code": error.code, "message": str(error), "platform_words": error.platform_words}
    sync: dict[str, Any] = {}
    if is_due and not turn.is_dry_run:
        sync = {"next_at": now}
    elif not turn.is_dry_run:
        after = error.after_seconds if isinstance(error, Transient) else None
        sync = turns.failed(turn, now=now, error=told, after_seconds=after)
    try:
        turns.finish(turn, now=now, run={"state": "failed", "error": told}, sync=sync)
    except TurnLost:
        log.warning("run_ended_without_turn", pool=turn.pool_name, run=str(turn.run_id))
        return
    _hint_at_follow_up(turn)


def _end_after_database_error(turn: Turn, clock: Callable[[], datetime], error: Exception) -> None:
    """PostgreSQL failed or restarted in mid-sync. Tell it if it is back; else the turn runs out by itself.

    A server that went away is no fault of the pool, which is due at once. What it refuses to store, it will refuse
    again, and a full disk stays full for a while: that counts as a failure and waits.
    """
    connection.close()
    is_full = isinstance(error.__cause__, DiskFull)
    went_away = isinstance(error, OperationalError | InterfaceError) and not is_full
    if is_full:
        message = "The database's disk is full; free some space there. What was merged before is kept."
    elif went_away:
        message = "The database failed in the middle of the run; the next run goes on."
    else:
        message = (
            "The database refused what the run wrote; ocenter's log has the details. What was merged before is kept."
        )
    told = Transient(message, code="database")
    try:
        _end_badly(turn, clock(), told, is_due=went_away)
    except DATABASE_FAILURES:
        log.warning("run_left_to_its_turn", pool=turn.pool_name, run=str(turn.run_id), error=type(error).__name__)
        connection.close()


def _hint_at_follow_up(turn: Turn) -> None:
    if sync_runs.is_queued(turn.pool_id):
        dispatch.observe(turn.pool_id, turn.kind)
