"""Who watches which pool: locks of one database session, which end with the process that holds them."""

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connections

_POOLS, _PROCESSES = 2, 3  # seeds, so that these locks are no others; 0 and 1 are of merges and checks


class WatchLocks:
    """The locks of one process. Not for two threads at once.

    Every call raises DatabaseError when the session is gone, and with it the locks.
    """

    def __init__(self) -> None:
        self._connection = connections.create_connection(DEFAULT_DB_ALIAS)
        self._connection.inc_thread_sharing()
        self.held: set[UUID] = set()
        self._ask("SELECT pg_advisory_lock_shared(hashtextextended('watch', %s))", [_PROCESSES])

    def take(self, pool_id: UUID) -> bool:
        """Take the pool if no other process has it."""
        if self._ask("SELECT pg_try_advisory_lock(hashtextextended(%s, %s))", [str(pool_id), _POOLS]):
            self.held.add(pool_id)
        return pool_id in self.held

    def leave(self, pool_id: UUID) -> None:
        """Let others have the pool."""
        if pool_id in self.held:
            self._ask("SELECT pg_advisory_unlock(hashtextextended(%s, %s))", [str(pool_id), _POOLS])
            self.held.discard(pool_id)

    def processes(self) -> int:
        """Return how many processes watch pools of this database, this one included."""
        # A lock of 64 bits stands in two halves.
        found = self._ask(
            """
            SELECT count(*) FROM pg_locks, hashtextextended('watch', %s) key
            WHERE locktype = 'advisory' AND granted AND objsubid = 1
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND (classid::bigint << 32 | objid::bigint) = key
            """,
            [_PROCESSES],
        )
        return max(1, int(str(found)))

    def close(self) -> None:
        """Let others have all of them."""
        with suppress(DatabaseError, InterfaceError):
            self._connection.close()
        self.held.clear()

    def _ask(self, statement: str, params: Sequence[str | int]) -> object:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, params)
            return cursor.fetchone()[0]
