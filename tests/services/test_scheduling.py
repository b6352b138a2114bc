"""What begins later: booked for its window, claimed in one write when that begins, and never lost in silence."""

from datetime import timedelta
from functools import partial
from itertools import count

import pytest
from django.db import connection
from django.db.models import Sum

from pools.domain.errors import LeaseBooked, NoCapacity, QuotaExceeded
from pools.domain.request import Choice, Share
from pools.models import Allocation, AuditEvent, Booking, Capacity, Claim, LedgerEvent, Pool, PoolGrant, Project
from pools.reconcile import sweep
from pools.services import allocations, claiming, claims, leases, queue, scheduling, starting, what_ifs
from tests.factories import ALICE, NOW, node
from tests.services import at_once
from tests.services.asking import H100, World, with_host

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world():
    return World()


def at(minutes):
    return NOW + timedelta(minutes=minutes)


def book(world, devices=1, *, start=60, minutes=60, **fields):
    """What the project is answered when it asks for devices from a minute on, for so many minutes."""
    lease = None if minutes is None else 60 * minutes
    return world.ask(devices, start_at=at(start), lease_seconds=lease, **fields)


def begin(world, minutes):
    """Let time go on to that minute and begin what is due; how many went on."""
    world.clock.now = at(minutes)
    world.observe()
    return starting.start(now=world.clock.now)


def state(id):
    return Allocation.objects.get(id=id).state


def told(id):
    events = AuditEvent.objects.filter(object_id=str(id)).order_by("id")
    return list(events.values_list("action", flat=True))


class TestARequestThatBeginsLater:
    def test_is_scheduled_with_a_booking_and_takes_nothing_yet(self, world):
        id = book(world, 3).allocation_id

        made = Allocation.objects.get(id=id)
        assert (made.state, made.pool, made.milli) == ("scheduled", world.pool, 3000)
        assert (made.start_at, made.end_at) == (at(60), at(120))
        assert {(row.milli, row.start_at, row.end_at) for row in made.bookings.all()} == {(1000, at(60), at(120))}
        assert made.bookings.count() == 3 and not Claim.objects.exists() and world.used_milli() == 0
        assert Capacity.objects.get(kind="cards").free_milli == 8000
        assert told(id) == ["allocation.scheduled"]

    def test_gets_what_is_claimed_until_then_and_not_what_is_claimed_longer(self, world):
        world.ask(8, lease_seconds=3600)

        assert isinstance(book(world, 1, start=59, minutes=1), NoCapacity)
        assert book(world, 8, start=60).state == "scheduled"

    def test_gets_nothing_that_is_booked_in_its_window(self, world):
        book(world, 6)

        assert isinstance(book(world, 3, start=119, minutes=5), NoCapacity)
        assert isinstance(book(world, 3, start=0.5, minutes=None), NoCapacity)
        assert book(world, 2).state == "scheduled"
        assert book(world, 8, start=120, minutes=None).state == "scheduled"
        assert book(world, 8, start=30, minutes=30).state == "scheduled"

    def test_keeps_claims_that_last_into_its_window_away_and_no_others(self, world):
        book(world, 8)

        assert isinstance(world.ask(1), NoCapacity)
        assert isinstance(world.ask(1, lease_seconds=3601), NoCapacity)
        assert world.ask(8, lease_seconds=3600).state == "active"

    def test_is_refused_where_the_quota_is_too_small_for_what_is_on_at_one_time(self):
        world = World(quota_milli=4000)
        world.ask(4, lease_seconds=60)

        assert book(world, 3).state == "scheduled"
        assert isinstance(book(world, 2, start=90), QuotaExceeded)
        assert book(world, 4, start=120).state == "scheduled"

    def test_does_not_wait_for_what_cannot_be_promised(self, world):
        world.ask(8)

        assert isinstance(book(world, 1, queue=True), NoCapacity)

    def test_is_a_gang_a_share_a_piece_or_a_host_as_any(self):
        world = World(count=3)
        piece = {"any_of": (Choice(model=H100, profile="1g.10gb"),)}
        wanted = (
            {"devices": 8, "members": 2, "per_member": with_host(1000, 2000)},
            {"devices": 1, "share": Share(milli=250)},
            {"devices": 1} | piece,
            {"devices": 0, "any_of": (), "per_member": with_host(500)},
        )
        ids = [book(world, **fields).allocation_id for fields in wanted]

        assert begin(world, 60) == 4

        assert [state(id) for id in ids] == ["active"] * 4 and not Booking.objects.exists()
        assert [Claim.objects.filter(allocation=id).count() for id in ids] == [4, 1, 1, 1]
        world.check()

    def test_that_many_want_at_the_same_moment_is_promised_once(self, world):
        answers = at_once.run(*[partial(book, world, 2) for _ in range(8)])

        assert sum(getattr(each, "state", "") == "scheduled" for each in answers) == 4
        assert Booking.objects.aggregate(milli=Sum("milli"))["milli"] == 8000

    def test_is_what_what_if_says(self, world):
        world.ask(8, lease_seconds=3600)
        world.observe()
        early, late = (world.asked(8, start_at=at(start), lease_seconds=60) for start in (30, 60))

        assert what_ifs.ask(early, now=NOW).reason == "no_capacity"
        answer = what_ifs.ask(late, now=NOW)

        assert answer.decision is not None and answer.decision.milli == 8000
        assert not Booking.objects.exists()


