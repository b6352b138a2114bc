"""Time to save: it begins by itself, ends the allocation when somebody says so, and never makes an end late."""

from datetime import timedelta

import pytest

from pools.domain.errors import LeaseOver, NoTimeToSave
from pools.models import Allocation, AuditEvent
from pools.reconcile import sweep
from pools.services import allocations, before_ends
from tests.factories import ALICE, NOW
from tests.services.asking import World

pytestmark = pytest.mark.django_db(transaction=True)
SAVE = {"lease_seconds": 3600, "before_end_seconds": 600}


@pytest.fixture
def world():
    return World()


def look(world, seconds=0):
    """Let time go on and the sweep do what it does of this."""
    world.clock.forward(seconds=seconds)
    before_ends.begin(now=world.clock.now)
    allocations.end_leases(now=world.clock.now)


def row(id):
    return Allocation.objects.get(id=id)


def stands(id):
    return row(id).state, row(id).before_end_state, row(id).reason


def say(world, id, outcome="done"):
    before_ends.say(allocation_id=id, outcome=outcome, actor=ALICE, now=world.clock.now)


def release(world, id, **how):
    allocations.release(allocation_id=id, actor=ALICE, now=world.clock.now, **how)


def events(id):
    found = AuditEvent.objects.filter(object_id=str(id)).order_by("id")
    return [each.action.partition(".")[2] for each in found]


class TestTheTime:
    def test_begins_so_long_before_the_end_and_is_told_once(self, world):
        id = world.ask(8, **SAVE).allocation_id
        other = world.ask(1, lease_seconds=3600)

        look(world, 2999)
        assert stands(id) == ("active", "pending", "")
        for _ in range(2):
            look(world, 1)

        assert stands(id) == ("active", "running", "") and events(id).count("before_end") == 1
        assert other.code == "allocation.no_capacity"

    def test_begins_with_the_sweep(self, world):
        id = world.ask(2, **SAVE).allocation_id
        world.clock.forward(seconds=3000)

        sweep._keep_time(world.clock.now)

        assert stands(id)[1] == "running"

    def test_that_is_over_ends_it_as_if_nobody_had_asked(self, world):
        id = world.ask(2, **SAVE).allocation_id
        look(world, 3000)

        look(world, 600)

        assert stands(id) == ("released", "timed_out", "lease_end") and row(id).ended_at == NOW + timedelta(hours=1)
        assert (
            AuditEvent.objects.get(object_id=str(id), action="allocation.released").after["before_end"] == "timed_out"
        )
        world.check()

    def test_that_nobody_saw_begin_makes_no_end_late(self, world):
        id = world.ask(2, **SAVE).allocation_id
        world.clock.forward(seconds=3600)

        allocations.end_leases(now=world.clock.now)

        assert stands(id) == ("released", "skipped", "lease_end")

    def test_begins_anew_when_the_lease_gets_longer(self, world):
        id = world.ask(2, **SAVE).allocation_id
        look(world, 3000)

        allocations.extend(allocation_id=id, lease_seconds=7200, actor=ALICE, now=world.clock.now)

        assert stands(id)[1] == "pending"
        look(world, 3599)
        assert stands(id)[1] == "pending"
        look(world, 1)
        assert stands(id)[1] == "running"

    def test_is_none_for_who_did_not_ask(self, world):
        id = world.ask(2, lease_seconds=600).allocation_id
        look(world, 1)

        assert stands(id)[1] == ""
        with pytest.raises(NoTimeToSave):
            say(world, id)


class TestWhoeverHasIt:
    def test_says_that_it_is_done_and_it_ends_then(self, world):
        id = world.ask(8, **SAVE).allocation_id
        look(world, 3100)

        for _ in range(2):
            say(world, id)
        look(world)

        assert stands(id) == ("released", "done", "lease_end") and events(id).count("saved") == 1
        assert world.ask(8).state == "active"
        world.check()

    def test_says_that_it_failed_and_keeps_the_rest_of_its_time(self, world):
        id = world.ask(2, **SAVE).allocation_id
        look(world, 3000)

        say(world, id, "failed")
        look(world, 599)
        assert stands(id) == ("active", "failed", "")
        look(world, 1)

        assert stands(id) == ("released", "failed", "lease_end")

    def test_cannot_say_it_before_or_after(self, world):
        id = world.ask(2, **SAVE).allocation_id

        with pytest.raises(NoTimeToSave):
            say(world, id)
        look(world, 3600)
        with pytest.raises(NoTimeToSave):
            say(world, id)


class TestARelease:
    def test_leaves_time_to_save_once_and_then_happens(self, world):
        id = world.ask(2, lease_seconds=None, before_end_seconds=600).allocation_id

        for _ in range(2):
            release(world, id)
        assert stands(id) == ("active", "running", "user") and events(id).count("before_end") == 1
        with pytest.raises(LeaseOver):
            allocations.extend(allocation_id=id, lease_seconds=9999, actor=ALICE, now=world.clock.now)
        look(world, 600)

        assert stands(id) == ("released", "timed_out", "user")
        world.check()

    def test_that_is_repeated_with_the_generation_that_was_read_changes_nothing(self, world):
        id = world.ask(2, **SAVE).allocation_id
        read = row(id).generation

        for _ in range(2):
            allocations.release(allocation_id=id, generation=read, actor=ALICE, now=world.clock.now)

        assert stands(id) == ("active", "running", "user") and events(id).count("before_end") == 1

    def test_is_never_later_than_the_lease(self, world):
        id = world.ask(2, **SAVE).allocation_id
        world.clock.forward(seconds=3500)

        release(world, id)

        assert row(id).end_at == NOW + timedelta(hours=1)

    def test_by_force_happens_at_once(self, world):
        first, other = (world.ask(2, **SAVE).allocation_id for _ in range(2))
        release(world, first)

        for id in (first, other):
            release(world, id, is_forced=True)

        assert stands(first) == stands(other) == ("released", "skipped", "user")
        world.check()

    def test_of_what_does_not_run_needs_no_time(self, world):
        id = world.ask(2, mode="hold", hold_seconds=600, **SAVE).allocation_id

        release(world, id)

        assert stands(id) == ("released", "skipped", "user")
