"""Conclude an observation: what was not seen is missing, or waits for a person; then the run ends."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db.models import F

from connectors.contract import Last
from pools.domain import observation, schedule
from pools.domain.observation import Unseen
from pools.reconcile.watch import Watch
from pools.services import losses, sync_runs, turns
from pools.services.inventory import Merge


def conclude(merge: Merge, watch: Watch, last: Last, *, is_full: bool, clock: Callable[[], datetime]) -> None:
    """Mark what is missing, if all was seen and no person has to decide first, and end the run. Raises TurnLost."""
    turn, now = merge.turn, clock()
    run: dict[str, Any] = {"state": "succeeded", "complete": last.complete}
    sync: dict[str, Any] = {}
    overrules_held = False
    with watch.phase("settle"):
        if last.complete:
            overrules_held = _lose(merge, watch, run, sync, is_full=is_full, clock=clock)
            if not (turn.is_watch or turn.is_dry_run):
                merge.attribute(now=clock())
                merge.settle_twins(now=clock())
                merge.tell_faults(now=clock())
            sync |= {"observed_at": now, "cursor": last.cursor, "complete_runs": F("complete_runs") + 1}
        else:
            # The cursor stays: what this one missed, the next one has to see.
            watch.warnings.insert(0, last.incomplete_because or "The observation was incomplete.")
            if (waiting := sync_runs.held(turn.pool_id)) is not None:
                sync |= {"unseen": losses.still_unseen(merge.sight, waiting[1]).as_stored()}
    is_waiting = bool(sync.get("unseen"))
    if turn.is_watch:
        sync = _of_watch(sync)
    if not turn.is_watch or is_waiting:
        sync |= _health(run["state"], last, is_waiting=is_waiting)
    due = schedule.after_run(now=now, interval_seconds=turn.interval_seconds, failures=0, pool_id=turn.pool_id)
    if not turn.is_watch:
        sync |= {"consecutive_failures": 0, "breaker_open_until": None, "next_at": due.at}
    run |= watch.figures(merge) | {"kind": "full" if is_full else "incremental", "cursor": last.cursor}
    if turn.is_dry_run:
        run["preview"], sync = merge.preview, {}
    turns.finish(turn, now=clock(), run=run, sync=sync, overrules_held=overrules_held and not turn.is_dry_run)


def _of_watch(sync: dict[str, Any]) -> dict[str, Any]:
    """Changes are no look at all of the pool: when that comes, how often it came and how it ended stays as it is."""
    return {column: value for column, value in sync.items() if column not in ("complete_runs", "observed_at")}


def _lose(
    merge: Merge,
    watch: Watch,
    run: dict[str, Any],
    sync: dict[str, Any],
    *,
    is_full: bool,
    clock: Callable[[], datetime],
) -> bool:
    """Mark what was not seen as missing, or hold the run for a person. True when that ends an earlier held run."""
    waiting = sync_runs.held(merge.turn.pool_id)
    before = waiting[1] if waiting else Unseen()
    unseen, loss = losses.of(merge.turn.pool_id, merge.sight, is_full=is_full, waiting=before)
    reason = observation.needs_person(loss)
    if reason is None:
        merge.settle(losses.told_now(unseen, merge.sight) if merge.turn.is_watch else unseen, clock=clock)
        sync |= {"held_run_id": None, "unseen": None}
        return True
    hold = {"reason": reason, "nodes": loss.nodes, "devices": loss.devices}
    if merge.turn.is_dry_run:
        run |= {"hold": hold}
        return False
    sync |= {"unseen": unseen.as_stored()}
    if waiting and unseen <= before:
        # The same loss waits already: one decision is enough, and its page must not move away under a person.
        watch.warnings.insert(0, f"Marking {loss.nodes} nodes as missing waits for a decision on run {waiting[0]}.")
        return False
    merge.hold(unseen.nodes, now=clock())
    run |= {"state": "held", "hold": hold}
    sync |= {"held_run_id": merge.turn.run_id}
    return True


def _health(state: str, last: Last, *, is_waiting: bool) -> dict[str, str]:
    """Warnings are shown with the run and make no pool degraded: a cloud without Nova is as healthy as it gets."""
    if state == "held" or is_waiting:
        return {"health": "degraded", "health_reason": "A large loss waits for a decision."}
    if not last.complete:
        reason = last.incomplete_because[:500] or "The last observation was incomplete."
        return {"health": "degraded", "health_reason": reason}
    return {"health": "online", "health_reason": ""}
