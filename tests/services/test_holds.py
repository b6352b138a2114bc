"""What becomes of an allocation: held for a while, confirmed, extended, given back, and each of it once."""

from contextlib import nullcontext
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection

from pools.domain import ids
from pools.domain.actors import Actor
from pools.domain.errors import (
    AllocationChanged,
    AllocationMissing,
    AllocationState,
    HoldExpired,
    Invalid,
    LeaseBooked,
    LeaseOver,
    NoCapacity,
)
from pools.domain.request import Choice, Share
from pools.models import Allocation, AuditEvent, Capacity, Claim, LedgerEvent, Operation
from pools.services import allocations, bookings, leases, queue
from pools.services.bookings import Booked
from tests.factories import ALICE, NOW
from tests.services import at_once
from tests.services.asking import H100, World, with_host

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world():
    return World()


def hold(world, devices=2, seconds=60, **fields):
    return world.ask(devices, mode="hold", hold_seconds=seconds, **fields).allocation_id


def confirm(world, id, **more):
    allocations.confirm(allocation_id=id, actor=ALICE, now=world.clock.now, **more)


def release(world, id, **more):
    allocations.release(allocation_id=id, actor=ALICE, now=world.clock.now, **more)


def state(id):
    return Allocation.objects.get(id=id).state


def ledger(id):
    """What the ledger tells of an allocation's devices, in order."""
    devices = Capacity.objects.filter(kind="cards").values("id")
    told = LedgerEvent.objects.filter(allocation_id=id, capacity_id__in=devices).order_by("id")
    return list(told.values_list("kind", "milli"))


class TestAHold:
    def test_keeps_capacity_from_others_and_counts_in_the_quota(self, world):
        hold(world, 6)

        assert isinstance(world.ask(3), NoCapacity)
        assert Capacity.objects.get(kind="cards").held_milli == 6000 and world.used_milli() == 6000
        world.check()

    def test_becomes_a_claim_of_the_same_devices(self, world):
        id = hold(world, lease_seconds=3600, per_member=with_host(1000))
        positions = list(Claim.objects.filter(allocation=id).order_by("id").values_list("positions", flat=True))
        world.clock.forward(seconds=59)

        confirm(world, id)

        made = Allocation.objects.get(id=id)
        assert (made.state, made.generation) == ("active", 2)
        assert (made.start_at, (made.end_at - made.start_at).total_seconds()) == (world.clock.now, 3600)
        assert list(Claim.objects.filter(allocation=id).order_by("id").values_list("positions", flat=True)) == positions
        assert ledger(id) == [("hold", 2000), ("hold", 0), ("use", 2000)]
        assert Operation.objects.get(allocation=id).state == "confirmed"
        row = Capacity.objects.get(kind="cards")
        assert (row.held_milli, row.claimed_milli) == (0, 2000)
        world.check()

    def test_of_another_platform_is_then_reserved_until_it_is_done(self):
        world = World(kind="openstack")
        id = hold(world)

        confirm(world, id)

        assert state(id) == "claimed" and ledger(id) == [("hold", 2000), ("hold", 0), ("reserve", 2000)]
        assert Operation.objects.get(allocation=id).state == "planned"

    def test_confirmed_twice_changes_nothing_more(self, world):
        id = hold(world)
        confirm(world, id)

        confirm(world, id)

        assert AuditEvent.objects.filter(object_id=str(id), action="allocation.confirmed").count() == 1
        assert Allocation.objects.get(id=id).generation == 2
        world.check()

    def test_cannot_be_confirmed_in_the_second_in_which_it_ends_whether_swept_or_not(self, world):
        id = hold(world, seconds=60)
        world.clock.forward(seconds=60)

        with pytest.raises(HoldExpired):
            confirm(world, id)
        assert allocations.expire_holds(now=world.clock.now) == 1
        with pytest.raises(HoldExpired):
            confirm(world, id)

        assert state(id) == "expired" and ledger(id) == [("hold", 2000), ("hold", 0)]
        assert Capacity.objects.get(kind="cards").free_milli == 8000 and world.used_milli() == 0
        world.check()

    def test_is_not_swept_before_its_time(self, world):
        id = hold(world, seconds=60)
        world.clock.forward(seconds=59)

        assert allocations.expire_holds(now=world.clock.now) == 0 and state(id) == "held"

    def test_whose_time_is_over_leaves_room_for_whoever_needs_it_before_any_sweep(self, world):
        id = hold(world, 8, seconds=60)
        world.clock.forward(seconds=61)

        answer = world.ask(8)

        assert answer.state == "active" and state(id) == "expired"
        world.check()

    def test_is_released_like_anything_else(self, world):
        id = hold(world)

        release(world, id)

        assert state(id) == "released" and ledger(id) == [("hold", 2000), ("hold", 0)]
        world.check()


