"""A gang that waits for long is promised a start, and nothing that outlasts it gets in its way any more."""

from datetime import timedelta
from functools import partial

import pytest

from pools.domain.errors import NoCapacity
from pools.models import Allocation, AuditEvent, Booking, Capacity, Pool, Quota
from pools.selectors import allocations as seen
from pools.services import allocations, queue, starving
from tests.factories import ALICE, node
from tests.services import at_once
from tests.services.asking import World

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world():
    starving._searched.clear()
    return World(count=2)


def starve(world, **fields):
    """Two nodes with leases that end in one and in two hours, and a gang that has waited ten minutes for both."""
    for seconds in (3600, 7200):
        assert world.ask(8, lease_seconds=seconds).state == "active"
    gang = world.ask(8, **({"members": 2, "lease_seconds": 3600, "queue": True} | fields))
    assert gang.state == "queued"
    world.clock.forward(seconds=600)
    advance(world)
    return gang.allocation_id


def advance(world):
    world.observe()
    allocations.end_leases(now=world.clock.now)
    return queue.advance(now=world.clock.now)


def at(world, seconds):
    """Go to so many seconds after the beginning."""
    world.clock.forward(seconds=seconds - (world.clock.now - world.began).total_seconds())
    advance(world)


@pytest.fixture(autouse=True)
def began(world):
    world.began = world.clock.now


def state(id):
    return Allocation.objects.get(id=id).state


class TestAGangThatStarves:
    def test_is_promised_the_first_instant_at_which_leases_leave_room_for_it(self, world):
        gang = starve(world)

        booked = Booking.objects.filter(allocation=gang)
        assert booked.count() == 16 and {each.milli for each in booked} == {1000}
        assert {(each.start_at - world.began).total_seconds() for each in booked} == {7200}
        assert {(each.end_at - world.began).total_seconds() for each in booked} == {10_800}
        assert AuditEvent.objects.filter(object_id=str(gang), action="allocation.booked").count() == 1
        assert (seen.some([gang])[0].queue.booked_at - world.began).total_seconds() == 7200

    def test_has_what_was_promised_when_its_time_comes_and_the_promise_is_gone(self, world):
        gang = starve(world)
        at(world, 7199)
        assert state(gang) == "queued"

        at(world, 7200)

        assert state(gang) == "active" and not Booking.objects.exists()
        assert all(row.pos_booked_from_at == [] for row in Capacity.objects.all())
        world.check()

    def test_lets_others_pass_who_end_before_and_nobody_who_does_not(self, world):
        gang = starve(world)
        at(world, 3600)

        assert isinstance(world.ask(1, lease_seconds=3601), NoCapacity)
        assert isinstance(world.ask(1), NoCapacity)
        assert world.ask(7, lease_seconds=3600).state == "active"
        waits = world.ask(1, lease_seconds=7200, queue=True)
        advance(world)
        assert state(waits.allocation_id) == "queued"

        at(world, 7200)
        assert state(gang) == "active"
        world.check()

    def test_held_back_everybody_until_then(self, world):
        world.ask(8, lease_seconds=60)
        gang = world.ask(8, members=2, queue=True).allocation_id

        assert isinstance(world.ask(1, lease_seconds=10), NoCapacity)
        assert state(gang) == "queued" and not Booking.objects.exists()

    def test_begins_earlier_where_there_is_room_earlier(self, world):
        gang = starve(world)

        world.show(*[node(f"n{number}", devices=8) for number in range(4)])
        advance(world)

        assert state(gang) == "active" and not Booking.objects.exists()
        world.check()

    def test_begins_on_what_was_promised_as_soon_as_that_is_free(self, world):
        gang = starve(world)
        for each in Allocation.objects.filter(state="active"):
            allocations.release(allocation_id=each.id, actor=ALICE, now=world.clock.now)

        advance(world)

        assert state(gang) == "active" and not Booking.objects.exists()

    def test_is_promised_nothing_where_leases_have_no_end(self, world):
        world.ask(8)
        gang = world.ask(8, members=2, queue=True).allocation_id
        world.clock.forward(seconds=600)

        advance(world)

        assert not Booking.objects.exists() and state(gang) == "queued"

    def test_takes_the_promise_along_when_it_goes(self, world):
        gang = starve(world)

        allocations.release(allocation_id=gang, actor=ALICE, now=world.clock.now)

        assert not Booking.objects.exists() and world.ask(1, lease_seconds=10).code == "allocation.no_capacity"
        at(world, 3600)
        assert world.ask(8).state == "active"

    def test_begins_once_however_many_look_at_it(self, world):
        gang = starve(world)
        world.clock.forward(seconds=6600)
        world.observe()
        allocations.end_leases(now=world.clock.now)

        at_once.run(*[partial(queue.advance, now=world.clock.now) for _ in range(3)])

        assert state(gang) == "active" and not Booking.objects.exists()
        world.check()


