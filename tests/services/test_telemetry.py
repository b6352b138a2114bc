"""How busy devices are: readings find their device, add up by the hour, and what is missing is never zero."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from connectors.contract import Reading
from pools.models import Device, DeviceUsageHour, Pool
from pools.reconcile import sweep, telemetry
from pools.selectors import due
from pools.services import retention
from pools.services import telemetry as storing
from pools.services.pools import pause
from tests.factories import ALICE, NOW, Clock, Shows, device, holding, node, pool, synced
from tests.reconcile.far_end import Simulation

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lab():
    """A node with two H100s and one whose cards have neither uuid nor serial."""
    made = pool()
    plain = holding(
        "b",
        device("b-0", uuid=None, index=0, pci_address="0000:3b:00.0"),
        device("b-1", uuid=None, index=1, pci_address="0000:5e:00.0"),
    )
    synced(made, Shows(node("a"), plain), Clock())
    return made


def store(lab, *readings, now=NOW):
    return storing.store(pool_id=lab.id, readings=readings, now=now)


def hour_of(ref):
    return DeviceUsageHour.objects.get(device_id=Device.objects.get(ref=ref).id)


class TestAReading:
    @pytest.mark.parametrize(
        ("told", "ref"),
        [
            ({"uuid": "GPU-a-1"}, "a-1"),
            ({"uuid": "GPU-a-1", "node": "b", "index": 0}, "a-1"),
            ({"node": "ref-b", "pci_address": "0000:5E:00.0"}, "b-1"),
            ({"node": "b", "ref": "b-0"}, "b-0"),
            ({"node": "b", "index": 1}, "b-1"),
            ({"node": "b", "uuid": "nobody", "pci_address": "0000:3b:00.0"}, "b-0"),
        ],
    )
    def test_is_of_the_device_with_its_uuid_else_its_address_else_its_place(self, lab, told, ref):
        assert store(lab, Reading(**told, utilisation_percent=40.0)) == 1

        assert hour_of(ref).utilisation_sum == 40

    @pytest.mark.parametrize(
        "told",
        [
            {"uuid": "of-nobody"},
            {"node": "c", "index": 0},
            {"index": 0},
            {"node": "b", "uuid": "of-nobody", "index": 0},
            {"pci_address": "0000:3b:00.0"},
        ],
    )
    def test_of_nobody_is_left_out(self, lab, told):
        assert store(lab, Reading(**told, utilisation_percent=40.0)) == 0

    def test_that_two_devices_answer_to_is_left_out(self):
        made = pool()
        twins = holding("x", *(device(f"x-{number}", index=0) for number in range(2)))
        synced(made, Shows(twins), Clock())

        assert store(made, Reading(node="x", index=0, utilisation_percent=40.0)) == 0

    def test_of_another_pools_device_is_left_out(self, lab):
        other = pool("other")

        assert store(other, Reading(uuid="GPU-a-1", utilisation_percent=40.0)) == 0

    def test_counts_in_the_hour_it_was_measured_in(self, lab):
        store(lab, Reading(uuid="GPU-a-0", measured_at="2026-11-25T10:59:59Z", power_watts=1.0))

        assert hour_of("a-0").hour_at == NOW - timedelta(hours=2)

    @pytest.mark.parametrize("measured_at", ["2026-11-20T10:00:00Z", "2027-01-01T00:00:00Z"])
    def test_of_another_day_is_left_out(self, lab, measured_at):
        assert store(lab, Reading(uuid="GPU-a-0", measured_at=measured_at, power_watts=1.0)) == 0


class TestAnHour:
    def test_adds_up_what_was_told(self, lab):
        store(lab, Reading(uuid="GPU-a-0", utilisation_percent=20.0, memory_used_mib=1000, power_watts=100.0))
        store(lab, Reading(uuid="GPU-a-0", utilisation_percent=80.0, memory_used_mib=500, temperature_celsius=71.0))

        hour = hour_of("a-0")

        assert (hour.samples, hour.utilisation_count, hour.utilisation_sum, hour.utilisation_max) == (2, 2, 100, 80)
        assert (hour.memory_sum, hour.memory_max) == (1500, 1000)
        assert (hour.power_count, hour.power_sum, hour.power_max, hour.temperature_max) == (1, 100, 100, 71)

    def test_of_which_nothing_was_told_has_nothing_and_not_zero(self, lab):
        store(lab, Reading(uuid="GPU-a-0", utilisation_percent=float("nan")))
        store(lab, Reading(uuid="GPU-a-0"))

        hour = hour_of("a-0")

        assert (hour.samples, hour.utilisation_count) == (2, 0)
        assert {hour.utilisation_sum, hour.memory_sum, hour.power_max, hour.temperature_max} == {None}

    def test_of_zero_is_zero(self, lab):
        store(lab, Reading(uuid="GPU-a-0", utilisation_percent=0.0))

        assert (hour_of("a-0").utilisation_count, hour_of("a-0").utilisation_sum) == (1, 0)

    def test_costs_as_many_statements_for_any_number(self, lab, django_assert_num_queries):
        readings = [Reading(node="b", index=number % 2, power_watts=1.0) for number in range(5000)]

        with django_assert_num_queries(5):  # begin, the table, COPY, the rows, commit
            store(lab, *readings)

        assert hour_of("b-0").samples == 2500

    def test_goes_when_its_time_is_over(self, lab):
        store(lab, Reading(uuid="GPU-a-0"), now=NOW - timedelta(days=91))
        store(lab, Reading(uuid="GPU-a-1"), now=NOW - timedelta(days=89))

        keep = dict.fromkeys(retention.TABLES, 0) | {"device_usage_hour": 90}

        assert retention.clean(keep_days=keep, now=NOW) == {"device_usage_hour": 1}
        assert hour_of("a-1").samples == 1

    def test_may_be_written_by_the_application(self, lab):
        with connection.cursor() as cursor:
            cursor.execute("SELECT has_table_privilege('ocenter_app', 'device_usage_hour', 'INSERT, UPDATE, DELETE')")
            assert cursor.fetchone() == (True,)


class TestThePoolsDevices:
    @pytest.fixture
    def clock(self):
        return Clock(timezone.now())

    @pytest.fixture
    def simulation(self, tmp_path, clock):
        made = Simulation(tmp_path, clock, used_percent=50)
        made.sync_now()
        return made

    def test_are_asked_when_that_is_due_and_not_again_before(self, simulation, clock):
        assert telemetry.run(pool_id=simulation.pool.id, clock=clock) == 32
        assert telemetry.run(pool_id=simulation.pool.id, clock=clock) is None

        clock.forward(minutes=6)

        assert telemetry.run(pool_id=simulation.pool.id, clock=clock) == 32
        assert DeviceUsageHour.objects.filter(utilisation_max__gt=0).exists()

    def test_that_are_faulty_tell_nothing(self, simulation, clock):
        one = Device.objects.filter(pool=simulation.pool, health="ok").first()
        with simulation.changing() as state:
            state.world.health[f"{one.node.ref}/{one.ref}"] = "XID 79"

        telemetry.run(pool_id=simulation.pool.id, clock=clock)

        hour = DeviceUsageHour.objects.get(device_id=one.id)
        assert (hour.samples, hour.utilisation_sum) == (1, None)

    def test_of_a_platform_that_fails_are_asked_after_the_interval(self, simulation, clock):
        simulation.store.fail("unreachable", call="telemetry")

        assert telemetry.run(pool_id=simulation.pool.id, clock=clock) is None

        clock.forward(minutes=6)
        assert telemetry.run(pool_id=simulation.pool.id, clock=clock) == 32

    def test_are_not_asked_while_the_pool_is_paused(self, simulation, clock):
        pause(pool_id=simulation.pool.id, actor=ALICE, now=clock())

        assert due.telemetry(clock()) == [] and telemetry.run(pool_id=simulation.pool.id, clock=clock) is None

    def test_are_hinted_at_by_the_sweep_unless_that_is_switched_off(self, simulation, clock, settings, monkeypatch):
        hinted = []
        monkeypatch.setattr(sweep.dispatch, "telemeter", lambda pool_id, kind: hinted.append((pool_id, kind)))

        sweep.sweep(clock=clock)
        settings.TELEMETRY_SECONDS = 0
        sweep.sweep(clock=clock)

        assert hinted == [(simulation.pool.id, "simulated")] and Pool.objects.count() == 1