class TestARelease:
    def test_gives_everything_back_at_once_where_there_is_no_platform(self, world):
        id = world.ask(2, per_member=with_host(1000, 10), any_of=(Choice(model=H100),)).allocation_id

        release(world, id)

        made = Allocation.objects.get(id=id)
        assert (made.state, made.reason, made.ended_at) == ("released", "user", NOW)
        assert all(row.free_milli == row.total_milli for row in Capacity.objects.all())
        assert ledger(id) == [("use", 2000), ("use", 0)] and world.used_milli() == 0
        assert set(Operation.objects.filter(allocation=id).values_list("action", "state")) == {
            ("apply", "confirmed"), ("release", "confirmed"),
        }  # fmt: skip
        world.check()

    def test_on_another_platform_keeps_what_it_has_until_that_confirms(self):
        world = World(kind="openstack")
        id = world.ask(2).allocation_id

        release(world, id)

        assert state(id) == "releasing" and world.used_milli() == 2000
        assert Capacity.objects.get(kind="cards").claimed_milli == 2000
        assert Operation.objects.filter(action="release", state="planned").count() == 1
        world.check()

    def test_of_a_piece_leaves_those_beside_it(self, world):
        world.learn(nodes=1, devices=5, parts=5)
        wants = {"any_of": (Choice(model=H100, profile="1g.10gb"),)}
        first, second = (world.ask(1, **wants).allocation_id for _ in range(2))
        (kept,) = Claim.objects.filter(allocation=second)

        release(world, first)

        ((position, pieces),) = Capacity.objects.get(kind="cards").layout.items()
        assert [int(position)] == kept.positions and [piece["start"] for piece in pieces] == kept.starts
        world.check()

    def test_twice_changes_nothing_more(self, world):
        id = world.ask(2).allocation_id
        release(world, id)

        release(world, id)

        assert AuditEvent.objects.filter(object_id=str(id), action="allocation.released").count() == 1
        world.check()

    def test_of_what_somebody_changed_meanwhile_is_refused(self, world):
        id = hold(world)
        confirm(world, id)

        with pytest.raises(AllocationChanged):
            release(world, id, generation=1)
        with pytest.raises(AllocationMissing):
            release(world, ids.new_id())

        assert state(id) == "active"


def booked_for_others(world, id, minute=10, milli=1000, mib=0):
    """Promise what an allocation has to somebody else, from some minutes on."""
    other = world.ask(9, queue=True, name="later").allocation_id
    (claim,) = Claim.objects.filter(allocation=id)
    rows = [
        Booked(claim.capacity_id, position, other, milli, mib, NOW + timedelta(minutes=minute), None)
        for position in claim.positions
    ]
    with connection.cursor() as cursor:
        bookings.make(cursor, rows)


def told_ends(id):
    return AuditEvent.objects.filter(object_id=str(id), action="allocation.ends_soon").count()


