"""The calendar over HTTP: who has what when, how full it will be, and how little people learn of others."""

from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.utils import timezone

from pools.models import Allocation, Capacity
from pools.services import bookings
from pools.services.bookings import Booked
from tests.api.tenants import caller
from tests.factories import Clock, granted, person, project
from tests.services.asking import H100, PLENTY, World, quota

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world():
    world = World()
    world.clock = Clock(timezone.now())
    return world


@pytest.fixture
def operator(world):
    return caller(person("olga", "operator"))


@pytest.fixture
def engineer(world):
    ed = person("ed")
    project("acme/vision", member=ed)
    return caller(ed)


@pytest.fixture
def stranger(world):
    """Somebody of another tenant that may use the same pool."""
    sam, other = person("sam"), project("rival/lab")
    granted(world.pool, other)
    quota(other, world.model, PLENTY, quota(other.parent, world.model, PLENTY))
    project("rival/lab", member=sam)
    return caller(sam)


def at(world, hours):
    return world.clock.now + timedelta(hours=hours)


def later(world, devices=1, *, start=24, hours=24, **fields):
    return world.ask(devices, start_at=at(world, start), lease_seconds=3600 * hours, **fields).allocation_id


def path(name, query=None):
    return f"{name}?{urlencode(query)}" if query else name


def rows(told):
    assert told.status_code == 200, told.data
    return told.data["results"]


class TestTheCalendar:
    def test_tells_what_is_on_held_scheduled_and_booked_by_beginning(self, operator, world):
        world.ask(2, name="running", lease_seconds=7200)
        world.clock.forward(seconds=1)
        world.ask(1, name="maybe", mode="hold", hold_seconds=3600)
        later(world, 3, name="later")
        waiting = world.ask(9, queue=True, name="waiting").allocation_id
        with connection.cursor() as cursor:
            row = Capacity.objects.get(kind="cards").id
            bookings.make(cursor, [Booked(row, 1, waiting, 1000, 0, at(world, 72), None)])

        told = rows(operator.get("/calendar"))

        assert [(row["kind"], row["name"], row["milli"]) for row in told] == [
            ("lease", "running", 2000),
            ("hold", "maybe", 1000),
            ("scheduled", "later", 3000),
            ("booking", "waiting", 1000),
        ]
        assert {row["pool"] for row in told} == {"lab"} and {row["model"] for row in told} == {H100}
        assert told[3]["to_at"] is None and not any(row["is_overdue"] for row in told)

    def test_has_what_touches_the_window_and_matches(self, operator, world):
        later(world, name="a", start=24, hours=24)
        later(world, name="b", start=48, hours=24)
        window = {"from": at(world, 24).isoformat(), "to": at(world, 48).isoformat()}

        def names(**more):
            return [row["name"] for row in rows(operator.get(path("/calendar", window | more)))]

        assert names() == ["a"] and names(to=at(world, 49).isoformat()) == ["a", "b"]
        assert names(pool="lab", model=H100, project="acme/vision") == ["a"]
        wrong = operator.get(path("/calendar", {"from": window["to"], "to": window["from"]}))
        assert wrong.status_code == 422

    def test_comes_in_pages(self, operator, world):
        ids = [str(later(world, start=24 + number % 2)) for number in range(5)]

        seen, address = [], "/calendar?limit=2"
        while address:
            told = operator.get(address)
            seen += [row["allocation"] for row in rows(told)]
            address = (told.data["next"] or "").partition("/api/v1")[2]

        assert sorted(seen) == sorted(ids)

    def test_keeps_what_should_have_ended(self, operator, world):
        id = world.ask(1, lease_seconds=60).allocation_id
        Allocation.objects.filter(id=id).update(start_at=at(world, -2), end_at=at(world, -1))

        (told,) = rows(operator.get("/calendar"))

        assert told["is_overdue"] and told["allocation"] == str(id)

    def test_tells_others_that_it_is_booked_and_nothing_more(self, engineer, stranger, world):
        world.ask(2, name="secret-now")
        later(world, 3, name="secret-later")

        (told,) = rows(stranger.get("/calendar"))

        assert (told["kind"], told["pool"], told["model"]) == ("booked", "lab", H100)
        assert {told[name] for name in ("allocation", "name", "project", "state", "milli", "members")} == {None}
        assert "secret" not in str(told) and len(rows(engineer.get("/calendar"))) == 2


class TestPeaks:
    def test_are_the_most_at_one_time_in_each_interval(self, operator, world):
        world.ask(2, lease_seconds=3600 * 30)
        later(world, 3, start=25, hours=2)
        later(world, 4, start=27, hours=2)
        later(world, 1, start=50, hours=10)

        query = {"from": at(world, 0.5).isoformat(), "step_seconds": 86_400}
        (lane,) = rows(operator.get(path("/calendar/peaks", query)))

        assert (lane["pool"], lane["model"], lane["reach_milli"]) == ("lab", H100, 8000)
        peaks = [(each["peak_milli"], each["booked_milli"], each["own_milli"]) for each in lane["intervals"]]
        assert peaks[:3] == [(2000, 0, 2000), (6000, 4000, 6000), (1000, 1000, 1000)] and len(peaks) == 14
        assert not any(each["is_full"] or each["is_conflict"] for each in lane["intervals"])

    def test_show_what_cannot_be_kept(self, operator, world):
        later(world, 8, start=25, hours=30)
        Capacity.objects.filter(kind="cards").update(pos_faulty_milli=[1000, 0, 0, 0, 0, 0, 0, 0])

        (lane,) = rows(operator.get("/calendar/peaks"))

        assert [each["is_conflict"] for each in lane["intervals"]][:4] == [False, True, True, False]

    def test_tell_others_only_that_it_is_full(self, stranger, world):
        later(world, 8, start=25, hours=30)

        (lane,) = rows(stranger.get("/calendar/peaks"))

        assert set(lane) == {"pool", "model", "intervals"}
        assert set(lane["intervals"][0]) == {"from_at", "to_at", "is_full", "own_milli"}
        assert [each["is_full"] for each in lane["intervals"]][:4] == [False, True, True, False]
        assert {each["own_milli"] for each in lane["intervals"]} == {0}

    @pytest.mark.parametrize(
        "query", [{"step_seconds": "1"}, {"step_seconds": "x"}, {"from": "9999-12-31"}, {"to": "2001-01-01"}]
    )
    def test_are_refused_for_too_many_intervals_and_no_window(self, operator, query):
        assert operator.get(path("/calendar/peaks", query)).status_code == 422
