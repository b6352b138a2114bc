"""Making room: those who may go get their notice, who comes instead is promised their place, nobody else is touched."""

from datetime import timedelta

import pytest

from pools.domain.errors import AllocationState, LeasePreempted, NoCapacity, RoomBooked, VictimsChanged
from pools.domain.request import Choice
from pools.models import Allocation, AuditEvent, Booking, ChipModel, Quota
from pools.selectors import making_room, packing, placeable
from pools.selectors.candidates import Scores
from pools.services import allocations, before_ends, models, preemptions, queue, starting, what_ifs
from tests.factories import ALICE, NOW, Shows, device, granted, holding, node, pool, project, synced
from tests.services.asking import H100, PLENTY, World, asked, quota

H20 = "nvidia-h20-96gb"
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world():
    return World(count=2)


def low(world, devices=8, **fields):
    """Somebody who may give way."""
    return world.ask(devices, **({"priority": 10, "preemptible": True, "name": "low"} | fields)).allocation_id


def victims(world, asked):
    """Whom a preview names."""
    world.observe()
    version, prices = packing.current()
    scores = Scores(models.current().by_slug, prices, version)
    _, found = preemptions.preview(asked, placeable.fleet(world.clock.now), scores, now=world.clock.now)
    return [each.allocation_id for each in found.victims] if found else []


def preempt(world, asked, ids):
    world.observe()
    preemptions.preempt(asked=asked, victim_ids=ids, now=world.clock.now)


def state(id):
    return Allocation.objects.get(id=id).state


class TestAPreview:
    def test_names_the_fewest_and_writes_nothing(self, world):
        low(world, 2)
        low(world, 2, priority=20)
        kept = low(world, 4, preemptible=False)
        other = low(world)

        assert victims(world, world.asked(8)) == [other]
        assert len(victims(world, world.asked(3))) == 1 and kept not in victims(world, world.asked(8, members=2))
        assert {each.state for each in Allocation.objects.all()} == {"active"} and not Booking.objects.exists()

    def test_names_nobody_where_several_pools_would_have_to_make_room_at_once(self, world):
        other = granted(pool("other"), world.project)
        synced(other, Shows(node("z0", devices=8), node("z1", devices=8)), world.clock)
        for _ in range(4):
            low(world)

        found = victims(world, world.asked(8, members=2))

        assert len(found) == 2 and len(set(Allocation.objects.filter(id__in=found).values_list("pool"))) == 1
        assert victims(world, world.asked(8, members=3)) == []

    def test_names_nobody_of_the_same_priority_or_who_has_not_run_long_enough(self, world):
        low(world, priority=50)
        low(world, min_run_seconds=600, lease_seconds=3600)

        assert victims(world, world.asked(8)) == []
        world.clock.forward(seconds=600)
        assert len(victims(world, world.asked(8))) == 1

    def test_names_those_who_give_back_enough_of_the_quota_and_nobody_where_that_is_not_enough(self):
        world = World(count=3, quota_milli=12_000)
        low(world, 4, priority=20)
        other = low(world, 8)

        assert victims(world, world.asked(8)) == [other]
        assert victims(world, world.asked(8, members=2)) == []


class TestAPreviewOfSeveralModels:
    """Eight H100s that are free, of which the quota has four, and eight H20s that somebody uses who may give way."""

    @pytest.fixture
    def world(self):
        world = World(count=1, quota_milli=4000)
        named = {"vendor": "nvidia", "name": "H20", "created_at": NOW}
        other = ChipModel.objects.get_or_create(slug=H20, defaults=named)
        cards = [device(f"z0-{i}", index=i, model="NVIDIA H20", pci_id="10de:2329") for i in range(8)]
        world.show(node("n0", devices=8), holding("z0", *cards))
        quota(world.project, other[0], PLENTY, quota(world.project.parent, other[0], PLENTY))
        return world

    def test_names_those_of_the_second_where_the_quota_of_the_first_is_too_small(self, world):
        other = low(world, any_of=(Choice(model=H20),))

        for any_of in ((Choice(model=H100), Choice(model=H20)), (Choice(vendor="nvidia"),)):
            assert victims(world, world.asked(8, any_of=any_of)) == [other]
        assert victims(world, world.asked(8)) == []

    def test_makes_room_there(self, world):
        other = low(world, any_of=(Choice(model=H20),))
        asked = world.asked(8, any_of=(Choice(model=H100), Choice(model=H20)))

        preempt(world, asked, [other])

        assert Allocation.objects.get(id=asked.id).model.slug == H20
        assert Booking.objects.filter(allocation=asked.id).count() == 8

    def test_names_those_of_the_first_where_its_quota_has_room_once_they_are_gone(self, world):
        first, _ = low(world, 4), low(world, any_of=(Choice(model=H20),), priority=20)

        asked = world.asked(4, any_of=(Choice(model=H100), Choice(model=H20)))
        assert victims(world, asked) == [first]