class TestAGangAmongBookingsOfOthers:
    """Later is not roomier there: what a gang is promised may lie between them."""

    def booked_from(self, gang):
        return {each.start_at for each in Booking.objects.filter(allocation=gang)}

    def book(self, world, start, seconds, devices=8):
        begins = world.began + timedelta(seconds=start)
        assert world.ask(devices, start_at=begins, lease_seconds=seconds).state == "scheduled"

    def test_is_promised_the_gap_before_them(self, world):
        for start in range(9000, 27_000, 3600):
            self.book(world, start, 3600)
        gang = starve(world, lease_seconds=1800)

        assert self.booked_from(gang) == {world.began + timedelta(seconds=7200)}
        at(world, 7200)
        assert state(gang) == "active"
        world.check()

    def test_is_promised_the_gap_before_one_that_has_no_end(self, world):
        world.show(*[node(f"n{number}", devices=8) for number in range(2)], node("n2", devices=1))
        self.book(world, 12_000, None)
        world.ask(1, lease_seconds=20_000)

        gang = starve(world)

        assert self.booked_from(gang) == {world.began + timedelta(seconds=7200)}

    def test_has_a_gap_that_is_just_long_enough_though_it_begins_some_seconds_late(self, world):
        self.book(world, 7200 + 1800, 3600)
        gang = starve(world, lease_seconds=1800)

        at(world, 7200 + 3)

        assert state(gang) == "active" and not Booking.objects.filter(allocation=gang).exists()
        assert Allocation.objects.get(id=gang).end_at == world.began + timedelta(seconds=7200 + 1800)
        world.check()

    def test_is_promised_what_comes_after_all_of_them_where_no_gap_is_long_enough(self, world):
        for start in range(9000, 19_800, 3600):
            self.book(world, start, 3000)

        gang = starve(world)

        assert self.booked_from(gang) == {world.began + timedelta(seconds=9000 + 2 * 3600 + 3000)}

    @pytest.mark.parametrize(("rows", "found"), [(6, 9500), (4, 21_000)], ids=("all", "two of two rows and the last"))
    def test_looks_at_so_many_rows_and_no_more(self, world, monkeypatch, rows, found):
        monkeypatch.setattr(starving, "_ROWS_MOST", rows)
        for start in (7200, 8500, 20_000):
            self.book(world, start, 1000)

        assert self.booked_from(starve(world)) == {world.began + timedelta(seconds=found)}


class TestWhoIsBehind:
    def test_is_promised_nothing_where_the_first_could_be_given_the_same(self, world):
        first = starve(world)
        second = world.ask(8, members=2, lease_seconds=60, queue=True).allocation_id
        world.clock.forward(seconds=700)

        advance(world)

        assert set(Booking.objects.values_list("allocation", flat=True)) == {first}
        assert state(second) == "queued"

    def test_and_whom_a_quota_holds_back_is_promised_nothing(self, world):
        for _ in range(2):
            world.ask(8, lease_seconds=3600)
        world.ask(8, members=2, queue=True)
        Quota.objects.filter(id=world.quota.id).update(nominal_milli=15_999)
        world.clock.forward(seconds=600)

        advance(world)

        assert not Booking.objects.exists()


class TestAPromiseThatCannotBeKept:
    def test_is_let_go_some_minutes_after_its_time_and_made_anew(self, world):
        gang = starve(world)
        Pool.objects.update(state="draining")
        at(world, 7200 + 601)
        assert not Booking.objects.exists() and state(gang) == "queued"

        Pool.objects.update(state="active")
        advance(world)

        assert state(gang) == "active"
