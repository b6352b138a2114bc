"""The state of a device is told in Python and in SQL, and both say the same."""

import itertools
from contextlib import contextmanager

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from pools.domain import devices as rules
from pools.models import Capacity, Device, Node
from pools.selectors import device_keys, devices
from pools.selectors import fleet as overview
from pools.services import sql
from tests.factories import EVERYTHING, NOW, Clock, Shows, node, pool, synced

pytestmark = pytest.mark.django_db(transaction=True)

TAKEN = [(0, 0), (250, 0), (0, 250), (500, 500), (1000, 0)]
CASES = list(
    itertools.product(
        (False, True),  # retired
        (None, "device", "node"),  # missing
        ("ok", "faulty", "unknown"),
        (1000, 0),  # total
        TAKEN,
        (0, 300),  # shadow
        (True, False),  # node available
        (False, True),  # given out by another pool
    )
)


@pytest.fixture
def fleet():
    """A device for every case, each on a node of its own, since some cases are about the node."""
    lab = pool()
    synced(lab, Shows(*[node(f"n{number:04}", devices=1) for number in range(len(CASES))], page_size=500), Clock())
    of_node = {d.node.name: d for d in Device.objects.select_related("node")}
    by_case = [(case, of_node[f"n{number:04}"]) for number, case in enumerate(CASES)]
    capacity = {row.node_id: row for row in Capacity.objects.filter(kind="cards")}
    for (is_retired, missing, health, total, (claimed, held), shadow, is_available, is_elsewhere), device in by_case:
        device.retired_at = NOW if is_retired else None
        device.missing_since = NOW if missing == "device" else None
        device.node.missing_since = NOW if missing == "node" else None
        device.node.is_available, device.health = is_available, health
        device.total_milli, device.shadow_milli, device.is_elsewhere = total, shadow, is_elsewhere
        row = capacity[device.node_id]
        is_out = health != "ok" or missing is not None or not is_available
        row.pos_claimed_milli, row.pos_held_milli = [claimed], [held]
        # As the sync counts it.
        row.pos_total_milli = [0 if is_retired or is_elsewhere else total]
        row.pos_shadow_milli = [0 if is_retired else shadow]
        row.pos_faulty_milli = [0 if is_retired or is_elsewhere or not is_out else total]
    Device.objects.bulk_update(
        [device for _, device in by_case],
        ["retired_at", "missing_since", "health", "total_milli", "shadow_milli", "is_elsewhere"],
    )
    Node.objects.bulk_update([device.node for _, device in by_case], ["missing_since", "is_available"])
    positions = ["pos_total_milli", "pos_shadow_milli", "pos_faulty_milli", "pos_claimed_milli", "pos_held_milli"]
    Capacity.objects.bulk_update(capacity.values(), positions)
    return by_case


def listed(limit=500, **params):
    cursor, rows = None, []
    while True:
        page = devices.page(params=params, cursor=cursor, limit=limit, now=NOW, access=EVERYTHING)
        rows += page.rows
        if (cursor := page.next_cursor) is None:
            return rows


