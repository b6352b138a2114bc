"""Find what is due and no hint announced. Two sweeps at once are harmless: each pool's turn is taken once."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog
from django.conf import settings

from pools import dispatch
from pools.selectors import drift, due, targets, verification, waiting
from pools.services import (
    allocations,
    before_ends,
    fragmentation,
    idempotency,
    leases,
    ledger,
    packing_prices,
    pools,
    seals,
    starting,
)

log = structlog.get_logger(__name__)

_TIMES: Final = (
    ("holds_expired", allocations.expire_holds),
    ("leases_ended", allocations.end_leases),
    ("allocations_started", starting.start),  # maybe on what just came to its end
    ("ends_told", leases.tell_ends),
    ("saves_begun", before_ends.begin),
)


def sweep(*, clock: Callable[[], datetime]) -> None:
    """Send hints for what is due, let go of what is over, and seal what the logs gained."""
    now = clock()
    _keep_time(now)
    for pool_id, kind in due.runs(now):
        dispatch.observe(pool_id, kind)
    if targets.is_anything_due(now):
        dispatch.advance_allocations()
    for pool_id, kind in drift.due_pools(now):
        dispatch.compare(pool_id, kind)
    for pool_id, kind in due.checks():
        dispatch.check(pool_id, kind)
    if settings.TELEMETRY_SECONDS:
        for pool_id, kind in due.telemetry(now):
            dispatch.telemeter(pool_id, kind)
    if waiting.is_anybody_waiting():
        dispatch.advance_queue()
    packing_prices.renew(now=now)
    fragmentation.measure(now=now)
    ledger.follow_prices(now=now)
    if gone := pools.remove_expired_drafts(now=now):
        log.info("drafts_removed", count=gone)
    idempotency.sweep(now=now)
    if verification.due(now):
        dispatch.verify()
    seals.seal(now=now)


def _keep_time(now: datetime) -> None:
    """Give back what holds and leases kept whose time is over, let begin what was scheduled, tell of ends to come.

    What goes wrong with one of these keeps no other from its time.
    """
    for name, step in _TIMES:
        count = 0
        try:
            while some := step(now=now):
                count += some
        except Exception:
            log.exception("not_done_in_time", step=name)
        if count:
            log.info(name, count=count)
