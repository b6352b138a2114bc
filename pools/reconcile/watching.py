"""Watch one pool whose platform tells changes by itself, as long as it goes.

What is told goes into the same merge as what is polled, under the pool's turn, with the cursor in the transaction that
ends the page. Polling goes on beside it, so a watch that is killed, or never was, loses nothing but speed.
"""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, cast

import structlog
from django.conf import settings
from django.db import connection

from connectors import session
from connectors.contract import CanWatch, Connector, ConnectorError, Page, Transient
from connectors.telemetry import health
from pools import dispatch
from pools.domain.errors import DomainError
from pools.reconcile import inventory
from pools.reconcile.heartbeat import DATABASE_FAILURES
from pools.selectors.installation import installation_id
from pools.selectors.watched import Watched
from pools.services import credentials, sync_runs, turns
from pools.services.turns import Turn, TurnLost

log = structlog.get_logger(__name__)

BUSY_SECONDS: Final = 0.5
BACK_OFF_MOST_SECONDS: Final = 60.0


class Over(Exception):
    """What is watched is not what was: the pool was edited or paused, or has to be looked at as a whole."""


@dataclass(slots=True)
class Watch:
    """One pool's watch. ``run`` it in a thread of its own, ``stop`` it from any.

    ``failures`` in a row make the pauses longer. ``is_full_wanted``: it ended because the platform wants a look at all,
    so there is nothing to watch from ``pool.cursor`` on.
    """

    pool: Watched
    clock: Callable[[], datetime]
    failures: int = 0
    is_full_wanted: bool = False
    _stopping: threading.Event = field(default_factory=threading.Event)
    _connector: Connector | None = None

    def stop(self) -> None:
        """Have it end within seconds."""
        self._stopping.set()
        if (connector := self._connector) is not None:
            connector.close()

    def run(self) -> float:
        """Merge what the platform tells until that ends; return after how many seconds to try again. Never raises."""
        bound = log.bind(pool=self.pool.name)
        try:
            self._follow()
            return 0.0
        except Over:
            return 0.0
        except ConnectorError as error:
            if self._stopping.is_set():  # closed from outside, which looks like a failure of the platform
                return 0.0
            bound.warning("watch_failed", code=error.code, reason=str(error))
            return self._pause_seconds(error.after_seconds if isinstance(error, Transient) else None)
        except DomainError as error:
            bound.warning("watch_failed", code=error.code, reason=str(error))
        except DATABASE_FAILURES as error:
            bound.warning("watch_failed", code="database", error=type(error).__name__)
        except Exception:
            bound.exception("watch_failed", code="internal")
        finally:
            connection.close()
        return self._pause_seconds(None)

    def _follow(self) -> None:
        with session.connect(
            self.pool.kind,
            self.pool.settings,
            credentials.of_pool(self.pool.id),
            outgoing=settings.OUTGOING,
            installation=installation_id(),
            identity_key=self.pool.identity,
            log=log.bind(pool=self.pool.name),
        ) as connector:
            self._connector = connector
            if self._stopping.is_set():
                return
            connection.close()  # a quiet platform keeps no connection of the database
            for page in cast(CanWatch, connector).watch(self.pool.cursor):
                if page.nodes or page.gone:
                    self._merge(page)
                    connection.close()
                self.failures = 0
                if self._stopping.is_set():
                    return
        if not self._stopping.is_set():
            self.is_full_wanted = True
            log.info("watch_wants_full_look", pool=self.pool.name)
            sync_runs.make_due(self.pool.id, now=self.clock())
            dispatch.observe(self.pool.id, self.pool.kind)

    def _merge(self, page: Page) -> None:
        """Merge the page as soon as nobody else is at the pool. Raises Over, ConnectorError, DatabaseError."""
        while not self._stopping.is_set():
            turn = turns.take_for_changes(pool_id=self.pool.id, generation=self.pool.generation, now=self.clock())
            if turn == "over":
                raise Over
            if isinstance(turn, Turn):
                if page.last and health.carried(turn.cursor) != health.carried(page.last.cursor):
                    # A look has read other faults since; what was watched would undo them.
                    _give_back(turn)
                    raise Over
                try:
                    inventory.merge(turn, iter([page]), clock=self.clock)
                    return
                except TurnLost:
                    log.warning("turn_lost", pool=self.pool.name)
                except BaseException:
                    _give_back(turn)
                    raise
            self._stopping.wait(BUSY_SECONDS)

    def _pause_seconds(self, after_seconds: float | None) -> float:
        self.failures += 1
        seconds = min(BACK_OFF_MOST_SECONDS, 2.0 ** min(self.failures - 1, 10))
        return max(seconds * random.uniform(0.75, 1.25), after_seconds or 0.0)  # noqa: S311  # spreads, hides nothing


def _give_back(turn: Turn) -> None:
    """At once where that can be done, else when its time is over."""
    try:
        connection.close()
        turns.give_back(turn)
    except DATABASE_FAILURES:
        log.warning("turn_left_to_its_time", pool=turn.pool_name)
