"""Pieces that are booked: what lies on their card until then, and beside them, leaves each its place."""

from datetime import timedelta

import pytest
from django.db import connection, transaction

from pools.domain.errors import LeaseBooked, NoCapacity
from pools.domain.profiles import Piece
from pools.domain.request import Choice, Share
from pools.models import Allocation, Booking, Capacity, Claim
from pools.services import allocations, bookings, queue, starting
from pools.services.bookings import Booked
from tests.factories import ALICE, NOW
from tests.services.asking import H100, World

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world():
    return World(devices=1)


def at(minutes):
    return NOW + timedelta(minutes=minutes)


def piece(world, profile="1g.10gb", **fields):
    """What the project is answered when it asks for a piece."""
    return world.ask(1, any_of=(Choice(model=H100, profile=profile),), **fields)


def book(world, profile="1g.10gb", *, start=60, minutes=60, **fields):
    """The same from a minute on, for so many minutes."""
    return piece(world, profile, start_at=at(start), lease_seconds=60 * minutes, **fields)


def begin(world, minutes):
    """Let time go on to that minute, end what is over and begin what is due; how many began."""
    world.clock.now = at(minutes)
    world.observe()
    allocations.end_leases(now=world.clock.now)
    return starting.start(now=world.clock.now)


def states(*answers):
    return [Allocation.objects.get(id=each.allocation_id).state for each in answers]


class TestABookedPiece:
    def test_has_its_place_when_its_time_comes_whatever_was_asked_for_meanwhile(self):
        world = World(devices=2)
        booked = book(world, "3g.40gb")

        others = [piece(world) for _ in range(8)]

        assert [getattr(each, "state", each) for each in others[:7]] == ["active"] * 7
        assert isinstance(others[7], NoCapacity)
        assert begin(world, 60) == 1 and states(booked) == ["active"]
        world.check()

    def test_lies_beside_those_who_have_pieces_of_its_card_for_longer(self, world):
        longer = [piece(world, lease_seconds=3 * 3600) for _ in range(3)]
        booked = book(world, "3g.40gb")

        assert booked.state == "scheduled" and begin(world, 60) == 1
        assert states(booked, *longer) == ["active"] * 4
        world.check()

    def test_leaves_its_card_to_whoever_ends_before(self, world):
        book(world, "3g.40gb")

        assert world.ask(1, lease_seconds=3600).state == "active"
        assert begin(world, 60) == 1
        world.check()

    def test_keeps_shares_that_last_off_its_card(self, world):
        booked = book(world)
        half = Share(milli=500)

        assert isinstance(world.ask(1, share=half), NoCapacity)
        assert isinstance(world.ask(1, share=half, start_at=at(90), lease_seconds=3600), NoCapacity)
        assert world.ask(1, share=half, lease_seconds=3600).state == "active"
        assert begin(world, 60) == 1 and states(booked) == ["active"]

    def test_is_claimed_where_no_share_is_booked_if_it_lasts(self, world):
        share = world.ask(1, share=Share(milli=500), start_at=at(60), lease_seconds=3600)

        assert isinstance(piece(world), NoCapacity)
        assert piece(world, lease_seconds=3600).state == "active"
        assert begin(world, 60) == 1 and states(share) == ["active"]

    def test_is_not_promised_where_a_share_is_booked(self, world):
        assert world.ask(1, share=Share(milli=500), start_at=at(90), lease_seconds=3600).state == "scheduled"

        assert isinstance(book(world), NoCapacity)
        assert book(world, minutes=30).state == "scheduled"

    def test_is_one_of_as_many_as_the_card_has_room_for(self, world):
        booked = [book(world) for _ in range(7)]

        assert isinstance(book(world), NoCapacity)
        assert begin(world, 60) == 7 and states(*booked) == ["active"] * 7
        assert len({tuple(each.starts) for each in Claim.objects.all()}) == 7 and not Booking.objects.exists()
        world.check()

    def test_is_one_of_several_kinds_that_begin_in_any_order(self, world):
        large = book(world, "3g.40gb", start=95, minutes=60)
        small = [book(world, start=60 + 10 * number, minutes=100) for number in range(4)]

        for minute in (60, 70, 80, 90, 95):
            assert begin(world, minute) == 1
        assert states(large, *small) == ["active"] * 5
        world.check()

    def test_is_of_a_gang_of_which_several_lie_on_one_card(self, world):
        booked = book(world, "2g.20gb", members=3)

        assert [len(each.pieces) for each in Booking.objects.all()] == [3]
        assert isinstance(book(world, "2g.20gb"), NoCapacity) and book(world).state == "scheduled"
        assert begin(world, 60) == 2 and states(booked) == ["active"]
        world.check()

    def test_keeps_a_lease_from_being_extended_over_its_place_and_no_other(self, world):
        first = piece(world, "4g.40gb", lease_seconds=3600)
        book(world, "4g.40gb")
        beside = piece(world, "3g.40gb", lease_seconds=3600)

        with pytest.raises(LeaseBooked) as refused:
            allocations.extend(allocation_id=first.allocation_id, lease_seconds=7200, actor=ALICE, now=NOW)
        assert refused.value.params["lease_seconds"] == 3600
        allocations.extend(allocation_id=beside.allocation_id, lease_seconds=7200, actor=ALICE, now=NOW)
        assert begin(world, 60) == 1

    def test_keeps_the_lease_of_a_share_from_being_extended(self, world):
        share = world.ask(1, share=Share(milli=500), lease_seconds=3600)
        book(world)

        with pytest.raises(LeaseBooked):
            allocations.extend(allocation_id=share.allocation_id, lease_seconds=7200, actor=ALICE, now=NOW)

    def test_that_nobody_came_for_leaves_the_card_to_all(self, world):
        booked = book(world)
        allocations.release(allocation_id=booked.allocation_id, actor=ALICE, now=NOW)

        assert world.ask(1).state == "active"


class TestTheGuard:
    def refuses(self, id, *pieces, start=60, end=120):
        row = Capacity.objects.get(kind="cards").id
        wanted = [Booked(row, 1, id, 100 * len(pieces), 0, at(start), at(end), pieces)]
        with transaction.atomic(), connection.cursor() as cursor:
            return bookings.guard(cursor, wanted, now=NOW) != set()

    def test_promises_no_place_twice(self, world):
        booked = book(world, "4g.40gb").allocation_id
        id = world.ask(2, queue=True).allocation_id

        assert self.refuses(id, Piece(profile="1g.10gb", start=3)) and self.refuses(id)
        assert self.refuses(id, Piece(profile="1g.10gb", start=4), Piece(profile="1g.10gb", start=4))
        assert not self.refuses(id, Piece(profile="1g.10gb", start=4))
        assert not self.refuses(id, Piece(profile="1g.10gb", start=3), start=120, end=130)
        assert Booking.objects.get().allocation_id == booked


def test_a_gang_of_pieces_that_starves_is_promised_their_places(world):
    world.began = world.clock.now
    world.ask(1, lease_seconds=3600)
    gang = piece(world, "3g.40gb", members=2, lease_seconds=600, queue=True)
    world.clock.forward(seconds=600)
    world.observe()
    queue.advance(now=world.clock.now)

    assert [len(each.pieces) for each in Booking.objects.all()] == [2]
    world.clock.now = at(60)
    world.observe()
    allocations.end_leases(now=world.clock.now)
    queue.advance(now=world.clock.now)
    assert states(gang) == ["active"]
    world.check()
