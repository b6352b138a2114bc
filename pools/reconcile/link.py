"""A session to a pool that is opened when it is first needed and then serves several calls."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings

from connectors import session
from connectors.contract import Connector
from pools.selectors import due
from pools.selectors.installation import installation_id
from pools.services import credentials

log = structlog.get_logger(__name__)
Waiting = Callable[[], AbstractContextManager[None]]


class Link:
    """One session for several targets of a pool; closed at the end."""

    def __init__(self, pool_id: UUID) -> None:
        self.pool_id = pool_id
        self._opened = ExitStack()
        self._connector: Connector | None = None

    def __enter__(self) -> "Link":
        return self

    def __exit__(self, *_error: Any) -> None:
        self._opened.close()

    @property
    def is_open(self) -> bool:
        """True when the far end answered and is the one that we know."""
        return self._connector is not None

    def connector(self, waiting: Waiting) -> Connector:
        """Return the connector of the pool, opened within ``waiting``. Raises ConnectorError, CredentialUnreadable."""
        if self._connector is None:
            pool, secret, installation = due.far_end(self.pool_id), credentials.of_pool(self.pool_id), installation_id()
            with waiting():
                self._connector = self._opened.enter_context(
                    session.connect(
                        pool["kind"],
                        pool["settings"],
                        secret,
                        outgoing=settings.OUTGOING,
                        installation=installation,
                        identity_key=pool["identity"],
                        log=log.bind(pool=pool["name"]),
                    )
                )
        return self._connector
