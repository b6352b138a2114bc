"""Bookings: capacity rows say of them what their rows say, and claims keep clear of them."""

import random
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from pools.domain.errors import NoCapacity
from pools.domain.request import Share
from pools.domain.windows import Span, peak
from pools.models import Allocation, Booking, Capacity, Claim, Pool
from pools.services import allocations, bookings
from pools.services.bookings import Booked
from tests.factories import ALICE, NOW, node
from tests.services.asking import World, with_host

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world():
    return World()


def cards():
    return Capacity.objects.get(kind="cards")


def waiting(world):
    """Somebody for whom something can be booked."""
    return world.ask(9, queue=True).allocation_id


def book(id, *positions, start=60, end=None, milli=1000, mib=0):
    """Promise so much at these positions from minute to minute."""
    book_at(cards().id, id, *positions, start=start, end=end, milli=milli, mib=mib)


def book_at(row_id, id, *positions, start=60, end=None, milli=1000, mib=0):
    window = NOW + timedelta(minutes=start), None if end is None else NOW + timedelta(minutes=end)
    with connection.cursor() as cursor:
        bookings.make(cursor, [Booked(row_id, place, id, milli, mib, *window) for place in positions])


def drop(*ids):
    with connection.cursor() as cursor:
        return bookings.drop(cursor, ids)


class TestCapacityRows:
    def test_say_what_any_bookings_say(self, world):
        chance = random.Random(7)
        for _ in range(12):
            start = chance.randint(0, 8)
            end = chance.choice([None, start + chance.randint(1, 5)])
            book(
                waiting(world),
                chance.randint(1, 4),
                start=start,
                end=end,
                milli=chance.randint(0, 300),
                mib=chance.randint(0, 99),
            )
            row = cards()
            for place in range(1, 5):
                spans = [
                    Span(each.start_at, each.end_at, each.milli, each.memory_mib)
                    for each in Booking.objects.filter(position=place)
                ]
                first = min((span.start_at for span in spans), default=None)
                is_said = place <= len(row.pos_booked_from_at)
                assert (row.pos_booked_from_at[place - 1] if is_said else None) == first
                said = (row.pos_booked_peak_milli[place - 1], row.pos_booked_peak_mib[place - 1]) if is_said else (0, 0)
                assert said == peak(spans, NOW, None)[:2]

    def test_say_nothing_once_all_are_let_go(self, world):
        id = waiting(world)
        book(id, 1, 3)

        assert {each.position for each in drop(id)} == {1, 3}

        assert (cards().pos_booked_from_at, cards().pos_booked_peak_milli) == ([], [])

    def test_a_window_is_never_changed(self, world):
        book(waiting(world), 1)

        with pytest.raises(IntegrityError, match="never changed"):
            Booking.objects.update(end_at=NOW + timedelta(days=9))