class TestMakingRoom:
    def test_gives_notice_and_then_the_place_to_the_one_who_asked(self, world):
        first, other = low(world, notice_seconds=300), low(world, priority=40)
        asked = world.asked(8, lease_seconds=3600, name="urgent")

        preempt(world, asked, [first])

        given, made = Allocation.objects.get(id=first), Allocation.objects.get(id=asked.id)
        assert (given.state, given.reason, given.end_at) == ("active", "preempted", NOW + timedelta(seconds=300))
        assert (made.state, made.start_at, made.end_at) == ("scheduled", given.end_at, NOW + timedelta(seconds=3900))
        (event,) = AuditEvent.objects.filter(object_id=str(first), action="allocation.preempted")
        assert event.after == {"end_at": "2026-11-25T12:05:00+00:00", "reason": "preempted"} and event.actor == "alice"

        world.clock.forward(seconds=300)
        world.observe()
        assert allocations.end_leases(now=world.clock.now) == 1 and starting.start(now=world.clock.now) == 1
        assert [state(id) for id in (first, other, asked.id)] == ["released", "active", "active"]
        assert Allocation.objects.get(id=first).reason == "preempted" and not Booking.objects.exists()
        world.check()

    def test_leaves_time_to_save_to_who_asked_for_it(self, world):
        low(world, priority=40)
        first = low(world, notice_seconds=60, before_end_seconds=300)

        preempt(world, world.asked(8), [first])
        before_ends.begin(now=NOW)

        given = Allocation.objects.get(id=first)
        assert (given.end_at, given.before_end_state) == (NOW + timedelta(seconds=300), "running")

    def test_without_notice_takes_a_moment(self, world):
        low(world, priority=40)
        first = low(world)
        asked = world.asked(8)

        preempt(world, asked, [first])

        world.clock.forward(seconds=1)
        world.observe()
        allocations.end_leases(now=world.clock.now)
        assert starting.start(now=world.clock.now) == 1 and state(asked.id) == "active"
        world.check()

    def test_keeps_those_who_go_from_staying_longer_and_from_being_told_twice(self, world):
        low(world, priority=40, preemptible=False)
        first = low(world, notice_seconds=300, lease_seconds=600)
        asked = world.asked(8)
        preempt(world, asked, [first])

        with pytest.raises(LeasePreempted):
            allocations.extend(allocation_id=first, lease_seconds=900, actor=ALICE, now=NOW)
        assert victims(world, world.asked(8)) == []

        allocations.release(allocation_id=asked.id, actor=ALICE, now=NOW)
        with pytest.raises(LeasePreempted):  # others may count on the place by now
            allocations.extend(allocation_id=first, lease_seconds=900, actor=ALICE, now=NOW)

    def test_is_of_those_who_were_named_and_of_nobody_else(self, world):
        first, other = low(world), low(world, priority=40)

        for named in ([other], [first, other], []):
            with pytest.raises(VictimsChanged):
                preempt(world, world.asked(8), named)
        with pytest.raises(NoCapacity):
            preempt(world, world.asked(8, priority=10), [first])

        assert [state(id) for id in (first, other)] == ["active"] * 2 and not Booking.objects.exists()
        assert not Allocation.objects.filter(reason="preempted").exists()

    def test_that_is_given_up_leaves_the_place_to_others(self, world):
        first = low(world, notice_seconds=300)
        low(world, priority=40)
        asked = world.asked(8)
        preempt(world, asked, [first])

        allocations.release(allocation_id=asked.id, actor=ALICE, now=NOW)

        assert not Booking.objects.exists() and state(first) == "active"


