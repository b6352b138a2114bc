"""Every statement of a claim finds its rows by index in a large fleet, with the statistics that it then has."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection

from pools.domain.request import Choice, Share
from pools.models import Quota
from pools.selectors.columns import Column
from pools.services import allocations, queue
from tests.factories import ALICE
from tests.services.asking import World, with_host

pytestmark = pytest.mark.django_db(transaction=True)

LARGE = {"capacity", "node", "allocation", "claim", "member", "operation"}
# They hold only what waits or is due, and are read from their beginning on.
SMALL_INDEXES = {"allocation_queue", "allocation_hold_due", "allocation_end_due"}
COPIES = 25_000


def copied(table: str, changes: str, where: str = "true") -> str:
    """A statement that makes COPIES rows of a table like the first one, with some columns of each changed."""
    return f"""
CREATE TEMP TABLE made_{table} ON COMMIT DROP AS
    SELECT t.*, c.i AS copy FROM (SELECT * FROM {table} WHERE {where} LIMIT 1) t, copies c;
UPDATE made_{table} m SET {changes} FROM copies c WHERE c.i = m.copy;
ALTER TABLE made_{table} DROP COLUMN copy;
INSERT INTO {table} SELECT * FROM made_{table};
DROP TABLE made_{table};
"""


@pytest.fixture
def world() -> World:
    """A fleet of 25,000 nodes with free cards, and as many allocations, analysed."""
    made = World(count=2)
    assert made.ask(2, per_member=with_host(1000)).state == "active"
    with connection.cursor() as cursor:
        cursor.execute("BEGIN; SET LOCAL session_replication_role = replica")
        cursor.execute(
            "CREATE TEMP TABLE copies ON COMMIT DROP AS SELECT i, new_id() AS node_id, new_id() AS cards_id,"
            f" new_id() AS allocation_id FROM generate_series(1, {COPIES}) i"
        )
        for statement in (
            copied("node", "id = c.node_id, ref = 'r' || c.i, name = 'r' || c.i"),
            copied(
                "capacity",
                "id = c.cards_id, node_id = c.node_id, shuffle = c.i * 80000",
                "kind = 'cards' AND claimed_milli = 0",
            ),
            copied("capacity", "id = new_id(), node_id = c.node_id, shuffle = c.i * 80000", "kind = 'host'"),
            copied("allocation", "id = c.allocation_id"),
            copied("member", "allocation_id = c.allocation_id, node_id = c.node_id"),
            copied("claim", "id = new_id(), allocation_id = c.allocation_id, capacity_id = c.cards_id"),
            copied("operation", "id = new_id(), allocation_id = c.allocation_id, target_ref = 'oc-' || c.i"),
        ):
            cursor.execute(statement)
        sums = ("total_milli", "free_milli", "free_whole", "claimed_milli")
        cursor.execute(f"UPDATE capacity_rollup SET {', '.join(f'{name} = {name} * {COPIES}' for name in sums)}")
        cursor.execute("COMMIT")
        cursor.execute(f"ANALYZE {', '.join(sorted(LARGE))}")
    return made


def whole_reads(plan: dict[str, Any]) -> Iterator[str]:
    """The parts of a plan that read all of a large table, or all of an index of it."""
    kind, index = plan["Node Type"], plan.get("Index Name")
    is_whole = kind == "Seq Scan" or (kind in ("Index Scan", "Index Only Scan") and "Index Cond" not in plan)
    if plan.get("Relation Name") in LARGE and is_whole and index not in SMALL_INDEXES:
        yield f"{kind} on {plan['Relation Name']} by {index}"
    for part in plan.get("Plans", ()):
        yield from whole_reads(part)


def _is_beside(params: Any) -> bool:
    """Columns travel beside the statement only."""
    values = params.values() if isinstance(params, dict) else params or ()
    return any(isinstance(value, Column) for value in values)


def test_no_statement_of_a_claim_reads_a_whole_table(world: World) -> None:
    found: dict[str, set[str]] = {}
    seen: set[str] = set()

    def explained(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        verb = sql.split(None, 1)[0].upper() if sql.strip() else ""
        if verb in ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "--") and not many:
            raw: Any = connection.connection
            with psycopg.Cursor(raw) if _is_beside(params) else raw.cursor() as cursor:
                cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
                ((told,),) = cursor.fetchall()
            (plan,) = json.loads(told) if isinstance(told, str) else told
            seen.update(table for table in LARGE if f" {table} " in sql)
            if reads := set(whole_reads(plan["Plan"])):
                found[" ".join(sql.split())[:100]] = reads
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explained):
        made = world.ask(2, per_member=with_host(1000), lease_seconds=60)
        assert made.state == "active"
        assert world.ask(8, members=2).state == "active"
        assert world.ask(1, share=Share(milli=250), any_of=(Choice(vendor="nvidia"),)).state == "active"
        Quota.objects.update(nominal_milli=20_000)
        assert world.ask(8, queue=True).state == "queued"
        allocations.release(allocation_id=made.allocation_id, actor=ALICE, now=world.clock.now)
        queue.advance(now=world.clock.now)

    assert found == {}
    assert {"capacity", "allocation", "claim"} <= seen
