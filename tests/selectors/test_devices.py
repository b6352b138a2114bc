"""The state of a device is told in Python and in SQL, and both say the same."""

import itertools

import pytest
from django.db import connection

from pools.domain import devices as rules
from pools.models import Capacity, Device, Node
from pools.selectors import devices
from tests.factories import NOW, Clock, Shows, node, pool, synced

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
    for (is_retired, missing, health, total, (claimed, held), shadow, is_available), device in by_case:
        device.retired_at = NOW if is_retired else None
        device.missing_since = NOW if missing == "device" else None
        device.node.missing_since = NOW if missing == "node" else None
        device.node.is_available, device.health = is_available, health
        device.total_milli, device.shadow_milli = total, shadow
        row = capacity[device.node_id]
        row.pos_claimed_milli, row.pos_held_milli = [claimed], [held]
    Device.objects.bulk_update(
        [device for _, device in by_case], ["retired_at", "missing_since", "health", "total_milli", "shadow_milli"]
    )
    Node.objects.bulk_update([device.node for _, device in by_case], ["missing_since", "is_available"])
    Capacity.objects.bulk_update(capacity.values(), ["pos_claimed_milli", "pos_held_milli"])
    return by_case


def listed(**params):
    cursor, rows = None, []
    while True:
        page = devices.page(params=params, cursor=cursor, limit=500, now=NOW)
        rows += page.rows
        if (cursor := page.next_cursor) is None:
            return rows


class TestTheStateOfADevice:
    def test_is_the_same_in_sql_for_every_combination(self, fleet):
        everything = {row.id: row for row in listed(state=",".join(rules.DEVICE_STATES))}

        for (is_retired, missing, health, total, (claimed, held), shadow, is_available), device in fleet:
            wanted = rules.state(
                is_retired=is_retired,
                is_missing=missing is not None,
                health=health,
                total_milli=total,
                taken_milli=claimed + held,
                shadow_milli=shadow,
                is_node_available=is_available,
            )
            row = everything[device.id]
            assert (row.state, row.claimed_milli, row.held_milli) == (wanted, claimed, held)
        assert {row.state for row in everything.values()} == set(rules.DEVICE_STATES)

    def test_can_be_filtered_by_and_each_device_is_in_one_state(self, fleet):
        found = {state: {row.id for row in listed(state=state)} for state in rules.DEVICE_STATES}

        assert sum(len(ids) for ids in found.values()) == len(fleet)
        assert set.union(*found.values()) == {device.id for _, device in fleet}


class TestAListOfDevices:
    def test_leaves_out_the_retired_unless_they_are_asked_for(self, fleet):
        assert {row.retired_at for row in listed()} == {None}

    def test_is_found_in_an_index_by_uuid_serial_and_pool(self):
        lab = pool()
        synced(lab, Shows(*[node(f"n{number}", devices=8) for number in range(200)], page_size=500), Clock())
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE device")

        by_search = devices._matching({"q": "GPU-n7-3"}).order_by("id")[:51].explain()
        by_health = devices._matching({"state": ("faulty",)}).order_by("id")[:51].explain()

        assert "device_uuid" in by_search and "device_serial" in by_search
        assert "device_unwell" in by_health