class TestNoticeOfTheEnd:
    def test_is_given_once_however_often_is_looked(self, world):
        id = world.ask(1, lease_seconds=600, notice_seconds=60).allocation_id

        assert leases.tell_ends(now=NOW + timedelta(seconds=539)) == 0
        assert [leases.tell_ends(now=NOW + timedelta(seconds=540)) for _ in range(3)] == [1, 0, 0]

        event = AuditEvent.objects.get(object_id=str(id), action="allocation.ends_soon")
        assert (event.after, event.project_id) == ({"end_at": "2026-11-25T12:10:00+00:00"}, world.project.id)

    def test_is_given_once_by_many_at_the_same_moment(self, world):
        ids = [world.ask(1, lease_seconds=600, notice_seconds=60).allocation_id for _ in range(4)]
        now = NOW + timedelta(seconds=550)

        at_once.run(*[partial(leases.tell_ends, now=now)] * 4)
        leases.tell_ends(now=now)

        assert [told_ends(id) for id in ids] == [1] * 4

    def test_is_given_again_of_an_end_that_came_later(self, world):
        id = world.ask(1, lease_seconds=600, notice_seconds=60).allocation_id
        leases.tell_ends(now=NOW + timedelta(seconds=550))

        allocations.extend(allocation_id=id, lease_seconds=900, actor=ALICE, now=NOW + timedelta(seconds=550))

        assert leases.tell_ends(now=NOW + timedelta(seconds=600)) == 0 and told_ends(id) == 1
        assert leases.tell_ends(now=NOW + timedelta(seconds=850)) == 1 and told_ends(id) == 2

    def test_is_given_of_what_was_confirmed_and_of_what_waited(self, world):
        confirmed = hold(world, 8, lease_seconds=600, notice_seconds=60)
        waited = world.ask(1, queue=True, lease_seconds=600, notice_seconds=60).allocation_id
        confirm(world, confirmed)
        release(world, confirmed)
        queue.advance(now=NOW)

        assert leases.tell_ends(now=NOW + timedelta(seconds=550)) == 1
        assert (told_ends(confirmed), told_ends(waited)) == (0, 1)

    def test_is_not_given_where_nobody_asked_nor_of_what_is_over(self, world):
        world.ask(1, lease_seconds=600)
        world.ask(1, notice_seconds=60)
        world.ask(1, lease_seconds=600, notice_seconds=60)

        assert leases.tell_ends(now=NOW + timedelta(seconds=601)) == 0