@contextmanager
def analyzed():
    """With statistics, which are gone after: other tests are about plans without any."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("ANALYZE device, capacity, node")
        yield
        transaction.set_rollback(True)


def explained(**params):
    plans = []
    with connection.cursor() as cursor, CaptureQueriesContext(connection) as captured:
        devices.page(params=params, cursor=None, limit=50, now=NOW, access=EVERYTHING)
        for query in [each["sql"] for each in captured]:
            cursor.execute(f"EXPLAIN {query}")
            plans += [line for (line,) in cursor.fetchall()]
    return "\n".join(plans)


class TestTheStateOfADevice:
    def test_is_the_same_in_sql_for_every_combination(self, fleet):
        found = {state: {row.id: row for row in listed(state=state)} for state in rules.DEVICE_STATES}

        for (is_retired, missing, health, total, (claimed, held), shadow, is_available, is_elsewhere), device in fleet:
            wanted = rules.state(
                is_retired=is_retired,
                is_missing=missing is not None,
                health=health,
                total_milli=total,
                taken_milli=claimed + held,
                shadow_milli=shadow,
                is_node_available=is_available,
                is_elsewhere=is_elsewhere,
            )
            row = found[wanted][device.id]
            assert (row.state, row.claimed_milli, row.held_milli) == (wanted, claimed, held)
        assert sum(map(len, found.values())) == len(fleet) and all(found.values())

    def test_agrees_with_what_the_sync_counts_as_capacity(self, fleet):
        nodes = [device.node_id for _, device in fleet]
        with transaction.atomic(), connection.cursor() as cursor:
            sql.run(cursor, "merge_incoming")
            cursor.execute("INSERT INTO refresh_node SELECT id, false FROM unnest(%s::uuid[]) id", [nodes])
            sql.run(cursor, "refresh_known_cards", {"pool": fleet[0][1].pool_id, "is_advisory": False})
        capacity = {row.node_id: row for row in Capacity.objects.filter(kind="cards")}

        rows = {row.id: row for row in listed(state=",".join(rules.DEVICE_STATES))}

        for case, device in fleet:
            row, counted = rows[device.id], capacity[device.node_id]
            is_out = case[1] is not None or case[2] != "ok" or not case[6]
            left = max(0, counted.total_milli - counted.claimed_milli - counted.held_milli - counted.shadow_milli)
            assert (counted.total_milli, row.state == "free") == (
                0 if row.state == "retired" or case[7] else row.total_milli,
                counted.free_whole == 1,
            ), case
            assert (counted.faulty_milli, counted.free_milli) == ((left, 0) if is_out else (0, left)), case
            if row.state in rules.OUT_OF_SERVICE:
                assert counted.free_milli == 0, case

    def test_is_free_exactly_where_the_map_shows_a_free_cell(self, fleet):
        live = [device for case, device in fleet if not case[0]]

        (letters,) = overview.cells([live[0].pool_id]).values()

        rows = {row.id: row for row in listed()}
        assert [letter == "f" for letter in letters] == [rows[device.id].state == "free" for device in live]
        assert all(letter in "xu" for letter, device in zip(letters, live, strict=True)
                   if rows[device.id].state in rules.OUT_OF_SERVICE)  # fmt: skip

    def test_can_be_asked_for_several_at_once(self, fleet):
        everything = listed(state=",".join(rules.DEVICE_STATES))

        assert len(everything) == len({row.id for row in everything}) == len(fleet)
        assert [row.id for row in listed(state="free,missing")] == [
            row.id for row in everything if row.state in ("free", "missing")
        ]

    @pytest.mark.parametrize("health", ["ok", "faulty", "unknown", "faulty,unknown"])
    def test_and_health_are_two_filters(self, fleet, health):
        found = listed(health=health)

        assert {row.id for row in found} == {
            device.id for case, device in fleet if not case[0] and case[2] in health.split(",")
        }
        assert listed(health=health, state="missing") == [row for row in found if row.state == "missing"]


class TestAListOfDevices:
    def test_leaves_out_the_retired_unless_they_are_asked_for(self, fleet):
        assert {row.retired_at for row in listed()} == {None}
        assert len(listed()) == len(fleet) / 2

    def test_looks_at_so_much_for_a_page_and_goes_on_from_there(self, fleet, monkeypatch):
        states = ("free", "missing", "partial", "unknown", "unavailable", "faulty", "retired")
        whole = {state: listed(state=state) for state in states} | {"free,faulty": listed(state="free,faulty")}
        monkeypatch.setattr(device_keys, "MOST_NODES", 7)
        monkeypatch.setattr(device_keys, "MOST_DEVICES", 5)

        for state, rows in whole.items():
            assert listed(state=state) == rows
        first = devices.page(params={"state": "free"}, cursor=None, limit=500, now=NOW, access=EVERYTHING)
        assert len(first.rows) <= 7 and first.next_cursor is not None

    def test_goes_on_within_a_node(self):
        synced(pool(), Shows(node("n1", devices=8), node("n2", devices=8)), Clock())

        assert [row.ref for row in listed(limit=3)] == [row.ref for row in listed()]
        assert len(listed(limit=3)) == 16

    @pytest.mark.parametrize("state", rules.DEVICE_STATES)
    def test_is_read_from_indexes(self, state):
        synced(pool(), Shows(*[node(f"n{number}", devices=8) for number in range(200)], page_size=500), Clock())

        with analyzed():
            plan = explained(state=state)

        assert "Seq Scan on device" not in plan and "Seq Scan on capacity " not in plan, plan

    def test_is_found_by_the_beginning_of_uuid_and_serial_in_an_index(self):
        synced(pool(), Shows(*[node(f"n{number}", devices=8) for number in range(200)], page_size=500), Clock())

        with analyzed():
            by_uuid = Device.objects.filter(uuid__startswith="GPU-n7-3").explain()
            by_serial = Device.objects.filter(serial__startswith="S").explain()

        assert "device_uuid_unique" in by_uuid and "device_serial" in by_serial
        assert [row.uuid for row in listed(q="GPU-n7-3")] == ["GPU-n7-3"]
