"""The page of the calendar: days of pools and models, entries, conflicts, and how little is told of others."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from pools.models import Capacity
from tests import factories
from tests.factories import Clock, granted
from tests.web.reading import read
from tests.web.test_allocations import logged_in

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world(world):
    world.clock = Clock(timezone.now())
    return world


def later(world, devices=3, days=2, **fields):
    start_at = world.clock.now + timedelta(days=days)
    return world.ask(devices, start_at=start_at, lease_seconds=86_400, name="later-7", **fields).allocation_id


def words(client, address="/calendar/"):
    return " ".join(read(address, client.get(address).content).texts)


class TestTheCalendar:
    def test_shows_a_column_a_day_and_what_is_on_then(self, console, world):
        world.ask(2, name="train-7", lease_seconds=3600)
        id = later(world)

        page = console.get("/calendar/").content.decode()
        shown = words(console)

        assert f"/allocations/{id}/" in page and "3 of 8 devices at most" in page and "2 of 8 devices at most" in page
        assert "train-7" in shown and "later-7" in shown and "scheduled" in shown

    def test_warns_where_more_is_promised_than_is_in_reach(self, console, world):
        later(world, 8)
        assert "More is promised" not in words(console)

        Capacity.objects.filter(kind="cards").update(pos_faulty_milli=[1000, 0, 0, 0, 0, 0, 0, 0])

        assert "More is promised of NVIDIA H100" in words(console)

    def test_keeps_its_filters_in_the_address(self, console, world):
        later(world)
        far = (world.clock.now + timedelta(days=40)).date()

        assert "later-7" in words(console, "/calendar/?pool=lab&project=acme/vision")
        assert "Nothing matches" in words(console, f"/calendar/?from={far}")
        assert "later-7" in words(console, f"/calendar/?to={far}")
        assert "there is nothing of this name" in words(console, "/calendar/?pool=nowhere")
        assert "cannot be understood" in words(console, "/calendar/?from=yesterday")

    def test_asks_for_instants_in_the_way_of_browsers(self, console):
        page = console.get("/calendar/?from=2026-11-25T10:00:00%2B02:00&to=2026-11-30").content.decode()

        assert re.search(r'name="from"\s+value="2026-11-25T08:00"\s+type="datetime-local"', page)
        assert re.search(r'name="to"\s+value="2026-11-30T00:00"\s+type="datetime-local"', page)

    def test_says_what_it_is_for_when_nothing_is_on(self, console, world):
        assert "Nothing is on in these two weeks" in words(console)

    def test_tells_people_of_other_tenants_that_it_is_booked_and_full(self, world):
        later(world, 8)
        granted(world.pool, factories.project("rival/lab"))

        sam = logged_in(factories.person("sam"), "rival/lab", "member")
        shown = words(sam)

        assert "booked by others" in shown and "full" in shown
        assert (
            "later-7" not in shown and "acme" not in shown and "8 devices" not in sam.get("/calendar/").content.decode()
        )
