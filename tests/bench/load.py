"""Writes a fleet straight into the tables by COPY.

The triggers of the capacity table sum up while COPY runs, so the roll-ups are as exact as after a sync.
"""

import json
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta

import psycopg

from tests.bench import indexes
from tests.bench.fleet import CARDS, KINDS, MODEL, POOL, RUN, Fleet, key
from tests.bench.rows import CAPACITY_COLUMNS, DEVICE_COLUMNS, NODE_COLUMNS, write_node

NODES_PER_BATCH = 2_500
MOST_CHANGES = 5  # of one run
# From this many devices on it pays to load without indexes and foreign keys and to make them afterwards.
BULK_DEVICES = 100_000
COLUMNS = {"node": NODE_COLUMNS, "capacity": CAPACITY_COLUMNS, "device": DEVICE_COLUMNS}


def load(connection: psycopg.Connection, fleet: Fleet, observed_at: datetime) -> Mapping[str, float]:
    """Write the fleet into a migrated database that holds none of it yet, in one transaction.

    Returns the seconds of wall time by step. Raises: psycopg.Error.
    """
    seconds: dict[str, float] = {}
    with connection.transaction(), connection.cursor() as cursor:
        with _timed(seconds, "pools"):
            _copy_all(cursor, "chip_model", MODEL_COLUMNS, _models(fleet, observed_at))
            _copy_all(cursor, "pool", POOL_COLUMNS, _pools(fleet, observed_at))
            _copy_all(cursor, "sync_run", RUN_COLUMNS, _runs(fleet, observed_at))
            _copy_all(cursor, "pool_sync", SYNC_COLUMNS, _syncs(fleet, observed_at))
        remake = indexes.drop(cursor, list(COLUMNS)) if fleet.devices >= BULK_DEVICES else []
        _load_nodes(cursor, fleet, observed_at, seconds)
        with _timed(seconds, "indexes"):
            for statement in remake:
                cursor.execute(statement)
    return seconds


# --- the few rows -----------------------------------------------------------------------------------------------------

MODEL_COLUMNS = "id slug vendor name memory_mib interconnect compute_unit_milli is_catalogued source created_at"
POOL_COLUMNS = (
    "id name kind state mode grain region labels settings sync_interval_seconds identity identity_label version"
    " generation created_at activated_at"
)
SYNC_COLUMNS = (
    "pool_id health health_reason observed_at next_at consecutive_failures last_run_id complete_runs check_state"
)
RUN_COLUMNS = (
    "id pool_id kind trigger state is_dry_run complete seen created changed unchanged missing retired counts pages"
    " byte_count warnings error phases actor request_id decided_by queued_at started_at heartbeat_at ended_at"
)


def _models(fleet: Fleet, at: datetime) -> Iterator[tuple[object, ...]]:
    for number in range(fleet.models):
        vendor, name, memory_mib = CARDS[number % len(CARDS)]
        slug = f"bench-{fleet.seed}-{number:02d}"
        yield key(MODEL, fleet.seed, number), slug, vendor, name, memory_mib, "", 1000, True, "made up", at


def _pools(fleet: Fleet, at: datetime) -> Iterator[tuple[object, ...]]:
    for number in range(min(fleet.pools, fleet.nodes)):
        kind, region = KINDS[number % len(KINDS)], f"region-{number % 8}"
        name = f"bench-{fleet.seed}-{number:03d}"
        labels = json.dumps({"tier": ("gold", "silver", "bronze")[number % 3]})
        yield (
            key(POOL, fleet.seed, number), name, kind, "active", "device", "device", region, labels, "{}", 600,
            f"{name}.example.org", name, "1.0", 1, at - timedelta(days=30), at - timedelta(days=30),
        )  # fmt: skip


def _syncs(fleet: Fleet, at: datetime) -> Iterator[tuple[object, ...]]:
    for number in range(min(fleet.pools, fleet.nodes)):
        is_well = number % 20 != 0
        last = key(RUN, fleet.seed, (number + 1) * fleet.runs_per_pool - 1) if fleet.runs_per_pool else None
        yield (
            key(POOL, fleet.seed, number), "online" if is_well else "degraded", "" if is_well else "slow to answer", at,
            at + timedelta(seconds=60 + number), 0 if is_well else 2, last, fleet.runs_per_pool, "idle",
        )  # fmt: skip


def _runs(fleet: Fleet, at: datetime) -> Iterator[tuple[object, ...]]:
    devices = max(fleet.devices // min(fleet.pools, fleet.nodes), MOST_CHANGES)
    for number in range(min(fleet.pools, fleet.nodes) * fleet.runs_per_pool):
        pool, back = number // fleet.runs_per_pool, fleet.runs_per_pool - 1 - number % fleet.runs_per_pool
        has_failed, start = number % 50 == 7, at - timedelta(minutes=back, seconds=30)
        state, changed = ("failed", 0) if has_failed else ("succeeded", number % MOST_CHANGES)
        error = json.dumps({"code": "unreachable", "message": "no answer", "platform_words": ""})
        end = start + timedelta(seconds=2)
        yield (
            key(RUN, fleet.seed, number), key(POOL, fleet.seed, pool), "full", "schedule", state, False, not has_failed,
            devices, 0, changed, devices - changed, 0, 0, "{}", 1, 100_000, "[]", error if has_failed else None,
            json.dumps({"observe": 1.5, "merge": 0.5}), "", "", "", start, start, end, end,
        )  # fmt: skip


def _copy_all(cursor: psycopg.Cursor, table: str, columns: str, rows: Iterator[tuple[object, ...]]) -> None:
    with cursor.copy(f"COPY {table} ({_quoted(columns)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _load_nodes(cursor: psycopg.Cursor, fleet: Fleet, at: datetime, seconds: dict[str, float]) -> None:
    rng = random.Random(fleet.seed)
    for first in range(0, fleet.nodes, NODES_PER_BATCH):
        texts: dict[str, list[str]] = {table: [] for table in COLUMNS}
        with _timed(seconds, "text"):
            for node in range(first, min(first + NODES_PER_BATCH, fleet.nodes)):
                write_node(texts, fleet, node, at.isoformat(), rng)
        for table, columns in COLUMNS.items():
            with _timed(seconds, table), cursor.copy(f"COPY {table} ({_quoted(columns)}) FROM STDIN") as copy:
                copy.write("".join(texts[table]))


def _quoted(columns: str) -> str:
    return ", ".join(f'"{column}"' for column in columns.split())


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start