class TestALease:
    def test_released_early_is_paid_to_the_second(self, world):
        id = world.ask(2, lease_seconds=3600).allocation_id
        begun = LedgerEvent.objects.get(allocation_id=id, milli__gt=0)

        release(world, id)

        ended = LedgerEvent.objects.get(allocation_id=id, milli=0)
        assert Allocation.objects.get(id=id).ended_at == world.clock.now
        assert begun.at <= ended.at < begun.at + timedelta(seconds=5)  # by the database's clock
        assert allocations.end_leases(now=NOW + timedelta(days=1)) == 0

    def test_ended_by_several_sweeps_at_once_ends_once(self, world):
        ids = [world.ask(1, lease_seconds=60).allocation_id for _ in range(6)]

        counts = at_once.run(*[partial(allocations.end_leases, now=NOW + timedelta(seconds=60))] * 4)

        assert sum(counts) == 6 and {state(id) for id in ids} == {"released"}
        told = AuditEvent.objects.filter(object_id__in=map(str, ids), action="allocation.released")
        assert told.count() == 6
        world.check()

    def test_on_a_platform_ends_when_that_says_so(self):
        world = World(kind="openstack")
        id = world.ask(1, lease_seconds=60).allocation_id

        assert allocations.end_leases(now=NOW + timedelta(seconds=60)) == 1
        assert allocations.end_leases(now=NOW + timedelta(seconds=61)) == 0

        made = Allocation.objects.get(id=id)
        assert (made.state, made.reason) == ("releasing", "lease_end")

    def test_ends_by_the_sweep(self, world):
        short, long = (world.ask(1, lease_seconds=seconds).allocation_id for seconds in (60, 120))
        world.clock.forward(seconds=60)

        assert allocations.end_leases(now=world.clock.now) == 1

        assert Allocation.objects.get(id=short).reason == "lease_end"
        assert (state(short), state(long)) == ("released", "active")
        world.check()

    def test_is_extended_and_never_made_shorter(self, world):
        id = world.ask(1, lease_seconds=60).allocation_id

        for seconds in (600, 300):
            allocations.extend(allocation_id=id, lease_seconds=seconds, actor=ALICE, now=NOW)

        made = Allocation.objects.get(id=id)
        assert (made.lease_seconds, (made.end_at - made.start_at).total_seconds(), made.generation) == (600, 600, 2)

    def test_is_not_extended_into_what_is_promised_to_others(self, world):
        id = world.ask(1, lease_seconds=60).allocation_id
        booked_for_others(world, id)

        allocations.extend(allocation_id=id, lease_seconds=600, actor=ALICE, now=NOW)
        with pytest.raises(LeaseBooked) as refused:
            allocations.extend(allocation_id=id, lease_seconds=601, actor=ALICE, now=NOW)

        told = refused.value
        assert told.params == {"until_at": "2026-11-25T12:10:00Z", "lease_seconds": 600}
        assert [(each.field, each.code) for each in told.fields] == [("lease_seconds", "booked")]
        assert told.fields[0].detail == "Booked from 2026-11-25T12:10:00Z on for later of acme/vision."

    def test_tells_people_of_other_projects_that_it_is_booked_and_not_for_whom(self, world):
        id = world.ask(1, lease_seconds=60).allocation_id
        booked_for_others(world, id)

        with pytest.raises(LeaseBooked) as refused:
            allocations.extend(allocation_id=id, lease_seconds=601, actor=Actor(name="bob"), now=NOW)

        assert refused.value.fields[0].detail == "Booked from 2026-11-25T12:10:00Z on."

    def test_is_extended_beside_a_booking_with_which_there_is_room(self, world):
        id = world.ask(1, lease_seconds=60, share=Share(milli=400)).allocation_id
        world.ask(1, lease_seconds=120, share=Share(milli=600))
        booked_for_others(world, id, milli=600)

        allocations.extend(allocation_id=id, lease_seconds=9000, actor=ALICE, now=NOW)

        assert Allocation.objects.get(id=id).lease_seconds == 9000

    @pytest.mark.parametrize("too_much", [1, 0])
    def test_is_not_extended_into_memory_that_is_promised_to_others(self, world, too_much):
        id = world.ask(1, lease_seconds=60, share=Share(milli=100, memory_mib=50_000)).allocation_id
        total = Capacity.objects.get(kind="cards").pos_total_mib[0]
        booked_for_others(world, id, milli=100, mib=total - 50_000 + too_much)

        with pytest.raises(LeaseBooked) if too_much else nullcontext():
            allocations.extend(allocation_id=id, lease_seconds=601, actor=ALICE, now=NOW)

    def test_that_is_over_is_not_extended_though_no_sweep_came_yet(self, world):
        id = world.ask(1, lease_seconds=60).allocation_id

        with pytest.raises(LeaseOver):
            allocations.extend(allocation_id=id, lease_seconds=600, actor=ALICE, now=NOW + timedelta(seconds=60))
        with pytest.raises(Invalid):
            allocations.extend(allocation_id=id, lease_seconds=10**18, actor=ALICE, now=NOW)

    def test_of_what_was_given_back_is_over(self, world):
        id = world.ask(1, lease_seconds=60).allocation_id
        release(world, id)

        with pytest.raises(AllocationState):
            allocations.extend(allocation_id=id, lease_seconds=600, actor=ALICE, now=NOW)
