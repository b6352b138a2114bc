"""Find what is due and no hint announced. Two sweeps at once are harmless: each pool's turn is taken once."""

from collections.abc import Callable
from datetime import datetime

import structlog

from pools import dispatch
from pools.selectors import due, verification
from pools.services import idempotency, pools, seals

log = structlog.get_logger(__name__)


def sweep(*, clock: Callable[[], datetime]) -> None:
    """Send hints for what is due, let go of drafts and of keys whose time is over, and seal what the logs gained."""
    now = clock()
    for pool_id, kind in due.runs(now):
        dispatch.observe(pool_id, kind)
    for pool_id, kind in due.checks():
        dispatch.check(pool_id, kind)
    if gone := pools.remove_expired_drafts(now=now):
        log.info("drafts_removed", count=gone)
    idempotency.sweep(now=now)
    if verification.due(now):
        dispatch.verify()
    seals.seal(now=now)
