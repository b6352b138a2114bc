"""Merge what a pool shows into the inventory: changed nodes in short transactions, losses last, only if all was seen.

Nothing here talks to a platform. Every transaction takes the pool's advisory lock, checks that the turn still holds,
and locks its capacity rows in id order before it changes one.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from connectors.contract import NodeFact
from pools.domain import observation, states
from pools.domain.actors import SYSTEM
from pools.domain.observation import Recorded, Sight, Unseen
from pools.models import CapacityRollup, InventoryChange, Node
from pools.services import attribution, capacity, facts, orphans, sql, turns, twins
from pools.services.models import Resolver
from pools.services.turns import Turn

BATCH_NODES = 500
PREVIEW_CHANGES = 200
# A merge looks up some hundred nodes and their devices by index, however large the tables are. The planner cannot know
# it: the tables grow by a fleet within one run, and its statistics are of before; it would read whole tables.
_OFF = ("jit", "enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin")
KEYS = ("seen", "created", "changed", "unchanged", "missing", "retired")


class _DryRun(Exception):
    """Leaves a transaction whose changes must not last."""


@dataclass(slots=True)
class Counts:
    """What a run did, for nodes and devices apart."""

    nodes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KEYS, 0))
    devices: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KEYS, 0))

    def total(self, key: str) -> int:
        """Return nodes and devices together."""
        return self.nodes[key] + self.devices[key]


def recorded(pool_id: UUID) -> dict[str, Recorded]:
    """Return the live nodes of a pool by ref, as the last merge left them. One query, no model instances."""
    rows = Node.objects.filter(pool_id=pool_id, retired_at=None).values_list(
        "ref", "id", "fingerprint", "device_count", "missing_since"
    )
    return {
        ref: Recorded(id, fingerprint, devices, missing_since is not None)
        for ref, id, fingerprint, devices, missing_since in rows.iterator(chunk_size=5000)
    }


@dataclass(slots=True)
class Merge:
    """One run's writes. ``preview`` collects the first changes of a dry run, which writes nothing that lasts."""

    turn: Turn
    sight: Sight
    resolver: Resolver
    counts: Counts = field(default_factory=Counts)
    preview: list[dict[str, Any]] = field(default_factory=list)

    def batch(self, nodes: Sequence[tuple[NodeFact, int]], *, now: datetime) -> None:
        """Write changed nodes, given with their fingerprints, in one transaction.

        Raises turns.TurnLost when another run took over; then nothing of the batch is written.
        """
        found = attribution.markers(fact for fact, _ in nodes)
        with self._transaction(now) as cursor:
            own = attribution.explained(cursor, self.turn.pool_id, found)
            rows = facts.rows(nodes, self.sight.recorded, self.resolver, own)
            sql.run(cursor, "merge_incoming")
            _copy(cursor, "incoming_node", facts.NODE_COLUMNS, rows.nodes)
            _copy(cursor, "incoming_device", facts.DEVICE_COLUMNS, rows.devices)
            _copy(cursor, "incoming_counter", facts.COUNTER_COLUMNS, rows.counters)
            is_told = self._merge(cursor, self._params(now), has_known_nodes=any(not row[1] for row in rows.nodes))
        if is_told:
            self.settle_twins(now=now)

    def settle(self, unseen: Unseen, *, clock: Callable[[], datetime]) -> None:
        """Mark as missing what a complete observation did not show, and retire what is missing for long.

        Each transaction is of its own instant: one of the beginning would shorten the turn that the heartbeat keeps.
        """
        if not unseen and not self.sight.unsettled:
            return
        ordered = sorted(unseen.nodes)
        for start in range(0, max(len(ordered), 1), BATCH_NODES):
            batch, now = ordered[start : start + BATCH_NODES], clock()
            with self._transaction(now) as cursor:
                self._settle_batch(cursor, batch, unseen.devices if start == 0 else (), now, accepted=False)
                if start == 0:
                    self._store_fingerprints(cursor)

    def attribute(self, *, now: datetime) -> None:
        """Look anew at whose the recorded use is, for claims were given back since it was told, and at orphans."""
        if not attribution.is_anything_marked(self.turn.pool_id):
            return
        with self._transaction(now) as cursor:
            found = attribution.recorded_markers(cursor, self.turn.pool_id)
            own = attribution.explained(cursor, self.turn.pool_id, found)
            if attribution.renew(cursor, self.turn.pool_id, own, is_pool_grain=self.turn.is_pool_grain):
                capacity.refresh(cursor, self._params(now))
            orphans.renew(cursor, self.turn.pool_id, found, own, now=now)

    def settle_twins(self, *, now: datetime) -> None:
        """Let each card that other pools show too count in one pool, and in this one where it is the only one left."""
        while not self.turn.is_dry_run and twins.is_unsettled(self.turn.pool_id):
            with self._transaction(now) as cursor:
                if not twins.settle(cursor, self.turn.pool_id):
                    break

    def tell_faults(self, *, now: datetime) -> None:
        """Tell allocations of their hardware, in a transaction of its own: capacity is locked after them."""
        if not CapacityRollup.objects.filter(pool_id=self.turn.pool_id, claimed_milli__gt=0).exists():
            return
        params = self._params(now) | {"codes": list(states.ALLOCATION_FAULTS), "actor": SYSTEM.name}
        with self._transaction(now) as cursor:
            sql.run(cursor, "faults_told", params)

    def accept(self, node_ids: Collection[UUID], device_ids: Collection[UUID], *, now: datetime) -> None:
        """Mark as missing what a person gave up, in one transaction with their decision."""
        with connection.cursor() as cursor:
            self._prepare(cursor)
            self._settle_batch(cursor, sorted(node_ids), device_ids, now, accepted=True)

    def hold(self, node_ids: Collection[UUID], *, now: datetime) -> None:
        """Record, node by node, what would be lost and waits for a person."""
        with self._transaction(now) as cursor:
            cursor.execute(
                """
                INSERT INTO inventory_change (at, pool_id, run_id, object_kind, object_id, object_name, action, before)
                SELECT %s, pool_id, %s, 'node', id, name, 'held', jsonb_build_object('devices', device_count)
                FROM node WHERE id = ANY(%s) AND missing_since IS NULL
                """,
                [now, self.turn.run_id, list(node_ids)],
            )

    def _merge(self, cursor: CursorWrapper, params: dict[str, Any], *, has_known_nodes: bool) -> bool:
        """Write what is in the temporary tables. A first observation, where nothing is known, does the least.

        Returns whether a known device told more of who it is, and so may be one that another pool counts.
        """
        sql.run(cursor, "merge_match", params)
        created, known, is_told = self._count(cursor)
        if created or is_told:
            twins.lock(cursor)
        if has_known_nodes or known or self.turn.is_pool_grain:
            sql.run(cursor, "lock_capacity", params)
        if has_known_nodes:
            sql.run(cursor, "merge_known_nodes", params)
        sql.run(cursor, "merge_new_nodes", params)
        if created or is_told:
            sql.run(cursor, "merge_twins", params)
        if known:
            sql.run(cursor, "merge_known_devices", params)
        if created:
            sql.run(cursor, "merge_new_devices", params)
        if has_known_nodes:
            sql.run(cursor, "merge_devices_of_known_nodes", params)
            self._note_unseen(cursor, cursor.fetchall())
        sql.run(cursor, "merge_counters", params)
        capacity.refresh(cursor, params)
        return is_told

    def _note_unseen(self, cursor: CursorWrapper, rows: Sequence[tuple[UUID, UUID, int]]) -> None:
        """Note devices that were not among the facts of their node, given with the node's id and fingerprint.

        Until it is decided what becomes of them the node has no valid fingerprint: if this run ends before, by a kill
        or as incomplete, the next one looks at the node again. Else nobody would ever miss the devices.
        """
        if not rows:
            return
        self.sight.unseen_devices.update(row[0] for row in rows)
        nodes = {row[1]: row[2] for row in rows}
        self.sight.unsettled |= nodes
        cursor.execute("UPDATE node SET fingerprint = ~fingerprint WHERE id = ANY(%s)", [list(nodes)])

    def _store_fingerprints(self, cursor: CursorWrapper) -> None:
        cursor.execute(
            """
            UPDATE node n SET fingerprint = s.fingerprint
            FROM unnest(%s::uuid[], %s::bigint[]) s (id, fingerprint) WHERE n.id = s.id
            """,
            [list(self.sight.unsettled), list(self.sight.unsettled.values())],
        )

    def _settle_batch(
        self,
        cursor: CursorWrapper,
        node_ids: Sequence[UUID],
        device_ids: Collection[UUID],
        now: datetime,
        *,
        accepted: bool,
    ) -> None:
        params = self._params(now) | {
            "nodes": list(node_ids),
            "devices": sorted(device_ids),
            "accepted": accepted,
            "misses": observation.MISSES_TO_RETIRE,
            "seconds": observation.MISSING_SECONDS_TO_RETIRE,
        }
        sql.run(cursor, "merge_incoming")
        sql.run(cursor, "settle_scope", params)
        sql.run(cursor, "lock_capacity", params)
        sql.run(cursor, "settle", params)
        for object_kind, key, count in cursor.fetchall():
            (self.counts.nodes if object_kind == "node" else self.counts.devices)[key] += count
        capacity.refresh(cursor, params)

    @contextmanager
    def _transaction(self, now: datetime) -> Iterator[CursorWrapper]:
        """One merge transaction under the pool's lock and the turn. A dry run rolls it back."""
        try:
            with transaction.atomic(durable=True), connection.cursor() as cursor:
                self._prepare(cursor)
                turns.keep(self.turn, now=now)
                yield cursor
                if self.turn.is_dry_run:
                    self._collect_preview()
                    raise _DryRun
        except _DryRun:
            pass

    def _prepare(self, cursor: CursorWrapper) -> None:
        turns.lock(self.turn.pool_id)
        names = ", ".join(f"set_config('{name}', 'off', true)" for name in _OFF)
        cursor.execute(f"SELECT set_config('ocenter.run_id', %s, true), {names}", [str(self.turn.run_id)])

    def _collect_preview(self) -> None:
        room = PREVIEW_CHANGES - len(self.preview)
        changes = InventoryChange.objects.filter(run_id=self.turn.run_id).order_by("id")
        columns = ("object_kind", "object_name", "action", "before", "after")
        self.preview.extend(dict(change) for change in changes.values(*columns)[: max(room, 0)])

    def _count(self, cursor: CursorWrapper) -> tuple[int, int, bool]:
        """Count created and changed objects before they are written; return how many devices are new, and known.

        And whether any that is known came back, or tells more of who it is.
        """
        cursor.execute("SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new) FROM incoming_node")
        created, changed = cursor.fetchone()
        self.counts.nodes["created"] += created
        self.counts.nodes["changed"] += changed
        cursor.execute("SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new) FROM incoming_device")
        created, known = cursor.fetchone()
        self.counts.devices["created"] += created
        is_told = False
        if known:
            sql.run(cursor, "compare_known_devices")
            changed, unchanged, moved, is_told = cursor.fetchone()
            self.counts.devices["changed"] += changed
            self.counts.devices["unchanged"] += unchanged
            # Seen here, so not missing on the node where they were.
            self.sight.moved_devices.update(moved or ())
        return created, known, is_told

    def _params(self, now: datetime) -> dict[str, Any]:
        return {
            "pool": self.turn.pool_id,
            "run": self.turn.run_id,
            "now": now,
            "is_advisory": self.turn.is_pool_grain,
        }


def _copy(cursor: CursorWrapper, table: str, columns: str, rows: Sequence[tuple[Any, ...]]) -> None:
    if not rows:
        return
    # Django wraps what execute() raises, and knows nothing of copy().
    with connection.wrap_database_errors, cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
