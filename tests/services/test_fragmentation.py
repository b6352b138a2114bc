"""Measurements of fragmentation: made when something changed or a day began, told where reading would be too much."""

from datetime import timedelta

import pytest

from pools.models import FragmentationDay
from pools.selectors import fragmentation as seen
from pools.services import fragmentation, retention
from tests.factories import EVERYTHING, Shows, node, pool, synced
from tests.services.asking import World

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world():
    made = World(node("n0", devices=8), node("n1", devices=5))
    made.learn(nodes=1)
    return made


def page(world):
    world.observe()
    return seen.page(params={}, cursor=None, limit=50, access=EVERYTHING, now=world.clock.now).rows


def measure(world):
    return fragmentation.measure(now=world.clock.now)


class TestAMeasurement:
    def test_is_made_of_each_pool_and_model_and_not_again_while_nothing_changes(self, world):
        assert measure(world) == 1
        world.clock.forward(seconds=400)

        assert measure(world) == 0
        (row,) = FragmentationDay.objects.all()
        assert (row.free_milli, row.unusable_milli, row.day) == (13_000, 5000, world.clock.now.date())

    def test_is_made_again_some_minutes_after_a_change(self, world):
        measure(world)
        world.ask(8)

        assert measure(world) == 0
        world.clock.forward(seconds=300)
        assert measure(world) == 1
        assert FragmentationDay.objects.get().free_milli == 5000

    def test_begins_a_row_each_day(self, world):
        measure(world)
        world.clock.forward(seconds=86_400)

        assert measure(world) == 1 and FragmentationDay.objects.count() == 2

    def test_takes_some_pools_at_a_time_the_oldest_first(self, world, monkeypatch):
        monkeypatch.setattr(fragmentation, "DEVICES_AT_ONCE", 13)
        synced(pool("other"), Shows(node("o1")), world.clock)

        assert [measure(world) for _ in range(3)] == [1, 1, 0]


class TestTheList:
    def test_reads_small_pools_now(self, world):
        measure(world)
        world.ask(8)

        (row,) = page(world)

        assert (row.free_milli, row.measured_at) == (5000, None)

    def test_tells_of_large_pools_what_was_measured_last_and_when(self, world, monkeypatch):
        now = page(world)[0]
        monkeypatch.setattr(seen, "LIVE_DEVICES", 12)
        unmeasured = page(world)[0]
        measure(world)
        measured_at = world.clock.now
        world.clock.forward(seconds=60)

        (row,) = page(world)

        assert unmeasured.measured_at is None and row.measured_at == measured_at
        assert (row.largest, row.score, row.free_milli, row.unusable_milli) == (
            now.largest,
            now.score,
            now.free_milli,
            now.unusable_milli,
        )
        world.ask(8)
        assert page(world)[0].free_milli == 13_000
        # What is left of the pool as a whole is known at once.
        assert max(shape.members for shape in page(world)[0].largest) == 5

    def test_has_the_score_of_each_day_for_a_month(self, world):
        for _ in range(seen.TREND_DAYS + 3):
            measure(world)
            world.clock.forward(seconds=86_400)
        world.ask(8)
        measure(world)

        (row,) = page(world)

        assert len(row.trend) == seen.TREND_DAYS
        assert [day.score for day in row.trend[-2:]] == [pytest.approx(5 / 13, abs=1e-4), 1.0]
        assert row.trend[-1].day == world.clock.now.date()


class TestDays:
    def test_are_kept_as_long_as_is_said(self, world):
        for _ in range(3):
            measure(world)
            world.clock.forward(seconds=86_400)

        keep = dict.fromkeys(retention.TABLES, 0) | {"fragmentation_day": 2}
        assert retention.clean(keep_days=keep, now=world.clock.now)["fragmentation_day"] == 1
        assert min(FragmentationDay.objects.values_list("day", flat=True)) == (
            world.clock.now.date() - timedelta(days=2)
        )
