"""Bookings: capacity rows say of them what their rows say, and claims keep clear of them."""

import random
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection

from pools.domain.errors import NoCapacity
from pools.domain.request import Share
from pools.domain.windows import Span, peak
from pools.models import Allocation, Booking, Capacity
from pools.services import allocations, bookings
from pools.services.bookings import Booked
from tests.factories import ALICE, NOW
from tests.services.asking import World

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
    window = NOW + timedelta(minutes=start), None if end is None else NOW + timedelta(minutes=end)
    with connection.cursor() as cursor:
        bookings.make(cursor, [Booked(cards().id, place, id, milli, mib, *window) for place in positions])


def drop(*ids):
    with connection.cursor() as cursor:
        return bookings.drop(cursor, ids)


class TestCapacityRows:
    def test_say_what_any_bookings_say(self, world):
        id, chance = waiting(world), random.Random(7)
        for _ in range(12):
            start = chance.randint(0, 8)
            end = chance.choice([None, start + chance.randint(1, 5)])
            book(id, chance.randint(1, 4), start=start, end=end, milli=chance.randint(0, 300))
            row = cards()
            for place in range(1, 5):
                spans = [
                    Span(each.start_at, each.end_at, each.milli) for each in Booking.objects.filter(position=place)
                ]
                first = min((span.start_at for span in spans), default=None)
                is_said = place <= len(row.pos_booked_from_at)
                assert (row.pos_booked_from_at[place - 1] if is_said else None) == first
                assert (row.pos_booked_peak_milli[place - 1] if is_said else 0) == peak(spans, NOW, None)[0]

    def test_say_nothing_once_all_are_let_go(self, world):
        id = waiting(world)
        book(id, 1, 3)

        assert {each.position for each in drop(id)} == {1, 3}

        assert (cards().pos_booked_from_at, cards().pos_booked_peak_milli) == ([], [])

    def test_a_window_is_never_changed(self, world):
        book(waiting(world), 1)

        with pytest.raises(IntegrityError, match="never changed"):
            Booking.objects.update(end_at=NOW + timedelta(days=9))


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


def test_who_waits_no_longer_keeps_nothing_from_others(world):
    id = waiting(world)
    book(id, *range(1, 9))

    allocations.release(allocation_id=id, actor=ALICE, now=NOW)

    assert Allocation.objects.get(id=id).state == "released" and not Booking.objects.exists()
    assert world.ask(8).state == "active"
