"""Observe one pool and merge what it shows: the loop behind every sync run."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import DatabaseError, connection

from connectors import session
from connectors.contract import Connector, ConnectorError, Identity, Last, NodeFact, Page, Permanent, Transient
from pools import dispatch
from pools.domain import observation, schedule
from pools.domain.errors import Conflict, DomainError
from pools.domain.observation import Sight
from pools.reconcile.heartbeat import Heartbeat
from pools.services import credentials, inventory, pools, sync_runs, turns
from pools.services.inventory import BATCH_NODES, Merge
from pools.services.models import Resolver, current
from pools.services.turns import Turn, TurnLost

log = structlog.get_logger(__name__)

MAX_WARNINGS: Final = 50
PROGRESS_SECONDS: Final = 1.0


class Stopped(Exception):
    """The worker shuts down: the run ends between two pages and is due again at once."""


def run(
    *, pool_id: UUID, clock: Callable[[], datetime], should_stop: Callable[[], bool] = lambda: False
) -> UUID | None:
    """Observe the pool if a run is due and nobody else is at it; return the run's id.

    Never raises for a platform that fails: the run tells. Losing the turn ends it silently, for the other run tells.
    """
    turn = turns.take(pool_id=pool_id, now=clock())
    if turn is None:
        return None
    bound = log.bind(pool=turn.pool_name, run=str(turn.run_id))
    try:
        with Heartbeat(turn, clock=clock):
            _run(turn, clock, should_stop)
    except TurnLost:
        bound.warning("run_ended_without_turn")
    except Stopped:
        _end_badly(turn, clock(), Transient("The worker was shut down in the middle.", code="stopped"), is_due=True)
    except ConnectorError as error:
        bound.warning("run_failed", code=error.code, reason=str(error))
        _end_badly(turn, clock(), error)
    except DatabaseError as error:
        bound.exception("run_failed_in_database")
        _end_after_database_error(turn, clock, error)
    except DomainError as error:
        bound.warning("run_failed", code=error.code, reason=str(error))
        _end_badly(turn, clock(), Permanent(str(error), code=error.code))
    except Exception:
        bound.exception("run_failed")
        _end_badly(turn, clock(), Permanent("ocenter itself failed; its log has the details.", code="internal"))
        raise
    return turn.run_id


def _run(turn: Turn, clock: Callable[[], datetime], should_stop: Callable[[], bool]) -> None:
    secret = credentials.of_pool(turn.pool_id)
    with session.connect(
        turn.kind, turn.settings, secret, identity_key=turn.identity, log=log.bind(pool=turn.pool_name)
    ) as connector:
        if turn.identity is None:
            _remember_identity(turn, connector.identity(), clock())
        observe(turn, connector, clock=clock, should_stop=should_stop)


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
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Merge one observation of a connected pool under the turn, and end the run.

    Raises ConnectorError of the platform, TurnLost, Stopped, DatabaseError; what was merged until then stays.
    """
    watch = _Watch()
    with watch.phase("read_recorded"):
        sight = Sight(recorded=inventory.recorded(turn.pool_id))
        resolver = Resolver(now=clock())
    merge = Merge(turn=turn, sight=sight, resolver=resolver)
    salt = observation.salt(current().digest)
    changed: list[tuple[NodeFact, int]] = []
    last: Last | None = None
    is_full = True
    shown_at = time.monotonic()
    for page in watch.timed("platform", connector.observe(turn.cursor)):
        if should_stop():
            raise Stopped
        watch.page(page)
        is_full = is_full and page.is_full
        with watch.phase("compare"):
            changed += _changed(page, merge, salt)
        while len(changed) >= BATCH_NODES:
            with watch.phase("merge"):
                merge.batch(changed[:BATCH_NODES], now=clock())
            del changed[:BATCH_NODES]
        if time.monotonic() - shown_at > PROGRESS_SECONDS:
            turns.progress(turn, now=clock(), **_figures(merge, watch))
            shown_at = time.monotonic()
        last = page.last or last
    if changed:
        with watch.phase("merge"):
            merge.batch(changed, now=clock())
    if last is None:
        raise Transient("The observation ended without saying that it was the end.", code="truncated")
    _settle(turn, merge, watch, last, is_full=is_full, clock=clock)


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


