"""Move allocations on as their platforms answer. Reaches no platform: what is to be done there, targets do."""

from collections.abc import Callable
from datetime import datetime

import structlog

from pools import dispatch
from pools.selectors import targets
from pools.services import allocations, binding, rerouting

log = structlog.get_logger(__name__)

_STEPS = (
    ("allocations_refused", binding.give_up),
    ("allocations_activated", binding.activate),
    ("releases_stuck", binding.show_stuck),
    ("releases_ended", allocations.end_releases),
    ("allocations_freed", rerouting.free),
    ("allocations_rerouted", rerouting.claim_elsewhere),
    ("allocations_ordered", binding.order),
)
APPLIES_AT_ONCE = 2  # workers that change one pool at the same time


def advance(*, clock: Callable[[], datetime]) -> None:
    """Move every allocation that can be moved, and hint at the pools with targets that are due then."""
    for name, step in _STEPS:
        count = 0
        while some := step(now=clock()):
            count += some
        if count:
            log.info(name, count=count)
    for pool_id, kind in targets.due_pools(clock()):
        dispatch.apply(pool_id, kind)
