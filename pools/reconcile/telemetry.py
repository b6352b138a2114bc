"""Ask the devices of a pool how busy they are, every few minutes; no part of a sync, and no sync waits for it."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

import structlog
from django.conf import settings

from connectors import session
from connectors.contract import CanTelemeter, ConnectorError
from pools.domain.errors import DomainError
from pools.reconcile import lanes
from pools.reconcile.alone import alone
from pools.reconcile.lanes import Lane
from pools.selectors import due
from pools.selectors.installation import installation_id
from pools.services import credentials, telemetry

log = structlog.get_logger(__name__)

_LOCK_SEED = 4


def run(*, pool_id: UUID, clock: Callable[[], datetime], lane: Lane | None = None) -> int | None:
    """Read and store the telemetry of a pool if that is due; return how many device hours were written.

    None: it is not due, somebody is at it, ``lane`` has no place, or the platform failed, which the log says. It is
    asked again when the interval is over in any case: what was not measured is missing, and nothing waits for it.
    """
    with lanes.place(lane, is_needed=True) as may_begin, alone(pool_id, _LOCK_SEED) as is_alone:
        if not may_begin or not is_alone or (target := due.telemetry_target(pool_id, clock())) is None:
            return None
        seconds = settings.TELEMETRY_SECONDS * random.uniform(0.9, 1.1)  # noqa: S311  # spreads, hides nothing
        telemetry.plan_next(pool_id, at=clock() + timedelta(seconds=seconds))
        bound = log.bind(pool=target["name"])
        try:
            return _read(target, clock)
        except (ConnectorError, DomainError) as error:
            bound.warning("telemetry_failed", code=error.code, reason=str(error))
            return None


def _read(target: dict[str, Any], clock: Callable[[], datetime]) -> int:
    with session.connect(
        target["kind"],
        target["settings"],
        credentials.of_pool(target["id"]),
        outgoing=settings.OUTGOING,
        installation=installation_id(),
        identity_key=target["identity"],
        log=log.bind(pool=target["name"]),
    ) as connector:
        if not isinstance(connector, CanTelemeter):
            return 0
        readings = list(cast(CanTelemeter, connector).telemetry())
    return telemetry.store(pool_id=target["id"], readings=readings, now=clock())
