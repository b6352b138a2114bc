"""Ask platforms for what tenants need to use what they have, on the session that carried it there."""

import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final

import structlog
from celery.exceptions import SoftTimeLimitExceeded

from connectors.contract import CanGrantAccess, ConnectorError, Delivery, Permanent, Transient
from pools.domain.errors import DomainError
from pools.reconcile import lanes
from pools.reconcile.lanes import Lane, NoPlace, OutOfTime
from pools.reconcile.link import Link, Waiting
from pools.selectors import targets
from pools.selectors.installation import installation_id
from pools.services import deliveries
from pools.services.deliveries import Wanted

log = structlog.get_logger(__name__)

CALL_SECONDS: Final = 60
_NO_ANSWER: Final = "The platform did not answer in time. It is asked again."
_BUG: Final = "ocenter itself failed; its log has the details. It is tried again."


def hand_over(link: Link, *, clock: Callable[[], datetime], lane: Lane | None) -> bool:
    """Ask for what is due for longest in the pool of the link, and keep the answer; return whether anything was due.

    Never raises for a platform that fails: the delivery tells.
    """
    wanted = deliveries.take(pool_id=link.pool_id, now=clock())
    if wanted is None:
        return False
    bound = log.bind(target=wanted.target.ref, allocation=str(wanted.allocation_id))
    try:
        answer = _asked(wanted, link, partial(lanes.patience, lane, lanes.until(time.monotonic() + CALL_SECONDS)))
        if not deliveries.fill(wanted, answer, now=clock()):
            bound.info("delivery_not_wanted_any_more")
        return True
    except ConnectorError as told:
        error = told
    except (NoPlace, OutOfTime, SoftTimeLimitExceeded):
        error = Transient(_NO_ANSWER, code="timeout")
    except DomainError as told:
        error = Transient(str(told), code="invalid_settings")
    except Exception:
        deliveries.fail(wanted, Transient(_BUG, code="internal"), now=clock())
        raise
    bound.warning("nothing_delivered", code=error.code, reason=str(error))
    deliveries.fail(wanted, error, now=clock())
    if isinstance(error, Transient) and not link.is_open:
        deliveries.postpone(link.pool_id, wanted.failures + 1, now=clock())
    return True


def _asked(wanted: Wanted, link: Link, waiting: Waiting) -> Delivery:
    """Ask for this allocation's orders and for no other's. Raises ConnectorError, DomainError."""
    connector = link.connector(waiting)
    if not isinstance(connector, CanGrantAccess):
        raise Permanent("Platforms of this kind hand nothing over.", code="not_supported")
    own = targets.orders_of(wanted.allocation_id, wanted.target_id, installation_id())
    if not own:
        raise Permanent("It is being given back, so nothing of it is handed over.", code="not_found")
    with waiting():
        return connector.access(wanted.target, own)
