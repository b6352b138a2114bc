"""What must hold of a pool's rows after every step, checked with plain Python against a reference and the log."""

from collections import Counter, defaultdict
from typing import Any
from uuid import UUID

from django.db import connection

from pools.models import Capacity, Device, InventoryChange, Node
from tests.reconcile.reference import Card, Host, Reference, replayed, used

INVENTORY_TABLES = ("node", "device", "capacity", "capacity_rollup", "device_twin")
KEYS = ("pool_id", "kind", "model_id", "profile", "is_advisory")
SUMS = (
    *("units", "total_milli", "claimed_milli", "held_milli", "shadow_milli", "faulty_milli"),
    *("free_milli", "free_mib", "free_whole"),
)


def written() -> dict[str, list[tuple[str, ...]]]:
    """Every inventory row with the transaction that wrote it: equal means that nothing was written."""
    with connection.cursor() as cursor:
        found = {}
        for table in INVENTORY_TABLES:
            cursor.execute(f"SELECT id::text, xmin::text FROM {table} ORDER BY 1")
            found[table] = cursor.fetchall()
        return found


class Books:
    """Checks one pool. Remembers what may never change: positions, and what claims own."""

    def __init__(self, pool_id: UUID, reference: Reference) -> None:
        self.pool_id = pool_id
        self.reference = reference
        self.positions: dict[UUID, list[UUID]] = {}
        self.claims: dict[tuple[UUID, int], list[int]] = defaultdict(lambda: [0, 0])

    def check(self) -> None:
        nodes = {row.id: row for row in Node.objects.filter(pool_id=self.pool_id)}
        devices = {row.id: row for row in Device.objects.filter(pool_id=self.pool_id)}
        capacity = {row.id: row for row in Capacity.objects.filter(pool_id=self.pool_id)}
        self._hosts(nodes)
        self._cards(devices)
        self._places(devices, capacity)
        for row in capacity.values():
            self._row(row)
        self._counters(capacity)
        self._pool_counters(capacity)
        self._log(nodes, devices)
        check_sums(self.pool_id)

    # --- (1) what is there ---

    def _hosts(self, nodes: dict[Any, Node]) -> None:
        by_ref = {row.ref: row for row in nodes.values() if row.retired_at is None}
        assert set(by_ref) == set(self.reference.live())
        for ref, host in self.reference.live().items():
            row = by_ref[ref]
            host.row_id = host.row_id or row.id
            assert (row.id, row.name, row.is_available) == (host.row_id, host.fact.name, host.fact.is_available)
            assert (row.missing_since, row.misses, row.loss_accepted) == (
                host.missing_since, host.misses, host.is_accepted,
            )  # fmt: skip
        retired = [host.row_id for host in self.reference.hosts if host.is_retired]
        assert Counter(retired) == Counter(row.id for row in nodes.values() if row.retired_at is not None)

    def _cards(self, devices: dict[Any, Device]) -> None:
        unknown = [row for row in devices.values() if row.id not in {card.row_id for card in self.reference.cards}]
        for card in self.reference.cards:
            if card.row_id is None:
                (row,) = (r for r in unknown if r.node_id == card.host.row_id and _identity(r) == _identity_of(card))
                card.row_id = row.id
                unknown.remove(row)
            row = devices[card.row_id]
            assert row.node_id == card.host.row_id and _identity(row) == _identity_of(card)
            assert (row.retired_at is not None) == card.is_retired, (row, card)
            assert (row.health, row.model_text, row.shadow_milli) == (
                card.fact.health, card.fact.model, used(card.fact.uses, card.fact.total_milli),
            )  # fmt: skip
            if not card.is_retired:
                assert (row.missing_since, row.misses) == (card.missing_since, card.misses), card
        assert not unknown

    # --- (2) capacity ---

    def _places(self, devices: dict[Any, Device], capacity: dict[Any, Capacity]) -> None:
        cards = {card.row_id: card for card in self.reference.cards}
        for card in self.reference.live_cards():
            row = devices[card.row_id]
            assert row.capacity_id is not None and row.position is not None
            home = capacity[row.capacity_id]
            assert home.device_ids[row.position - 1] == row.id
            assert (home.node_id, home.model_id, home.profile) == (row.node_id, row.model_id, row.profile)
            card.place = (home.id, row.position)
        for home in capacity.values():
            if home.kind != "cards":
                continue
            assert len(set(home.device_ids)) == len(home.device_ids), "a device has one position"
            assert home.device_ids[: len(self.positions.get(home.id, []))] == self.positions.get(home.id, [])
            self.positions[home.id] = home.device_ids
            live = [cards[i] if cards[i].place == (home.id, p) and not cards[i].is_retired else None
                    for p, i in enumerate(home.device_ids, start=1)]  # fmt: skip
            assert home.pos_total_milli == [card.fact.total_milli if card else 0 for card in live]
            assert home.pos_shadow_milli == [used(card.fact.uses, 1000) if card else 0 for card in live]
            assert home.pos_faulty_milli == [card.fact.total_milli if card and card.is_out else 0 for card in live]
            assert home.units == sum(card is not None for card in live)

    def _row(self, row: Capacity) -> None:
        """The derived columns, once more: invariants 1 and 11."""
        count = max(len(row.device_ids), 0 if row.kind == "cards" else 1)
        sums = dict.fromkeys(SUMS, 0)
        biggest = overcommitted = 0
        for p in range(count):
            total, claimed, held = row.pos_total_milli[p], row.pos_claimed_milli[p], row.pos_held_milli[p]
            assert [claimed, held] == self.claims[row.id, p + 1], "a claim is nothing that a sync changes"
            shadow = min(row.pos_shadow_milli[p], max(total - claimed - held, 0))
            faulty = min(row.pos_faulty_milli[p], max(total - claimed - held - shadow, 0))
            free = max(total - claimed - held - shadow - faulty, 0)
            overcommitted += max(claimed + held - total, 0)
            values = zip(SUMS[1:7], (total, claimed, held, shadow, faulty, free), strict=True)
            for name, value in values:
                sums[name] += value
            biggest = max(biggest, free)
            sums["free_whole"] += {"cards": 0 < free == total, "counter": free // row.unit_milli, "host": 0}[row.kind]
        assert {n: getattr(row, n) for n in (*SUMS[1:7], "free_whole")} == {
            n: sums[n] for n in (*SUMS[1:7], "free_whole")
        }
        assert row.max_free_milli == biggest
        parts = sum(sums[name] for name in SUMS[2:7])
        assert parts == row.total_milli + overcommitted
        assert row.claimed_milli + row.held_milli <= row.ceiling_milli >= row.total_milli

    def _counters(self, capacity: dict[Any, Capacity]) -> None:
        wanted = {}
        for host in self.reference.hosts:
            is_out = host.missing_since is not None or not host.fact.is_available
            wanted[host.row_id, ""] = self._host_row(host, is_out)
            for fact in host.fact.counters:
                if host.is_retired:
                    continue
                total = fact.total_units * fact.unit_milli
                out = total if is_out else fact.faulty_units * fact.unit_milli
                wanted[host.row_id, fact.ref] = (fact.total_units, total, used(fact.uses, total), out)
        rows = [row for row in capacity.values() if row.kind in ("counter", "host") and row.node_id is not None]
        for row in rows:
            (total,), (shadow,), (faulty,) = row.pos_total_milli, row.pos_shadow_milli, row.pos_faulty_milli
            found = (row.units, total, shadow, faulty)
            assert found == wanted.pop((row.node_id, row.resource), (0, 0, 0, 0)), (row.kind, row.resource)
        assert not wanted

    def _host_row(self, host: Host, is_out: bool) -> tuple[int, int, int, int]:
        if host.is_retired:
            return 0, 0, 0, 0
        return 1, host.fact.cpu_milli, host.fact.cpu_used_milli, host.fact.cpu_milli if is_out else 0

    # --- (8) pool grain ---

    def _pool_counters(self, capacity: dict[Any, Capacity]) -> None:
        sums: dict[Any, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for row in capacity.values():
            if row.is_advisory and row.kind != "host":
                parts = (row.units, row.total_milli, row.shadow_milli, row.faulty_milli)
                key = (row.model_id, row.profile, row.resource)
                sums[key] = [a + b for a, b in zip(sums[key], parts, strict=True)]
        for row in capacity.values():
            if row.node_id is None:
                assert not row.is_advisory
                found = [row.units, row.pos_total_milli[0], row.pos_shadow_milli[0], row.pos_faulty_milli[0]]
                assert found == sums.pop((row.model_id, row.profile, row.resource))
        assert not sums

    # --- (6) the log ---

    def _log(self, nodes: dict[Any, Node], devices: dict[Any, Device]) -> None:
        changes = InventoryChange.objects.filter(pool_id=self.pool_id).order_by("id")
        told = replayed(changes.values("object_id", "action", "before", "after").iterator())
        for rows in (nodes, devices):
            for id, row in rows.items():
                fields = told.get(id, {})
                # Cards that are made or retired with their node are told by the node's entry.
                home = nodes[row.node_id] if isinstance(row, Device) else row
                is_retired = fields.get("is_retired", False) or home.retired_at is not None
                assert is_retired == (row.retired_at is not None)
                if row.retired_at is None:
                    assert fields.get("is_missing", False) == (row.missing_since is not None)
                for name in fields.keys() & {"name", "health", "uuid", "serial", "model_text", "is_available", "ref"}:
                    assert fields[name] == getattr(row, name), (name, fields, row)


def check_sums(pool_id: UUID) -> None:
    """(3) roll-ups equal aggregates exactly; (5) the ledger's last word of each row is what the row says."""
    names = ", ".join(SUMS)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT count(*) FROM (
                SELECT {", ".join(KEYS)}, {", ".join(f"sum({name})::numeric AS {name}" for name in SUMS)} FROM (
                    SELECT {", ".join(KEYS)}, {names} FROM capacity WHERE pool_id = %(pool)s
                    UNION ALL
                    SELECT {", ".join(KEYS)}, {", ".join(f"-{name}" for name in SUMS)} FROM capacity_rollup
                    WHERE pool_id = %(pool)s) both_sides GROUP BY {", ".join(KEYS)}) differences
            WHERE {" OR ".join(f"{name} <> 0" for name in SUMS)}
            """,
            {"pool": pool_id},
        )
        assert cursor.fetchone() == (0,), "roll-ups drift"
        cursor.execute(
            """
            SELECT count(*) FROM capacity c CROSS JOIN (VALUES ('shadow'), ('faulty')) k (kind)
            WHERE c.pool_id = %(pool)s AND NOT c.is_advisory
                AND CASE k.kind WHEN 'shadow' THEN c.shadow_milli ELSE c.faulty_milli END IS DISTINCT FROM coalesce(
                    (SELECT milli FROM ledger_event e WHERE e.capacity_id = c.id AND e.kind = k.kind
                     ORDER BY e.id DESC LIMIT 1), 0)
            """,
            {"pool": pool_id},
        )
        assert cursor.fetchone() == (0,), "the ledger's last word is not the row's"


def _identity(row: Device) -> tuple[Any, ...]:
    return row.ref, row.uuid, row.serial, row.profile


def _identity_of(card: Card) -> tuple[Any, ...]:
    return card.fact.ref, card.uuid, card.serial, card.fact.profile