def _settle(
    turn: Turn, merge: Merge, watch: "_Watch", last: Last, *, is_full: bool, clock: Callable[[], datetime]
) -> None:
    """Conclude what is missing, if all was seen and no person has to decide first; then end the run."""
    now = clock()
    sync: dict[str, Any] = {"cursor": last.cursor} if not turn.is_dry_run else {}
    end: dict[str, Any] = {"state": "succeeded", "complete": last.complete}
    with watch.phase("settle"):
        if last.complete:
            end |= _lose(turn, merge, watch, sync, is_full=is_full, now=now)
        elif last.incomplete_because:
            watch.warnings.insert(0, last.incomplete_because)
        merge.sum_up_pool(now=now)
    health, reason = _health(end["state"], last)
    due = schedule.after_run(now=now, interval_seconds=turn.interval_seconds, failures=0, pool_id=turn.pool_id)
    if not turn.is_dry_run:
        sync |= {
            "health": health,
            "health_reason": reason,
            "consecutive_failures": 0,
            "breaker_open_until": None,
            "next_at": due.at,
        }
        if last.complete:
            sync["observed_at"] = now
    run = end | _figures(merge, watch) | {"kind": "full" if is_full else "incremental", "cursor": last.cursor}
    if turn.is_dry_run:
        run["preview"] = merge.preview
    turns.finish(turn, now=now, run=run, sync=sync)
    _hint_at_follow_up(turn)


def _lose(
    turn: Turn, merge: Merge, watch: "_Watch", sync: dict[str, Any], *, is_full: bool, now: datetime
) -> dict[str, Any]:
    """Mark what was not seen as missing, or hold the run for a person. Returns the columns of the run."""
    nodes, devices, loss = merge.unseen(is_full=is_full)
    reason = observation.needs_person(loss)
    if reason is None:
        if nodes or devices:
            merge.settle(nodes, devices, now=now)
        if not turn.is_dry_run:
            sync_runs.seen_again(turn.pool_id)
            sync |= {"held_run_id": None, "unseen": None}
        return {}
    hold = {"reason": reason, "nodes": loss.nodes, "devices": loss.devices}
    if turn.is_dry_run:
        return {"hold": hold}
    unseen = {"nodes": [str(i) for i in nodes], "devices": [str(i) for i in devices]}
    waiting = sync_runs.waiting_for(turn.pool_id, unseen)
    if waiting is not None:
        # The same loss waits already: one decision is enough, and its page must not move away under a person.
        sync |= {"unseen": unseen}
        watch.warnings.insert(0, f"Marking {loss.nodes} nodes as missing waits for a decision on run {waiting}.")
        return {}
    sync_runs.seen_again(turn.pool_id)
    merge.hold(nodes, now=now)
    sync |= {"held_run_id": turn.run_id, "unseen": unseen}
    return {"state": "held", "hold": hold}


def _health(state: str, last: Last) -> tuple[str, str]:
    """Warnings are shown with the run and make no pool degraded: a cloud without Nova is as healthy as it gets."""
    if state == "held":
        return "degraded", "A large loss waits for a decision."
    if not last.complete:
        return "degraded", last.incomplete_because[:500] or "The last observation was incomplete."
    return "online", ""


def _figures(merge: Merge, watch: "_Watch") -> dict[str, Any]:
    figures: dict[str, Any] = {key: merge.counts.total(key) for key in inventory.KEYS}
    return figures | {
        "counts": {"nodes": merge.counts.nodes, "devices": merge.counts.devices},
        "pages": watch.pages,
        "byte_count": watch.byte_count,
        "warnings": watch.warnings[:MAX_WARNINGS],
        "phases": {name: round(seconds, 4) for name, seconds in watch.seconds.items()},
    }


def _end_badly(turn: Turn, now: datetime, error: ConnectorError, *, is_due: bool = False) -> None:
    told = {"code": error.code, "message": str(error), "platform_words": error.platform_words}
    sync: dict[str, Any] = {}
    if is_due:
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


def _end_after_database_error(turn: Turn, clock: Callable[[], datetime], error: DatabaseError) -> None:
    """PostgreSQL failed or restarted in mid-sync. Tell it if it is back; else the turn runs out by itself."""
    connection.close()
    told = Transient("The database failed in the middle of the run; the next run goes on.", code="database")
    try:
        _end_badly(turn, clock(), told, is_due=True)
    except DatabaseError:
        log.warning("run_left_to_its_turn", pool=turn.pool_name, run=str(turn.run_id), error=type(error).__name__)
        connection.close()


def _hint_at_follow_up(turn: Turn) -> None:
    if sync_runs.is_queued(turn.pool_id):
        dispatch.observe(turn.pool_id, turn.kind)


@dataclass(slots=True)
class _Watch:
    """Measures a run: seconds by phase, pages, bytes, warnings."""

    seconds: dict[str, float] = field(default_factory=dict)
    pages: int = 0
    byte_count: int = 0
    warnings: list[str] = field(default_factory=list)

    def page(self, page: Page) -> None:
        self.pages += 1
        self.byte_count += page.byte_count
        self.warnings += list(page.warnings)[: MAX_WARNINGS - len(self.warnings)]

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began

    def timed(self, name: str, pages: Iterator[Page]) -> Iterator[Page]:
        """Yield the pages; the time until each is there counts for the phase."""
        while True:
            with self.phase(name):
                page = next(pages, None)
            if page is None:
                return
            yield page
