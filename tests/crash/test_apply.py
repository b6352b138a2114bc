"""A worker killed at any line while it changes a platform: the next one ends as if nothing had been."""

import os
import signal
import time
from datetime import timedelta

import pytest
from django.utils import timezone

from pools.models import Delivery, Operation, Target
from pools.reconcile import allocations
from pools.selectors.installation import installation_id
from pools.services import deliveries
from pools.services import targets as turns
from tests.crash.applying import POINTS
from tests.crash.site import until
from tests.crash.waiting import TURN_SECONDS
from tests.reconcile.binding import Lab

pytestmark = pytest.mark.crash

BROKEN = [("plan", "before"), ("plan", "after"), ("apply", "before"), ("apply", "during"), ("apply", "after")]
"""Where the platform's call takes the worker with it; of an apply nothing is there then, a half, or all of it."""


@pytest.fixture
def lab(folder):
    return Lab(folder, timezone.now, mode="device", nodes=1)


def die(site, lab, point):
    dying = site.run("tests.crash.applying", str(lab.pool.id), point, OCENTER_DATABASE_ROLE="app")
    assert dying.wait() == -signal.SIGKILL, dying.said()


def die_in_call(site, lab, call, when):
    lab.store.fail("die", call=call, when=when)
    dying = site.run("tests.crash.applying", str(lab.pool.id), "never", OCENTER_DATABASE_ROLE="app")
    assert dying.wait() == 137, dying.said()


def free_the_turn():
    """Let the turn of a dead worker run out, which it does within a minute."""
    held = Target.objects.filter(turn_until__isnull=False)
    assert all(target.turn_until - timezone.now() <= timedelta(seconds=turns.TURN_SECONDS) for target in held)
    held.update(turn_until=timezone.now())


def go_on(lab):
    free_the_turn()
    for _ in range(2):
        lab.advance()


class TestAWorkerKilled:
    @pytest.mark.parametrize("point", POINTS)
    def test_at_any_line_of_making_and_giving_back_leaves_what_the_next_one_completes(self, site, lab, point):
        kept = lab.ask(1)
        lab.advance()
        made = lab.ask(2)

        die(site, lab, point)

        assert lab.state(made) in ("claimed", "binding")
        go_on(lab)
        assert lab.state(kept) == lab.state(made) == "active"
        lab.check()

        lab.release(made)
        assert lab.state(made) == "releasing"
        if point != "before the targets are marked":  # which a release does itself, in one transaction
            die(site, lab, point)
            assert lab.state(made) == "releasing"
        go_on(lab)
        assert (lab.state(kept), lab.state(made)) == ("active", "released")
        assert lab.orders_there() == [str(kept)]
        lab.check()

    @pytest.mark.parametrize(("call", "when"), BROKEN)
    def test_inside_a_call_leaves_what_the_next_one_finds_out(self, site, lab, call, when):
        ids = [lab.ask(1), lab.ask(2)]

        die_in_call(site, lab, call, when)

        assert {lab.state(id) for id in ids} == {"binding"}
        assert lab.target().is_unknown == (call == "apply")
        go_on(lab)
        assert {lab.state(id) for id in ids} == {"active"}
        lab.check()

        lab.release(ids[0])
        die_in_call(site, lab, call, when)
        assert lab.state(ids[0]) == "releasing"
        go_on(lab)
        assert lab.state(ids[0]) == "released" and lab.orders_there() == [str(ids[1])]
        lab.check()

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_while_it_asks_what_to_hand_over_leaves_that_to_the_next_one(self, site, lab, when):
        id = lab.ask(1)

        die_in_call(site, lab, "access", when)

        taken = Delivery.objects.get()
        assert taken.made_at is None and timezone.now() < taken.due_at
        assert taken.due_at - timezone.now() <= timedelta(seconds=deliveries.ASKED_SECONDS)
        Delivery.objects.update(due_at=timezone.now())
        go_on(lab)
        assert lab.state(id) == "active" and Delivery.objects.get().secret_names == ["token"]

        lab.release(id)
        go_on(lab)
        assert lab.state(id) == "released" and not Delivery.objects.exists()
        lab.check()

    def test_again_and_again_sends_nothing_twice(self, site, lab):
        id = lab.ask(1)
        for when in ("after", "after"):
            die_in_call(site, lab, "apply", when)
            free_the_turn()

        go_on(lab)

        assert lab.state(id) == "active"
        assert Operation.objects.get().calls == [], "the last one found everything there"
        lab.check()

    def test_before_a_release_that_comes_meanwhile_gives_back_all_of_it(self, site, lab):
        id = lab.ask(3)
        die_in_call(site, lab, "apply", "after")
        assert lab.orders_there() == [str(id)]

        lab.release(id)
        go_on(lab)

        assert lab.state(id) == "released" and lab.there() == {}
        lab.check()