class TestTheGuard:
    def refuses(self, id, *positions, start, end=None, milli=1000, mib=0):
        window = NOW + timedelta(minutes=start), None if end is None else NOW + timedelta(minutes=end)
        wanted = [Booked(cards().id, place, id, milli, mib, *window) for place in positions]
        with transaction.atomic(), connection.cursor() as cursor:
            return bookings.guard(cursor, wanted, now=NOW) != set()

    def test_promises_what_is_claimed_until_the_window_and_no_longer(self, world):
        id = waiting(world)
        world.ask(8, lease_seconds=600, priority=60)

        assert not self.refuses(id, *range(1, 9), start=10)
        assert self.refuses(id, *range(1, 9), start=9, end=10)

    def test_promises_nothing_of_what_is_claimed_for_ever_or_overdue(self, world):
        id = waiting(world)
        overdue = world.ask(4, lease_seconds=600, priority=60).allocation_id
        Allocation.objects.filter(id=overdue).update(end_at=NOW)
        world.ask(4, priority=60)

        assert all(self.refuses(id, place, start=60) for place in range(1, 9))

    def test_promises_nothing_twice(self, world):
        id = waiting(world)
        book(id, 1, start=10, end=20, milli=600, mib=50_000)

        assert not self.refuses(id, 1, start=20) and not self.refuses(id, 1, start=0, end=10)
        assert self.refuses(id, 1, start=19) and self.refuses(id, 1, start=0, end=11)
        assert not self.refuses(id, 1, start=0, milli=400, mib=30_000)
        assert self.refuses(id, 1, start=0, milli=400, mib=40_000)

    def test_promises_nothing_that_is_broken_used_by_others_or_not_there(self, world):
        id = waiting(world)
        Capacity.objects.filter(id=cards().id).update(
            pos_faulty_milli=[1000, 0, 0, 0, 0, 0, 0, 0], pos_shadow_milli=[0, 500, 0, 0, 0, 0, 0, 0]
        )

        assert self.refuses(id, 1, start=5) and self.refuses(id, 2, start=5) and self.refuses(id, 9, start=5)
        assert not self.refuses(id, 3, start=5)

    def test_promises_nothing_of_a_pool_that_takes_nothing_new(self, world):
        id = waiting(world)
        Pool.objects.update(state="draining")

        assert self.refuses(id, 1, start=5)


class TestAClaim:
    def test_that_ends_before_a_booking_uses_what_is_promised_and_no_other_does(self, world):
        book(waiting(world), *range(1, 9), start=60)

        assert isinstance(world.ask(1, lease_seconds=3601), NoCapacity)
        assert isinstance(world.ask(1), NoCapacity)
        assert world.ask(8, lease_seconds=3600).state == "active"

    def test_leaves_the_memory_that_is_promised(self, world):
        book(waiting(world), *range(1, 9), milli=100, mib=60_000)

        assert isinstance(world.ask(1, share=Share(milli=500, memory_mib=40_000)), NoCapacity)
        assert world.ask(1, share=Share(milli=500, memory_mib=20_000)).state == "active"

    @pytest.mark.parametrize(
        ("kind", "position", "taken", "wanted"),
        [
            ("host", 1, {"milli": 90_000, "mib": 0}, {"per_member": with_host(20_000)}),
            ("host", 1, {"milli": 0, "mib": 900_000}, {"per_member": with_host(0, 200_000)}),
            ("host", 1, {"milli": 90_000, "mib": 0}, {"devices": 0, "any_of": (), "per_member": with_host(20_000)}),
            ("cards", 1, {"milli": 0, "mib": 70_000}, {"share": Share(milli=100, memory_mib=20_000)}),
        ],
    )  # fmt: skip
    def test_goes_where_nothing_is_promised_if_there_is_such_a_place(self, kind, position, taken, wanted):
        world = World(node("n0", devices=1), node("n1", devices=1))
        wanted = dict(wanted)
        devices = wanted.pop("devices", 1)
        (first,) = world.submit(world.asked(devices, lease_seconds=60, **wanted))
        full = Claim.objects.filter(allocation_id=first.allocation_id, capacity__kind=kind).get().capacity_id
        id = waiting(world)
        book_at(full, id, position, **taken)
        allocations.release(allocation_id=first.allocation_id, actor=ALICE, now=world.clock.now)

        (second,) = world.submit(world.asked(devices, priority=60, **wanted))

        assert second.state == "active" and not Claim.objects.filter(allocation_id=second.allocation_id, capacity=full)
        short = world.asked(devices, priority=60, lease_seconds=3600, **wanted)
        assert world.submit(short)[0].state == "active", "a lease that ends before is in nobody's way"


def test_who_waits_no_longer_keeps_nothing_from_others(world):
    id = waiting(world)
    book(id, *range(1, 9))

    allocations.release(allocation_id=id, actor=ALICE, now=NOW)

    assert Allocation.objects.get(id=id).state == "released" and not Booking.objects.exists()
    assert world.ask(8).state == "active"
