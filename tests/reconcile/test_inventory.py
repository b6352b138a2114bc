"""One observation after another: what is written, what is not, and what waits."""

import pytest
from django.db import connection
from django.db.models import Sum
from msgspec.structs import replace

from connectors.contract import CounterFact, DeviceFact, Last, NodeFact
from pools.models import (
    AuditEvent,
    Capacity,
    CapacityRollup,
    ChipModel,
    Device,
    DeviceTwin,
    InventoryChange,
    LedgerEvent,
    Node,
)
from pools.selectors import fleet as overview
from pools.selectors import twins
from pools.services.facts import DEVICE_COLUMNS
from tests.factories import Clock, Shows, device, holding, node, pool, synced, use

pytestmark = pytest.mark.django_db(transaction=True)

OTHER = {
    "ref": "slot-7",
    "vendor": "nvidia-oem",
    "model": "NVIDIA H100 NVL",
    "pci_id": "10de:2331",
    "index": 7,
    "uuid": "GPU-found-out",
    "serial": "S-found-out",
    "pci_address": "0000:07:00.0",
    "memory_mib": 40960,
    "profile": "1g.10gb",
    "total_milli": 0,
    "health": "unknown",
    "health_reason": "nobody knows",
    "link_group": "ring-1",
    "resource": "example.com/gpu",
    "numa_node": 1,
    "uses": (use(memory_mib=1),),
    "attributes": {"firmware": "96.00"},
}
"""Another value for each field of the card that tests use."""
ROLLED_UP = ("units", "total_milli", "claimed_milli", "held_milli", "shadow_milli", "faulty_milli", "free_milli")


def assert_sums_agree() -> None:
    """Roll-ups are what an aggregate over the capacity rows gives, and every row's states add up."""
    keys = ("pool_id", "kind", "model_id", "profile", "is_advisory")
    sums = {name: Sum(name) for name in ROLLED_UP}
    wanted = {
        tuple(row[key] for key in keys): tuple(row[name] for name in ROLLED_UP)
        for row in Capacity.objects.values(*keys).annotate(**sums)
    }
    found = {row[:5]: row[5:] for row in CapacityRollup.objects.values_list(*keys, *ROLLED_UP)}
    assert {key: value for key, value in found.items() if any(value)} == {
        key: value for key, value in wanted.items() if any(value)
    }
    for row in Capacity.objects.all():
        parts = row.claimed_milli + row.held_milli + row.shadow_milli + row.faulty_milli + row.free_milli
        assert parts == row.total_milli or row.claimed_milli + row.held_milli > row.total_milli