class TestTheStart:
    def test_makes_the_booking_the_claim_of_the_same_devices_for_the_promised_window(self, world):
        id = book(world, 2, notice_seconds=60).allocation_id
        promised = set(Booking.objects.values_list("position", flat=True))

        assert begin(world, 59) == 0 and state(id) == "scheduled"
        assert begin(world, 61) == 1 and begin(world, 61) == 0

        made = Allocation.objects.get(id=id)
        assert (made.state, made.start_at, made.end_at, made.notice_at) == ("active", at(61), at(120), at(119))
        assert set(Claim.objects.get(allocation=id).positions) == promised and not Booking.objects.exists()
        row = Capacity.objects.get(kind="cards")
        assert (row.pos_booked_from_at, row.claimed_milli, world.used_milli()) == ([], 2000, 2000)
        assert told(id) == ["allocation.scheduled", "allocation.claimed"]
        assert LedgerEvent.objects.filter(allocation_id=id).count() == 1
        world.check()

    def test_leaves_others_what_they_booked_of_the_same_device_then_and_later(self):
        world = World(devices=1)
        half = Share(milli=500)
        ids = [
            book(world, minutes=120, share=half).allocation_id,
            book(world, minutes=60, share=half).allocation_id,
            book(world, start=120, minutes=60, share=half).allocation_id,
            book(world, start=180).allocation_id,
        ]

        assert begin(world, 60) == 2 and [state(id) for id in ids] == ["active", "active", "scheduled", "scheduled"]

        for minute, gone in ((120, 1), (180, 2)):
            world.clock.now = at(minute)
            assert allocations.end_leases(now=world.clock.now) == gone and begin(world, minute) == 1
        assert [state(id) for id in ids] == ["released", "released", "released", "active"]
        world.check()

    def test_is_made_once_by_many_at_the_same_moment(self, world):
        ids = [book(world, 2).allocation_id for _ in range(4)]
        world.clock.now = at(60)
        world.observe()

        at_once.run(*[partial(starting.start, now=at(60))] * 4)
        starting.start(now=at(60))

        assert [state(id) for id in ids] == ["active"] * 4 and Claim.objects.count() == 4
        world.check()

    def test_that_dies_in_the_middle_is_made_by_the_next_one(self, world, monkeypatch):
        id = book(world, 2).allocation_id
        with monkeypatch.context() as broken:
            broken.setattr(claiming, "tell", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                begin(world, 60)
        assert state(id) == "scheduled" and Booking.objects.count() == 2 and world.used_milli() == 0

        assert begin(world, 60) == 1 and state(id) == "active"
        world.check()

    def test_waits_a_little_for_somebody_who_is_leaving(self):
        world = World(kind="openstack")
        leaving = world.ask(8, lease_seconds=3600).allocation_id
        id = book(world, 8).allocation_id
        allocations.end_leases(now=at(60))

        assert begin(world, 60) == 0 and state(id) == "scheduled"
        Claim.objects.filter(allocation=leaving).update(released_at=at(61))
        Capacity.objects.filter(kind="cards").update(pos_claimed_milli=[0] * 8, pos_claimed_mib=[0] * 8)

        assert begin(world, 62) == 1 and state(id) == "claimed"
        assert Allocation.objects.get(id=id).end_at == at(120)

    def test_waits_for_nobody_who_leaves_the_quota_as_it_is(self):
        """What leaves is of another model, and counts for another quota of the same project."""
        world = World(kind="openstack", quota_milli=4000)
        id = book(world, 4, queue=True).allocation_id
        world.ask(2)  # for longer
        leaving = world.ask(1, lease_seconds=3600).allocation_id

        def counted_in(quota_id):
            Allocation.objects.filter(id=leaving).update(quota_ids=[quota_id], end_at=at(60))

        counted_in(world.quota.id)
        assert begin(world, 60) == 0 and state(id) == "scheduled"
        counted_in(world.pool.id)  # no quota of this one

        assert begin(world, 61) == 1 and state(id) == "queued"

    @pytest.mark.parametrize(("queue_too", "goes_to"), [(True, "queued"), (False, "expired")])
    def test_waits_no_longer_than_that(self, queue_too, goes_to):
        world = World(kind="openstack")
        world.ask(8, lease_seconds=3600)
        id = book(world, 8, queue=queue_too).allocation_id

        assert begin(world, 60) == 0 and begin(world, 70) == 1

        made = Allocation.objects.get(id=id)
        assert (made.state, made.reason or made.queue_reason, made.milli) == (goes_to, "no_capacity", 0)
        assert told(id)[-1] == f"allocation.{goes_to}" and not Booking.objects.exists()

    @pytest.mark.parametrize(("queue_too", "goes_to"), [(True, "queued"), (False, "refused")])
    def test_goes_elsewhere_at_once_when_what_was_booked_is_broken(self, queue_too, goes_to):
        world = World()
        id = book(world, 1, queue=queue_too).allocation_id
        broken = Booking.objects.get().position
        Capacity.objects.filter(kind="cards").update(pos_faulty_milli=[1000 * (at == broken) for at in range(1, 9)])

        assert begin(world, 60) == 1

        assert state(id) == goes_to and not Booking.objects.exists()
        if queue_too:
            queue.advance(now=world.clock.now)
            assert state(id) == "active" and broken not in Claim.objects.get(allocation=id).positions
            world.check()

    def test_goes_elsewhere_when_the_pool_takes_nothing_new(self, world):
        id = book(world, 1).allocation_id
        Pool.objects.update(state="draining")

        assert begin(world, 60) == 1

        assert (state(id), Allocation.objects.get(id=id).reason) == ("refused", "not_active")

    def test_goes_elsewhere_when_its_grant_is_gone_and_holds_up_nobody(self, world):
        id, other = book(world, 1).allocation_id, world.ask(1, lease_seconds=30).allocation_id
        PoolGrant.objects.all().delete()

        world.clock.now = at(60)
        world.observe()
        sweep.sweep(clock=world.clock)

        assert state(id) == "refused" and not Booking.objects.exists()
        assert state(other) == "released"

    def test_needs_the_quota_then(self):
        world = World(quota_milli=4000)
        id = book(world, 3, queue=True).allocation_id
        world.ask(2)

        begin(world, 60)

        made = Allocation.objects.get(id=id)
        assert (made.state, made.queue_reason, world.used_milli()) == ("queued", "quota_exceeded", 2000)

    def test_of_a_window_that_is_over_does_not_come(self, world):
        id = book(world, 1).allocation_id

        assert begin(world, 121) == 1

        made = Allocation.objects.get(id=id)
        assert (made.state, made.reason) == ("expired", "lease_end") and not Booking.objects.exists()

    def test_does_not_come_for_a_project_that_is_suspended(self, world):
        id = book(world, 1).allocation_id
        Project.objects.filter(path="acme").update(state="suspended")

        begin(world, 60)

        assert (state(id), Allocation.objects.get(id=id).reason) == ("refused", "policy")


def test_the_sweep_begins_tells_and_ends_what_no_hint_announced(world):
    id = book(world, 2, minutes=60, notice_seconds=60).allocation_id

    for minutes, after in ((60, "active"), (119, "active"), (120, "released")):
        world.clock.now = at(minutes)
        world.observe()
        for _ in range(2):
            sweep.sweep(clock=world.clock)
        assert state(id) == after

    assert told(id) == [f"allocation.{each}" for each in ("scheduled", "claimed", "ends_soon", "released")]
    world.check()


class TestGivenUpBeforeItsStart:
    def test_it_leaves_everything_to_others(self, world):
        id = book(world, 8).allocation_id

        allocations.release(allocation_id=id, actor=ALICE, now=NOW)

        assert state(id) == "released" and not Booking.objects.exists()
        assert Capacity.objects.get(kind="cards").pos_booked_from_at == []
        assert world.ask(8).state == "active" and begin(world, 60) == 0
        world.check()


def test_an_extension_into_a_booking_is_refused_and_leaves_it_its_start(world):
    first = world.ask(8, lease_seconds=3600).allocation_id
    id = book(world, 8).allocation_id

    with pytest.raises(LeaseBooked, match="13:00:00Z"):
        allocations.extend(allocation_id=first, lease_seconds=3601, actor=ALICE, now=NOW)
    allocations.end_leases(now=at(60))

    assert begin(world, 60) == 1 and state(id) == "active"
    world.check()


def test_a_window_without_an_end_is_promised_to_the_end_of_time(world):
    id = book(world, 8, minutes=None).allocation_id

    assert scheduling.window(world.asked(start_at=at(1)))[1] is None
    assert isinstance(book(world, 1, start=10**6), NoCapacity)
    assert begin(world, 60) == 1 and Allocation.objects.get(id=id).end_at is None


def test_those_who_have_to_wait_hide_nobody_behind_them(monkeypatch):
    monkeypatch.setattr(starting, "AT_ONCE", 2)
    world = World(count=2)
    world.ask(8, lease_seconds=3600)
    waiting = [book(world, 4).allocation_id for _ in range(2)]
    later = [book(world, 1, start=start).allocation_id for start in (60, 60.5, 61)]
    on_first = Claim.objects.get().capacity_id
    assert set(Booking.objects.filter(allocation__in=waiting).values_list("capacity", flat=True)) == {on_first}
    assert not Booking.objects.filter(allocation__in=later, capacity=on_first).exists()

    assert begin(world, 61) == 3

    assert [state(id) for id in (*waiting, *later)] == ["scheduled"] * 2 + ["active"] * 3
    world.check()


def test_a_node_that_came_since_is_not_looked_for(world):
    id = book(world, 8).allocation_id
    world.show(node("n0", devices=8), node("n1", devices=8))

    begin(world, 60)

    assert Claim.objects.get(allocation=id).capacity.node.name == "n0"


class Killed(BaseException):
    """Nothing catches it, as with a process that is killed: its transaction goes with it."""


def killed_before_each_statement(act, check):
    """Do it again and again, killed before its first statement, its second ..., until it comes to its end."""
    for last in count(1):
        left = iter(range(last))

        def kill(execute, *rest, left=left):
            if next(left, None) is None:
                raise Killed
            return execute(*rest)

        try:
            with connection.execute_wrapper(kill):
                act()
        except Killed:
            check()
        else:
            return last


class TestKilledAnywhere:
    def test_a_request_is_there_with_its_booking_or_not_at_all(self, world):
        asked = world.asked(2, start_at=at(60), lease_seconds=60)

        def check():
            assert Allocation.objects.count() * 2 == Booking.objects.count() == 0

        assert killed_before_each_statement(lambda: claims.submit([asked], now=NOW), check) > 10
        assert state(asked.id) == "scheduled" and Booking.objects.count() == 2

    def test_a_start_leaves_the_booking_or_the_claim_and_never_both_or_neither(self, world):
        id = book(world, 2).allocation_id
        world.clock.now = at(60)
        world.observe()

        def check():
            assert (state(id), Booking.objects.count(), Claim.objects.count()) == ("scheduled", 2, 0)
            assert world.used_milli() == 0 and Capacity.objects.get(kind="cards").claimed_milli == 0

        assert killed_before_each_statement(lambda: starting.start(now=at(60)), check) > 10
        assert (state(id), Booking.objects.count(), Claim.objects.count()) == ("active", 0, 1)
        world.check()

    def test_an_end_and_its_notice_come_once(self, world):
        id = world.ask(2, lease_seconds=3600, notice_seconds=60).allocation_id

        def check():
            assert state(id) == "active" and "allocation.released" not in told(id)

        killed_before_each_statement(lambda: leases.tell_ends(now=at(59)), check)
        killed_before_each_statement(lambda: allocations.end_leases(now=at(60)), check)
        assert state(id) == "released" and told(id)[1:] == ["allocation.ends_soon", "allocation.released"]
        world.check()
