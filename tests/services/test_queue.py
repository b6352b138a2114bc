"""The queue: nobody who waits is overtaken by who wants the same, and nothing stands idle that nobody waits for."""

from functools import partial

import pytest

from pools import dispatch
from pools.dispatch import Task
from pools.domain.errors import NoCapacity, QuotaExceeded
from pools.domain.request import Choice, PoolSelector
from pools.models import Allocation, AuditEvent, Quota
from pools.services import allocations, queue
from tests.factories import ALICE, Shows, device, granted, holding, node, pool, project, synced
from tests.services import at_once
from tests.services.asking import PLENTY, World, asked, quota

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world():
    return World()


def wait(world, devices=8, **fields):
    """A request that has to wait."""
    world.clock.forward(seconds=1)
    answer = world.ask(devices, queue=True, **fields)
    assert answer.state == "queued", answer
    return answer.allocation_id


def neighbour(world):
    """Another project of the tenant, with a quota of its own."""
    other = project("acme/audio")
    granted(world.pool, other)
    quota(other, world.model, PLENTY, Quota.objects.get(project=world.project.parent))
    return other


def release(world, id):
    allocations.release(allocation_id=id, actor=ALICE, now=world.clock.now)


def advance(world):
    world.observe()
    return queue.advance(now=world.clock.now)


def state(id):
    return Allocation.objects.get(id=id).state


def states(*ids):
    return [state(id) for id in ids]


class TestWhoFindsNothing:
    def test_waits_where_the_request_says_so_and_gets_what_becomes_free(self, world):
        first = world.ask(8).allocation_id
        second = wait(world, lease_seconds=600)

        assert advance(world) == 0 and state(second) == "queued"
        release(world, first)
        assert advance(world) == 1

        made = Allocation.objects.get(id=second)
        assert (made.state, made.queue_reason, made.milli) == ("active", "", 8000)
        assert (made.end_at - world.clock.now).total_seconds() == 600
        actions = AuditEvent.objects.filter(object_id=str(second)).order_by("id").values_list("action", flat=True)
        assert list(actions) == ["allocation.queued", "allocation.claimed"]
        world.check()

    def test_waits_for_a_quota_as_well(self):
        world = World(quota_milli=4000)
        first = world.ask(4).allocation_id

        second = wait(world, 4)
        assert Allocation.objects.get(id=second).queue_reason == "quota_exceeded"
        release(world, first)
        advance(world)

        assert state(second) == "active"
        world.check()

    def test_does_not_wait_for_what_will_never_be(self, world):
        assert isinstance(world.ask(1, queue=True, any_of=(Choice(model="none"),)), NoCapacity)

    def test_waits_for_nothing_once_it_was_released(self, world):
        first = world.ask(8).allocation_id
        second = wait(world)

        release(world, second)
        release(world, first)

        assert advance(world) == 0 and state(second) == "released"
        world.check()

    def test_may_wait_for_a_hold_which_begins_when_it_is_had(self, world):
        first = world.ask(8).allocation_id
        second = wait(world, mode="hold", hold_seconds=60)
        release(world, first)
        world.clock.forward(seconds=500)

        advance(world)

        made = Allocation.objects.get(id=second)
        assert (made.state, (made.held_until_at - world.clock.now).total_seconds()) == ("held", 60)
        world.check()


class TestALongQueue:
    def test_is_gone_on_with_at_once_as_long_as_somebody_gets_something(
        self, world, monkeypatch, django_capture_on_commit_callbacks
    ):
        told = []
        monkeypatch.setattr(dispatch, "_send", lambda task, *_: told.append(task))
        monkeypatch.setattr(queue, "AT_ONCE", 2)
        first = world.ask(8).allocation_id
        waiting = [wait(world, 2) for _ in range(3)]
        allocations.release(allocation_id=first, actor=ALICE, now=world.clock.now)
        told.clear()

        with django_capture_on_commit_callbacks(execute=True):
            assert advance(world) == 2
        assert told.count(Task.ADVANCE_QUEUE) == 1

        told.clear()
        with django_capture_on_commit_callbacks(execute=True):
            assert advance(world) == 1
        assert Task.ADVANCE_QUEUE not in told and states(*waiting) == ["active"] * 3