class TestATurn:
    """Of a worker whose platform takes longer to answer than the turn that it took."""

    @pytest.fixture
    def taken(self, site, lab):
        """Return a process that is in the middle of an apply."""

        def taken(*words):
            lab.ask(1)
            allocations.advance(clock=timezone.now)
            process = site.run("tests.crash.waiting", str(lab.pool.id), *words)
            until(lambda: Operation.objects.filter(state="sent").exists())
            return process

        return taken

    def take(self, lab):
        return turns.take_turn(pool_id=lab.pool.id, installation=installation_id(), now=timezone.now())

    def test_is_kept_as_long_as_its_worker_lives(self, lab, taken):
        worker, others = taken(), []

        while worker.is_alive():
            others.append(self.take(lab))
            time.sleep(0.1)

        assert worker.wait() == 0, worker.said()
        assert not any(others) and len(others) > 40, "it outlived the turn that it took"
        assert Operation.objects.get().state == "confirmed" and Target.objects.get().turn_token is None

    def test_of_a_worker_killed_is_free_within_seconds(self, lab, taken):
        worker = taken()
        time.sleep(1)
        assert self.take(lab) is None
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()

        until(lambda: self.take(lab) is not None, seconds=TURN_SECONDS + 1)

        assert Target.objects.get().is_unknown, "what came of it is asked first"
        assert turns.TURN_SECONDS <= 60, "in earnest"

    def test_of_a_worker_that_stands_still_is_lost_and_it_writes_nothing_more(self, lab, taken):
        worker = taken()
        os.kill(worker.pid, signal.SIGSTOP)
        until(lambda: self.take(lab) is not None, seconds=TURN_SECONDS + 1)
        before = Target.objects.values().get()

        os.kill(worker.pid, signal.SIGCONT)

        assert worker.wait() == 0 and "target_turn_lost" in worker.said()
        assert Target.objects.values().get() == before and Operation.objects.get().state == "sent"

    def test_of_a_worker_that_does_not_come_back_from_a_call_is_not_kept_for_ever(self, lab, taken):
        worker = taken("deaf")

        until(lambda: self.take(lab) is not None, seconds=TURN_SECONDS + 3)

        assert worker.is_alive() and worker.wait() == 0 and "target_turn_lost" in worker.said()
        assert Operation.objects.get().state == "sent"

    def test_that_cannot_be_kept_is_let_go_before_another_one_may_have_it(self, lab, taken):
        worker, others = taken("cut-off"), []

        while worker.is_alive():
            others.append(self.take(lab))
            time.sleep(0.1)

        assert worker.wait() == 0, worker.said()
        assert not any(others) and Target.objects.get().trouble["code"] == "timeout"


class TestTwoProcesses:
    def test_at_once_on_one_pool_apply_once(self, site, lab):
        ids = [lab.ask(1) for _ in range(3)]

        both = [site.run("tests.crash.applying", str(lab.pool.id), "never") for _ in range(4)]

        assert [each.wait() for each in both] == [0] * 4, [each.said()[-2000:] for each in both]
        go_on(lab)
        assert {lab.state(id) for id in ids} == {"active"}
        assert set(Operation.objects.values_list("attempts", flat=True)) == {1}
        lab.check()
