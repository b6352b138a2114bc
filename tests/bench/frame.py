"""What every group of measurements gets: the server, the meter, the results, and how thorough to be."""

import os
import socket
from dataclasses import dataclass, field

import psycopg

from tests.bench import accounting
from tests.bench.accounting import Meter
from tests.bench.results import Results

INVENTORY = ("node", "device", "capacity", "capacity_rollup", "inventory_change", "ledger_event", "device_twin")
FLEET = ("node", "device", "capacity", "capacity_rollup", "device_twin", "pool_sync", "sync_run", "pool", "chip_model")
ALLOCATIONS = ("allocation", "member", "claim", "operation", "booking", "target", "delivery", "drift", "orphan")

_FILLED = """
SELECT oid::regclass::text FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 0
"""


@dataclass(slots=True)
class Frame:
    """``url`` is a migrated database of a durable server on this machine, which nobody else uses."""

    url: str
    is_quick: bool
    results: Results = field(default_factory=Results)

    def connect(self) -> psycopg.Connection:
        """Open a connection of its own, as the superuser. Raises: psycopg.Error."""
        return psycopg.connect(self.url, autocommit=True)

    def postmaster(self) -> int:
        """Return the process id of the server; its backends are its children.

        Raises: accounting.NotOnThisMachine, psycopg.Error.
        """
        with self.connect() as connection:
            return accounting.parent(connection.info.backend_pid)

    def meter(self, **roots: int) -> Meter:
        """Return a meter of these process trees and PostgreSQL's; without any, of this process and PostgreSQL."""
        return Meter(**(roots or {"app": os.getpid()}), postgresql=self.postmaster())

    def empty(self) -> None:
        """Remove every fleet and all that was had of it. Raises: psycopg.Error."""
        tables = ", ".join((*FLEET, *ALLOCATIONS, "inventory_change", "ledger_event"))
        with self.connect() as connection:
            connection.execute(f"TRUNCATE {tables} CASCADE")

    def settle(self) -> None:
        """Have the server do now what it would otherwise do in the middle of a slice. Raises: psycopg.Error.

        Not to empty tables, which autovacuum does not touch either: once vacuumed, a table without pages is planned to
        be read from end to end, also when it has grown, until it is analyzed again.
        """
        with self.connect() as connection:
            found = connection.execute(_FILLED).fetchall()
            connection.execute(f"VACUUM (ANALYZE) {', '.join(name for (name,) in found)}".encode())
            connection.execute("CHECKPOINT")

    def rows_written(self) -> int:
        """Return how many inventory rows were inserted, updated or deleted since the server started.

        Raises: psycopg.Error.
        """
        with self.connect() as connection:
            # Partitions report under their own names: inventory_change_y2026m11 and so on.
            query = """
                SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint FROM pg_stat_user_tables
                WHERE regexp_replace(relname, '_y[0-9]+m[0-9]+$', '') = ANY(%s)
            """
            return int(connection.execute(query, [list(INVENTORY)]).fetchone()[0])  # type: ignore[index] # always a row


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
