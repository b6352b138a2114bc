"""Every statement of the merge finds its rows by index, whatever the planner believes about the size of the tables."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from connectors.contract import CounterFact, NodeFact
from pools.models import Pool
from pools.services import sql
from tests.factories import Clock, Shows, device, holding, node, pool, synced

pytestmark = pytest.mark.django_db(transaction=True)

LARGE = {"node", "device", "capacity"}
OTHER_NODES = 4000


def analyze() -> None:
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE node, device, capacity")


@pytest.fixture(autouse=True)
def _no_statistics() -> Iterator[None]:
    """What other tests left behind is no part of the case, and no automatic analysis comes between."""
    tables = ("node", "device", "capacity")
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(tables)} CASCADE")  # the room that deleted rows took is a size as well
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
            cursor.execute("DELETE FROM pg_statistic WHERE starelid = %s::regclass", [table])
    yield
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} RESET (autovacuum_enabled)")


def a_large_pool() -> Pool:
    """Nodes with a card each, written by hand."""
    other = pool("large")
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO node (id, pool_id, ref, name, topology, topology_path, labels, cpu_milli, memory_mib,
                cpu_used_milli, memory_used_mib, device_count, is_available, unavailable_reason, unknown_resources,
                fingerprint, misses, loss_accepted, created_at, changed_at)
            SELECT new_id(), %(pool)s, 'r' || i, 'n' || i, '{}', '', '{}', 0, 0, 0, 0, 1, true, '', '{}', 0, 0, false,
                now(), now()
            FROM generate_series(1, %(count)s) i;
            INSERT INTO device (id, pool_id, node_id, ref, vendor, model_text, uuid, serial, memory_mib, total_milli,
                shadow_milli, shadow_mib, health, health_reason, uses, attributes, position, misses, created_at,
                changed_at)
            SELECT new_id(), %(pool)s, id, 'gpu0', '', '', 'U-' || ref, 'S-' || ref, 0, 1000, 0, 0, 'ok', '', '[]',
                '{}', 1, 0, now(), now() FROM node WHERE pool_id = %(pool)s;
            INSERT INTO capacity (id, pool_id, node_id, kind, resource, is_advisory, unit_milli, units, uses,
                device_ids, pos_total_milli, pos_total_mib, pos_shadow_milli, pos_shadow_mib, pos_faulty_milli,
                pos_faulty_mib, pos_claimed_milli, pos_claimed_mib, pos_held_milli, pos_held_mib, layout, ceiling_milli)
            SELECT new_id(), %(pool)s, id, 'host', '', false, 1000, 1, '[]', '{}', '{1}', '{1}', '{0}', '{0}', '{0}',
                '{0}', '{0}', '{0}', '{0}', '{0}', '{}', 1 FROM node WHERE pool_id = %(pool)s
            """,
            {"pool": other.id, "count": OTHER_NODES},
        )
    return other


def whole_reads(plan: dict[str, Any]) -> Iterator[str]:
    """The parts of a plan that read one of the large tables without a look-up."""
    if plan.get("Relation Name") in LARGE and plan["Node Type"].endswith("Scan") and "Index Cond" not in plan:
        yield f"{plan['Node Type']} on {plan['Relation Name']} by {plan.get('Index Name')}"
    for part in plan.get("Plans", ()):
        yield from whole_reads(part)


@pytest.mark.parametrize("believed", ["nothing", "empty", "large"])
def test_no_statement_reads_a_whole_table(believed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if believed == "empty":
        analyze()
    lab, clock = pool("lab"), Clock()
    synced(lab, Shows(*[node(f"m{i}") for i in range(2)]), clock)
    a_large_pool()
    if believed == "large":
        analyze()
    found: dict[str, set[str]] = {}
    run = sql.run

    def explained(cursor: Any, name: str, params: Any = None) -> None:
        for number, statement in enumerate(sql.statements(name)):
            if "CREATE " in statement:
                cursor.execute(statement, params)
                continue
            cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", params)
            (plan,) = cursor.fetchone()
            reads = set(whole_reads((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]))
            if reads:
                found[f"{name}[{number}]"] = reads
            cursor.execute(statement, params)

    monkeypatch.setattr(sql, "run", explained)
    fleet = [node(f"n{i}", devices=4) for i in range(40)]
    counted = NodeFact(ref="c", name="c", counters=(CounterFact(ref="acme.com/part", total_units=2),))
    synced(lab, Shows(*fleet, counted, page_size=50), clock)
    other = [
        holding(f"n{i}", device(f"n{i}-0", health="faulty"), device(f"n{i + 1}-1"), device(f"new{i}"))
        for i in range(38)
    ]
    for _ in range(4):
        synced(lab, Shows(*other, *fleet[38:], page_size=50), clock)
        clock.forward(minutes=10)
    monkeypatch.setattr(sql, "run", run)

    assert found == {}