class TestNobodyOvertakes:
    def test_who_waits_longer_with_the_same_priority(self, world):
        first = world.ask(4).allocation_id
        large = wait(world, 8)
        small = wait(world, 1)

        assert advance(world) == 0, "the small one would fit"
        assert isinstance(world.ask(1), NoCapacity)
        release(world, first)
        advance(world)

        assert states(large, small) == ["active", "queued"]

    def test_but_with_a_higher_priority(self, world):
        world.ask(4)
        large = wait(world, 8, priority=50)

        assert world.ask(1, priority=51).state == "active"
        assert world.ask(1, priority=49).code == "allocation.no_capacity"
        assert state(large) == "queued"

    def test_but_who_wants_something_else(self):
        a100 = {"model": "NVIDIA A100-SXM4-80GB", "pci_id": "10de:20b2", "memory_mib": 81920}
        world = World(node("n0", devices=2), holding("n1", device("other", **a100)))
        other = world.pool.devices.get(node__name="n1").model
        quota(world.project, other, PLENTY, quota(world.project.parent, other, PLENTY))
        wait(world, 8)

        answer = world.ask(1, any_of=(Choice(model=other.slug),))

        assert answer.state == "active"

    def test_but_who_has_other_pools(self, world):
        other_pool = pool("lab2")
        synced(other_pool, Shows(node("m0")), world.clock)
        other_pool.sync.__class__.objects.filter(pool=other_pool).update(health="online")
        granted(other_pool, world.project)
        world.ask(8, pools=PoolSelector(names=("lab",)))
        blocked = wait(world, 8, pools=PoolSelector(names=("lab",)))

        answer = world.ask(1, pools=PoolSelector(names=("lab2",)))

        assert answer.state == "active" and state(blocked) == "queued"

    def test_and_a_higher_priority_is_served_first(self, world):
        first = world.ask(8).allocation_id
        low, high = wait(world, 8, priority=10), wait(world, 8, priority=20)

        release(world, first)
        advance(world)

        assert states(low, high) == ["queued", "active"]

    def test_and_those_over_their_quota_come_last(self, world):
        Quota.objects.filter(id=world.quota.id).update(nominal_milli=4000, borrow_limit_milli=8000)
        other = neighbour(world)
        world.ask(4)
        (others,) = world.submit(asked(other, 4))
        over = wait(world, 4)
        world.clock.forward(seconds=1)
        (within,) = world.submit(asked(other, 4, queue=True))

        release(world, others.allocation_id)
        advance(world)

        assert states(over, within.allocation_id) == ["queued", "active"]
        assert Allocation.objects.get(id=over).is_borrowed

    def test_within_one_batch(self, world):
        world.ask(4)

        large, small = world.submit(world.asked(8, queue=True), world.asked(1, queue=True))

        assert (large.state, small.state) == ("queued", "queued")
        assert Allocation.objects.get(id=small.allocation_id).queue_reason == "queue"

    def test_when_two_advance_at_once(self, world):
        first = world.ask(8).allocation_id
        waiting = [wait(world, 3) for _ in range(4)]
        release(world, first)

        at_once.run(*[partial(advance, world) for _ in range(4)])

        assert states(*waiting) == ["active", "active", "queued", "queued"]
        world.check()


class TestWhoWaitsForAQuota:
    def test_holds_back_nobody_whom_that_quota_does_not_count(self):
        world = World(quota_milli=1000)
        other = neighbour(world)
        world.ask(1)
        wait(world, 1)

        assert world.submit(asked(other, 1))[0].state == "active"
        assert isinstance(world.ask(1, priority=50), NoCapacity | QuotaExceeded)