def rows_of(model):
    """Every row with the transaction that wrote it: equal means that nothing was written."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id, xmin::text FROM {model._meta.db_table} ORDER BY id")
        return cursor.fetchall()


def cards(name: str) -> Capacity:
    return Capacity.objects.get(node__name=name, kind="cards")


class TestAFirstObservation:
    def test_writes_nodes_devices_and_capacity(self):
        lab, clock = pool(), Clock()

        run = synced(lab, Shows(node("a"), node("b"), node("cpu-only", devices=0)), clock)

        assert (run.state, run.complete, run.seen, run.created) == ("succeeded", True, 7, 7)
        assert Node.objects.count() == 3 and Device.objects.count() == 4
        assert (cards("a").total_milli, cards("a").free_whole, cards("a").pos_total_milli) == (2000, 2, [1000, 1000])
        host = Capacity.objects.get(node__name="cpu-only", kind="host")
        assert (host.total_milli, host.pos_total_mib, host.units) == (64000, [524288], 1)
        assert_sums_agree()

    def test_gives_each_device_its_position_in_the_order_of_the_facts(self):
        lab, clock = pool(), Clock()

        synced(lab, Shows(node("a", devices=8)), clock)

        row = cards("a")
        at = {d.id: (d.capacity_id, d.position) for d in Device.objects.all()}
        assert [at[i] for i in row.device_ids] == [(row.id, p) for p in range(1, 9)]
        assert [Device.objects.get(id=i).index for i in row.device_ids] == list(range(8))

    def test_names_an_unknown_chip_as_the_platform_does(self):
        lab, clock = pool(), Clock()

        synced(lab, Shows(holding("a", device("s", vendor="acme", model="Acme Q9000", pci_id="dead:beef"))), clock)

        model = ChipModel.objects.get(devices__ref="s")
        assert (model.name, model.is_catalogued) == ("Acme Q9000", False)


class TestTheSameAgain:
    def test_writes_no_inventory_row(self):
        lab, clock = pool(), Clock()
        fleet = Shows(node("a"), node("b"), node("c"))
        synced(lab, fleet, clock)
        before = rows_of(Node), rows_of(Device), rows_of(Capacity)
        clock.forward(minutes=1)

        run = synced(lab, fleet, clock)

        assert (run.unchanged, run.created, run.changed) == (9, 0, 0)
        assert before == (rows_of(Node), rows_of(Device), rows_of(Capacity))
        assert not InventoryChange.objects.filter(run_id=run.id).exists()
        lab.sync.refresh_from_db()
        assert lab.sync.observed_at == clock.now


class TestAChange:
    def test_is_recorded_with_before_and_after(self):
        lab, clock = pool(), Clock()
        synced(lab, Shows(node("a"), node("b")), clock)

        sick = holding("a", device("a-0", index=0), device("a-1", index=1, health="faulty", health_reason="XID 79"))
        run = synced(lab, Shows(sick, node("b")), clock)

        change = InventoryChange.objects.get(run_id=run.id)
        assert (change.object_kind, change.object_name, change.action) == ("device", "a a-1", "changed")
        assert change.before == {"health": "ok", "health_reason": ""}
        assert change.after == {"health": "faulty", "health_reason": "XID 79"}
        assert (cards("a").faulty_milli, cards("a").free_milli) == (1000, 1000)
        assert list(LedgerEvent.objects.filter(pool_id=lab.id, kind="faulty").values_list("milli", flat=True)) == [1000]
        assert_sums_agree()

    @pytest.mark.parametrize("name", DeviceFact.__struct_fields__)
    def test_of_any_field_of_a_card_is_counted_and_written(self, name):
        lab, other, clock = pool(), pool("other"), Clock()
        card = device("a-0", uuid=None, serial="S-1") if name == "uuid" else device("a-0")
        synced(lab, Shows(holding("a", card)), clock)
        changed = Shows(holding("a", replace(card, **{name: OTHER[name]})))

        run = synced(lab, changed, clock)
        synced(other, changed, clock)

        columns = set(DEVICE_COLUMNS.split(", ")) - {"id", "node_id", "capacity_id", "seq"}
        row, as_new = (Device.objects.values(*columns).get(pool=each) for each in (lab, other))
        assert run.counts["devices"] == dict.fromkeys(run.counts["devices"], 0) | {"seen": 1, "changed": 1}
        assert row == as_new

    def test_of_use_lowers_what_is_free_and_is_in_the_ledger(self):
        lab, clock = pool(), Clock()
        synced(lab, Shows(node("a")), clock)

        used = device("a-0", index=0, uses=(use("team/pod", 250, memory_mib=10000),))
        synced(lab, Shows(holding("a", used, device("a-1", index=1))), clock)
        row = cards("a")

        assert (row.shadow_milli, row.free_milli, row.max_free_milli, row.free_whole) == (250, 1750, 1000, 1)
        assert row.pos_shadow_mib == [10000, 0]
        assert_sums_agree()

    def test_never_touches_a_claim(self):
        lab, clock = pool(), Clock()
        synced(lab, Shows(node("a")), clock)
        Capacity.objects.filter(kind="cards").update(pos_claimed_milli=[1000, 0], pos_claimed_mib=[81559, 0])

        synced(lab, Shows(holding("a", device("a-1", index=1, health="faulty"))), clock)

        row = cards("a")
        assert row.pos_claimed_milli == [1000, 0] and row.claimed_milli == 1000
        assert row.free_milli == 0 and row.ceiling_milli >= 1000

    def test_of_a_card_that_moves_keeps_its_identity_and_leaves_zeros_behind(self):
        lab, clock = pool(), Clock()
        synced(lab, Shows(node("a"), node("b")), clock)
        moving = Device.objects.get(uuid="GPU-a-1")

        run = synced(
            lab,
            Shows(
                holding("a", device("a-0", index=0)),
                holding("b", device("b-0", index=0), device("b-1", index=1), device("a-1", index=2)),
            ),
            clock,
        )

        moving.refresh_from_db()
        assert moving.node.name == "b" and moving.missing_since is None and moving.position == 3
        assert cards("a").pos_total_milli == [1000, 0] and cards("b").pos_total_milli == [1000, 1000, 1000]
        assert InventoryChange.objects.get(run_id=run.id, action="moved").after == {"node": "b", "index": 2}
        assert_sums_agree()


class TestACardThatShowsLessOfItself:
    def test_is_the_one_in_the_slot_now_and_not_the_one_before(self):
        lab, clock = pool(), Clock()
        others = [node(f"n{i}") for i in range(5)]
        synced(lab, Shows(holding("a", device("gpu0", uuid="GPU-old")), *others), clock)
        synced(lab, Shows(holding("a", device("gpu0", uuid="GPU-new")), *others), clock)

        synced(lab, Shows(holding("a", device("gpu0", uuid=None)), *others), clock)

        assert Device.objects.get(uuid="GPU-new").missing_since is None
        assert Device.objects.get(uuid="GPU-old").missing_since is not None

    def test_is_by_its_serial_number_the_one_that_is_there_and_not_a_retired_one(self):
        lab, clock = pool(), Clock()
        others = [node(f"n{i}") for i in range(5)]
        synced(lab, Shows(holding("a", device("gpu0", uuid="GPU-old", serial="S")), *others), clock)
        for _ in range(4):
            clock.forward(minutes=6)
            synced(lab, Shows(holding("a", device("gpu1", uuid="GPU-new", serial="S")), *others), clock)

        synced(lab, Shows(holding("a", device("gpu1", uuid=None, serial="S")), *others), clock)

        assert Device.objects.get(uuid="GPU-old").retired_at is not None
        assert Device.objects.get(uuid="GPU-new").missing_since is None


class TestWhatIsNotSeen:
    def test_stays_when_the_observation_was_incomplete(self):
        lab, clock = pool(), Clock()
        synced(lab, Shows(node("a"), node("b")), clock)

        run = synced(lab, Shows(node("a"), last=Last(complete=False, incomplete_because="no right to list")), clock)

        assert not run.complete and run.missing == 0
        assert not Node.objects.exclude(missing_since=None).exists()
        lab.sync.refresh_from_db()
        assert (lab.sync.health, lab.sync.health_reason) == ("degraded", "no right to list")

    def test_is_missing_and_out_of_service_then_retired_after_three_runs_and_fifteen_minutes(self):
        lab, clock = pool(), Clock()
        fleet = [node(f"n{i}") for i in range(12)]
        synced(lab, Shows(*fleet), clock)
        rest = Shows(*fleet[1:])

        first = synced(lab, rest, clock)
        assert (first.missing, first.state) == (3, "succeeded")
        assert (cards("n0").faulty_milli, cards("n0").free_milli) == (2000, 0)
        clock.forward(minutes=5)
        synced(lab, rest, clock)
        clock.forward(minutes=5)
        third = synced(lab, rest, clock)
        assert third.retired == 0, "three misses, but only ten minutes"
        clock.forward(minutes=5)
        fourth = synced(lab, rest, clock)

        assert fourth.retired == 3
        assert Node.objects.get(name="n0").retired_at == clock.now
        assert CapacityRollup.objects.get(kind="host").units == 11
        assert CapacityRollup.objects.get(kind="cards").units == 22
        assert_sums_agree()

    def test_comes_back_as_the_same(self):
        lab, clock = pool(), Clock()
        fleet = [node(f"n{i}") for i in range(12)]
        synced(lab, Shows(*fleet), clock)
        before = Device.objects.get(uuid="GPU-n0-0").id
        synced(lab, Shows(*fleet[1:]), clock)

        run = synced(lab, Shows(*fleet), clock)

        assert Device.objects.get(uuid="GPU-n0-0").id == before
        assert Node.objects.get(name="n0").missing_since is None
        assert {c.action for c in InventoryChange.objects.filter(run_id=run.id)} == {"returned"}
        assert cards("n0").free_milli == 2000
        assert_sums_agree()

    def test_of_a_known_node_makes_the_one_card_missing(self):
        lab, clock = pool(), Clock()
        synced(lab, Shows(*[node(f"n{i}") for i in range(6)]), clock)
        less = holding("n0", device("n0-0", index=0))

        run = synced(lab, Shows(less, *[node(f"n{i}") for i in range(1, 6)]), clock)

        assert run.missing == 1 and cards("n0").free_milli == 1000
        assert Device.objects.get(uuid="GPU-n0-1").missing_since == clock.now


class TestALargeLoss:
    def test_waits_for_a_person_while_the_rest_is_merged(self):
        lab, clock = pool(), Clock()
        synced(lab, Shows(*[node(f"n{i}") for i in range(40)]), clock)

        run = synced(lab, Shows(node("new")), clock)

        assert (run.state, run.hold) == ("held", {"reason": "all_nodes", "nodes": 40, "devices": 80})
        assert Node.objects.filter(name="new").exists()
        assert not Node.objects.exclude(missing_since=None).exists()
        assert InventoryChange.objects.filter(run_id=run.id, action="held").count() == 40

    def test_of_an_empty_list_is_held(self):
        lab, clock = pool(), Clock()
        synced(lab, Shows(*[node(f"n{i}") for i in range(40)]), clock)

        run = synced(lab, Shows(), clock)

        assert run.state == "held" and Node.objects.filter(missing_since=None).count() == 40

    def test_waits_once_however_often_it_is_seen(self):
        lab, clock = pool(), Clock()
        synced(lab, Shows(*[node(f"n{i}") for i in range(40)]), clock)
        held = synced(lab, Shows(node("n0")), clock)

        again = synced(lab, Shows(node("n0")), clock)

        held.refresh_from_db()
        assert held.state == "held" and again.state == "succeeded"
        assert str(held.id) in again.warnings[0]

    def test_ends_by_itself_when_the_nodes_are_seen_again(self):
        lab, clock = pool(), Clock()
        fleet = [node(f"n{i}") for i in range(40)]
        synced(lab, Shows(*fleet), clock)
        held = synced(lab, Shows(), clock)

        synced(lab, Shows(*fleet), clock)

        held.refresh_from_db()
        assert (held.state, held.decided_by) == ("rejected", "ocenter")
        told = AuditEvent.objects.get(action="sync_run.overruled", object_id=str(held.id))
        assert (told.actor, told.object_id, told.before) == ("system", str(held.id), {"state": "held"})

    def test_is_none_when_a_host_registers_anew_with_the_cards_it_had(self):
        lab, clock = pool(), Clock()
        synced(lab, Shows(node("a"), node("b"), node("c")), clock)

        run = synced(lab, Shows(node("a"), node("b"), node("c", ref="another")), clock)

        assert (run.state, run.hold, run.missing) == ("succeeded", None, 1)
        assert Device.objects.filter(missing_since=None).count() == 6
        assert Node.objects.get(ref="ref-c").missing_since == clock.now

    def test_of_something_claimed_is_held_however_small(self):
        lab, clock = pool(), Clock()
        fleet = [node(f"n{i}") for i in range(40)]
        synced(lab, Shows(*fleet), clock)
        Capacity.objects.filter(node__name="n0", kind="cards").update(pos_claimed_milli=[1000, 0])

        run = synced(lab, Shows(*fleet[1:]), clock)

        assert run.state == "held" and run.hold == {"reason": "claimed", "nodes": 1, "devices": 2}


class TestADryRun:
    def test_tells_what_would_change_and_writes_nothing(self):
        lab, clock = pool(state="registering"), Clock()

        run = synced(lab, Shows(node("a"), node("b"), node("c")), clock, is_dry_run=True)

        assert (run.state, run.created, run.seen) == ("succeeded", 9, 9)
        assert {c["object_name"] for c in run.preview or ()} == {"a", "b", "c"}
        assert not Node.objects.exists() and not InventoryChange.objects.filter(pool_id=lab.id).exists()
        lab.sync.refresh_from_db()
        assert lab.sync.observed_at is None and lab.sync.turn_token is None


class TestTheSameHardwareInTwoPools:
    def test_is_found_and_shown(self):
        one, other, clock = pool("one"), pool("other"), Clock()
        synced(one, Shows(node("a")), clock)

        synced(other, Shows(node("a", ref="elsewhere")), clock)

        assert DeviceTwin.objects.count() == 2

    def test_is_found_when_a_card_says_only_later_who_it_is(self):
        one, other, clock = pool("one"), pool("other"), Clock()
        synced(one, Shows(holding("a", device("a-0"))), clock)
        synced(other, Shows(holding("b", device("b-0", uuid=None))), clock)
        assert not DeviceTwin.objects.exists()

        synced(other, Shows(holding("b", device("b-0", uuid="GPU-a-0"))), clock)

        twin = DeviceTwin.objects.get()
        assert {twin.device_id, twin.other_id} == set(Device.objects.values_list("id", flat=True))

    def test_is_no_pair_once_one_of_the_two_is_retired(self):
        one, other, clock = pool("one"), pool("other"), Clock()
        synced(one, Shows(holding("a", device("x", uuid="GPU-same"))), clock)
        synced(other, Shows(holding("b", device("y", uuid="GPU-same"))), clock)
        before = len(twins.pairs())

        Device.objects.filter(pool=other).update(retired_at=clock.now)

        assert (before, len(twins.pairs()), overview.overview(clock.now)["twins"]) == (1, 0, 0)

    def test_is_found_when_a_retired_card_comes_back(self):
        one, other, clock = pool("one"), pool("other"), Clock()
        fleet = [node(f"n{i}") for i in range(12)]
        synced(one, Shows(*fleet), clock)
        for _ in range(4):
            synced(one, Shows(*fleet[1:]), clock)
            clock.forward(minutes=6)
        synced(other, Shows(node("n0")), clock)
        assert not DeviceTwin.objects.exists()

        synced(one, Shows(*fleet), clock)

        assert DeviceTwin.objects.count() == 2

    def test_is_not_what_two_cards_with_a_meaningless_serial_number_are(self):
        one, other, clock = pool("one"), pool("other"), Clock()

        synced(one, Shows(holding("a", device("a-0", serial="0"))), clock)
        synced(other, Shows(holding("b", device("b-0", serial="0"))), clock)

        assert not DeviceTwin.objects.exists()


class TestCounters:
    def test_of_a_node_follow_the_platform_and_end_as_zeros(self):
        lab, clock = pool(), Clock()
        mig = CounterFact(
            ref="nvidia.com/mig-1g.10gb",
            vendor="nvidia",
            model="NVIDIA H100 80GB HBM3",
            profile="1g.10gb",
            unit_milli=142,
            unit_memory_mib=9856,
            total_units=14,
            faulty_units=1,
            uses=(use("team/pod", 142 * 3),),
        )
        synced(lab, Shows(NodeFact(ref="m", name="m", counters=(mig,))), clock)
        row = Capacity.objects.get(kind="counter")
        assert (row.total_milli, row.shadow_milli, row.faulty_milli, row.free_whole) == (1988, 426, 142, 10)

        synced(lab, Shows(NodeFact(ref="m", name="m")), clock)

        row.refresh_from_db()
        assert (row.units, row.total_milli, row.free_milli) == (0, 0, 0)
        assert_sums_agree()

    def test_of_the_pool_are_the_sums_of_its_nodes_at_pool_grain(self):
        lab, clock = pool(grain="pool", mode="quota"), Clock()

        synced(lab, Shows(node("a"), node("b", devices=4)), clock)
        synced(lab, Shows(node("a"), node("b", devices=4)), clock)

        row = Capacity.objects.get(node=None)
        assert (row.kind, row.total_milli, row.free_milli, row.is_advisory) == ("counter", 6000, 6000, False)
        assert Capacity.objects.filter(kind="cards", is_advisory=True).count() == 2

    def test_of_the_pool_tell_memory_in_use_and_out_of_order_apart_from_what_is_free(self):
        lab, clock = pool(grain="pool", mode="quota"), Clock()
        used, free = device("a-0", index=0, uses=(use(),)), device("a-1", index=1)

        synced(lab, Shows(holding("a", used, free)), clock)
        one_used = Capacity.objects.get(node=None)
        synced(lab, Shows(holding("a", used, free, device("a-2", index=2, health="faulty"))), clock)
        one_faulty = Capacity.objects.get(node=None)

        assert (one_used.pos_total_mib, one_used.pos_shadow_mib, one_used.free_mib) == ([163118], [81559], 81559)
        assert (one_faulty.pos_total_mib, one_faulty.pos_faulty_mib, one_faulty.free_mib) == ([244677], [81559], 81559)
        assert_sums_agree()

    def test_of_the_pool_have_the_name_by_which_cards_are_given_out_and_only_one(self):
        lab, clock = pool(grain="pool", mode="quota"), Clock()
        synced(lab, Shows(node("a")), clock)
        named = [replace(device, resource="nvidia.com/gpu") for device in node("a").devices]

        for _ in range(2):
            synced(lab, Shows(holding("a", *named)), clock)

        rows = Capacity.objects.filter(node=None).values_list("resource", "units", "total_milli", "free_milli")
        assert sorted(rows) == [("", 0, 0, 0), ("nvidia.com/gpu", 2, 2000, 2000)]
        assert Capacity.objects.get(kind="cards").resource == "nvidia.com/gpu"
        assert_sums_agree()