class TestMakingRoomForOneThatWaits:
    def wait(self, world, **fields):
        """One that waits, as an operator lets others make room for it."""
        return preemptions.waits(world.ask(8, queue=True, **fields).allocation_id, ALICE)

    def test_books_the_place_and_the_queue_gives_it_when_they_left(self, world):
        first = low(world, notice_seconds=300)
        low(world, priority=40)
        waits = self.wait(world, lease_seconds=3600)

        preempt(world, waits, [first])

        assert state(waits.id) == "queued" and Booking.objects.filter(allocation_id=waits.id).count() == 8
        (event,) = AuditEvent.objects.filter(object_id=str(waits.id), action="allocation.booked")
        assert event.actor == "alice"
        assert [each.id for each in making_room.leaving(waits.id)] == [first]
        world.clock.forward(seconds=300)
        world.observe()
        allocations.end_leases(now=world.clock.now)
        queue.advance(now=world.clock.now)
        assert (state(first), state(waits.id)) == ("released", "active") and not Booking.objects.exists()
        world.check()

    def test_is_refused_where_it_has_a_promise_or_waits_no_more(self, world):
        first = low(world, notice_seconds=300)
        low(world, priority=40)
        waits = self.wait(world)
        preempt(world, waits, [first])

        with pytest.raises(RoomBooked):
            preemptions.waits(waits.id, ALICE)
        with pytest.raises(AllocationState):
            preemptions.waits(first, ALICE)

    def test_that_gave_up_meanwhile_tells_nobody(self, world):
        first = low(world)
        low(world, priority=40)
        waits = self.wait(world)
        allocations.release(allocation_id=waits.id, actor=ALICE, now=NOW)

        with pytest.raises(VictimsChanged):
            preempt(world, waits, [first])
        assert not Booking.objects.exists() and not Allocation.objects.filter(reason="preempted").exists()


class TestReclaimingWhatWasLent:
    """Two projects of a tenant that has eight devices, four of them each one's own; what one leaves the other uses."""

    @pytest.fixture(params=(1, 2), ids=("no device is free", "devices are free and the quota is short"))
    def world(self, request):
        world = World(count=request.param, quota_milli=4000)
        Quota.objects.filter(project=world.project.parent).update(nominal_milli=8000)
        return world

    @pytest.fixture
    def lender(self, world):
        lender = project("acme/speech")
        granted(world.pool, lender)
        quota(lender, world.model, 4000, Quota.objects.get(project=world.project.parent))
        Quota.objects.filter(id=world.quota.id).update(borrow_limit_milli=None)
        return lender

    def test_takes_from_the_borrower_what_is_beyond_its_own_and_no_more(self, world, lender):
        own, borrowed = (world.ask(4, name=name).allocation_id for name in ("own", "borrowed"))
        wanted = asked(lender, 4)

        assert victims(world, wanted) == [borrowed]
        answer = what_ifs.ask(wanted, now=NOW)
        assert [each.allocation_id for each in answer.preemption.victims] == [borrowed]
        preempt(world, wanted, [borrowed])

        world.clock.forward(seconds=1)
        world.observe()
        allocations.end_leases(now=world.clock.now)
        assert starting.start(now=world.clock.now) == 1
        assert [state(id) for id in (own, borrowed, wanted.id)] == ["active", "released", "active"]
        used = dict(Quota.objects.values_list("project__path", "used_milli"))
        assert used == {"acme": 8000, "acme/vision": 4000, "acme/speech": 4000}

    def test_waits_for_the_borrower_that_still_leaves(self, world, lender):
        world.ask(4)
        borrowed, wanted = world.ask(4).allocation_id, asked(lender, 4)
        preempt(world, wanted, [borrowed])

        world.clock.forward(seconds=1)
        world.observe()
        assert starting.start(now=world.clock.now) == 0 and state(wanted.id) == "scheduled"
        allocations.end_leases(now=world.clock.now)
        assert starting.start(now=world.clock.now) == 1 and state(wanted.id) == "active"

    def test_is_not_for_who_would_borrow_itself(self, world, lender):
        Quota.objects.filter(project=lender).update(borrow_limit_milli=None)
        world.ask(4)
        world.ask(4)

        assert victims(world, asked(lender, 5)) == []
