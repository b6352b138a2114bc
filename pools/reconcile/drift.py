"""Compare confirmed targets with their platforms: ``plan`` without sending, some targets at a time."""

import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

import structlog
from celery.exceptions import SoftTimeLimitExceeded

from connectors.contract import ConnectorError, Transient
from pools.domain.drift import COMPARED_AT_ONCE
from pools.domain.errors import DomainError
from pools.reconcile import lanes
from pools.reconcile.alone import alone
from pools.reconcile.lanes import Lane, NoPlace, OutOfTime
from pools.reconcile.link import Link, Waiting
from pools.selectors import due
from pools.selectors.installation import installation_id
from pools.services import drift
from pools.services.drift import Compared

log = structlog.get_logger(__name__)

RUN_SECONDS: Final = 20
_LOCK_SEED: Final = 5


def run(
    *,
    pool_id: UUID,
    clock: Callable[[], datetime],
    should_stop: Callable[[], bool] = lambda: False,
    lane: Lane | None = None,
) -> int:
    """Compare targets of the pool that were not looked at lately; return how many.

    Never raises for a platform that fails: a pool that does not answer is left in peace until the next time, and so is
    what a platform that answers cannot tell of one target.
    """
    is_slow = lane is not None and due.is_slow(pool_id, lanes.SLOW_SECONDS)
    count, ends_at = 0, time.monotonic() + RUN_SECONDS
    with lanes.place(lane, is_needed=is_slow) as may_begin, alone(pool_id, _LOCK_SEED) as is_alone:
        if not may_begin or not is_alone:
            return 0
        waiting = partial(lanes.patience, lane, lanes.until(ends_at))
        with Link(pool_id) as link:
            while count < COMPARED_AT_ONCE and time.monotonic() < ends_at and not should_stop():
                compared = drift.next_target(pool_id=pool_id, installation=installation_id(), now=clock())
                if compared is None:
                    break
                count += 1
                if _compare(compared, link, waiting, clock):
                    continue
                if not link.is_open:
                    drift.postpone(pool_id, now=clock())
                    break
                drift.skip(compared, now=clock())
    return count


def _compare(compared: Compared, link: Link, waiting: Waiting, clock: Callable[[], datetime]) -> bool:
    """Compare one target; return whether the platform answered."""
    target = compared.target
    try:
        connector = link.connector(waiting)
        with waiting():
            calls = connector.plan(target, compared.orders).calls
            found = connector.probe(target) if calls else None
        drift_id = drift.store(compared, calls, found, now=clock())
    except (Transient, NoPlace, OutOfTime, SoftTimeLimitExceeded, DomainError) as error:
        log.info("target_not_compared", target=target.ref, reason=str(error))
        return False
    except ConnectorError as error:
        if not link.is_open:
            log.info("target_not_compared", target=target.ref, reason=str(error))
            return False
        drift_id = drift.store(compared, (), None, error, now=clock())
    if drift_id is not None:
        log.warning("drift", target=target.ref, drift=str(drift_id))
        drift.follow_policy(drift_id, now=clock())
    return True
