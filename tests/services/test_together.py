"""Requests that come at the same moment: committed together, each with its own answer and its own key."""

import time
from datetime import timedelta
from functools import partial
from threading import Event, Thread

import msgspec
import pytest
from django.db import connection, transaction
from msgspec.structs import replace

from pools.domain import ids
from pools.domain.errors import DomainError, Invalid, KeyUsed, NoCapacity
from pools.domain.request import PerMember
from pools.models import Allocation, IdempotencyKey, Quota
from pools.selectors import candidates
from pools.services import claims, scheduling, together
from pools.services.idempotency import Kept, Once
from tests.factories import ALICE, granted, person, project
from tests.services import at_once
from tests.services.asking import PLENTY, World, check_claims, quota

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world():
    return World()


def ask(world, devices=1, once=None, **fields):
    body = msgspec.to_builtins(world.asked(devices, **fields).wanted)
    return together.submit(body, actor=ALICE, once=once, now=world.clock.now)


def ask_many(world, *devices, **fields):
    bodies = [msgspec.to_builtins(world.asked(each, **fields).wanted) for each in devices]
    new_ids = [ids.new_id() for _ in bodies]
    return together.submit_many(bodies, actor=ALICE, now=world.clock.now, allocation_ids=new_ids)


def with_key(world, user, key, devices=1, fingerprint=b"f"):
    once = Once(user.id, key, fingerprint, lambda row: Kept(201, {}, str(row.id).encode(), (row.id,)))
    return ask(world, devices, once)


@pytest.fixture
def sizes(monkeypatch):
    """How many requests each batch had."""
    sizes = []
    real = claims.submit
    monkeypatch.setattr(claims, "submit", lambda asked, **more: (sizes.append(len(asked)), real(asked, **more))[1])
    return sizes


def behind_a_busy_one(world, monkeypatch, *calls, ask=ask, line=together._line):
    """What the calls return that come while somebody else is at work, so that they are one batch."""
    real, begun, go = claims.submit, Event(), Event()

    def slow(asked, **more):
        if not begun.is_set():
            begun.set()
            assert go.wait(10)
        return real(asked, **more)

    monkeypatch.setattr(claims, "submit", slow)
    busy = Thread(target=lambda: (ask(world, 0, any_of=(), per_member=PerMember(cpu_milli=1)), connection.close()))
    busy.start()
    assert begun.wait(10)
    answers = []
    others = Thread(target=lambda: answers.extend(at_once.run(*calls)))
    others.start()
    while len(line._waiting) < len(calls):
        others.join(0.01)
    go.set()
    for thread in (busy, others):
        thread.join()
    return answers


class TestRequestsAtTheSameMoment:
    def test_are_one_batch_in_which_each_gets_its_own_answer(self, world, sizes, monkeypatch):
        answers = behind_a_busy_one(world, monkeypatch, *[partial(ask, world, devices) for devices in (4, 4, 9)])

        assert sizes == [1, 3]
        states = sorted(getattr(answer, "state", type(answer).__name__) for answer in answers)
        assert states == ["NoCapacity", "active", "active"]
        world.check()

    def test_that_together_break_are_answered_one_by_one(self, world, monkeypatch):
        real = claims.submit

        def breaks(asked, **more):
            if len(asked) > 1:
                raise RuntimeError("one of them is poison")
            return real(asked, **more)

        monkeypatch.setattr(claims, "submit", breaks)
        answers = behind_a_busy_one(world, monkeypatch, *[partial(ask, world) for _ in range(3)])

        assert [answer.state for answer in answers] == ["active"] * 3
        world.check()

    def test_that_break_after_their_commit_are_made_once(self, world, monkeypatch):
        real = claims.submit

        def breaks(asked, **more):
            answers = real(asked, **more)
            if len(asked) > 1:
                raise RuntimeError("the connection is gone")
            return answers

        monkeypatch.setattr(claims, "submit", breaks)
        answers = behind_a_busy_one(world, monkeypatch, *[partial(ask, world) for _ in range(3)])

        assert [answer.state for answer in answers] == ["active"] * 3
        assert Allocation.objects.filter(devices_per_member=1).count() == len({answer.id for answer in answers}) == 3
        world.check()

    def test_are_refused_each_for_its_own_mistake(self, world, sizes, monkeypatch):
        calls = [partial(ask, world, 1), partial(ask, world, 1, members=0), partial(ask, world, 1, project="no/where")]

        answers = behind_a_busy_one(world, monkeypatch, *calls)

        assert sizes == [1, 1]
        wrong = [answer.fields[0].field for answer in answers if isinstance(answer, Invalid)]
        assert sorted(wrong) == ["members", "project"]
        assert [answer.state for answer in answers if not isinstance(answer, Invalid)] == ["active"]

    def test_alone_is_a_batch_at_once(self, world, sizes):
        assert ask(world).state == "active" and sizes == [1]

    def test_that_were_answered_last_are_waited_for(self, world, sizes, monkeypatch):
        monkeypatch.setattr(together._line, "_company_seconds", 10.0)
        ask(world)
        together._line.leave(2, 10.0)  # as after two who were answered together

        answers = at_once.run(*[partial(ask, world) for _ in range(2)])

        assert [answer.state for answer in answers] == ["active"] * 2 and sizes == [1, 2]

    def test_that_do_not_come_back_are_waited_for_no_longer_than_they_took(self, world, sizes):
        ask(world)
        together._line.leave(2, 0.01)

        assert ask(world).state == "active" and sizes == [1, 1]

    def test_tells_whoever_asked_what_broke(self, world, monkeypatch):
        def breaks(asked, **more):
            raise RuntimeError("poison")

        monkeypatch.setattr(claims, "submit", breaks)
        with pytest.raises(RuntimeError, match="poison"):
            ask(world)
        monkeypatch.undo()

        assert ask(world).state == "active", "nobody is left at work"


class TestBulksAtTheSameMoment:
    """As single requests, in a line of their own."""

    @pytest.fixture
    def at_once(self, world, monkeypatch):
        return partial(behind_a_busy_one, world, monkeypatch, ask=ask_many, line=together._bulks)

    def test_are_one_batch_in_which_each_gets_its_own_answers(self, world, sizes, at_once):
        answers = at_once(partial(ask_many, world, 1, 2, 9), partial(ask_many, world, 1, 1, project="no/where"))

        assert sizes == [1, 3], "what is wrong by itself is asked of nobody"
        (mixed, wrong) = sorted(answers, key=len, reverse=True)
        milli = [msgspec.json.decode(each.body)["milli"] for each in mixed[:2]]
        assert milli == [1000, 2000] and isinstance(mixed[2], NoCapacity)
        assert [each.fields[0].field for each in wrong] == ["project"] * 2
        world.check()

    def test_are_no_more_than_one_may_have(self, world, sizes, at_once, monkeypatch):
        monkeypatch.setattr(together._bulks, "_most", 3)

        answers = at_once(*[partial(ask_many, world, 1, 1)] * 2, partial(ask_many, world, 1))

        assert sizes[0] == 1 and sorted(sizes[1:]) == [2, 3]
        assert [row.state for found in answers for row in found] == ["active"] * 5
        world.check()

    def test_wait_for_as_many_as_a_batch_has_and_no_longer(self, world, sizes, monkeypatch):
        monkeypatch.setattr(together._bulks, "_company_seconds", 10.0)
        monkeypatch.setattr(together._bulks, "_most", 4)
        ask_many(world, 1)
        together._bulks.leave(20, 10.0)  # as after twenty who were answered together

        answers = at_once.run(*[partial(ask_many, world, 1, 1)] * 2)

        assert [row.state for found in answers for row in found] == ["active"] * 4 and sizes == [1, 4]

    def test_wait_for_nobody_who_has_no_room_beside_them(self, world, sizes, monkeypatch):
        monkeypatch.setattr(together._bulks, "_company_seconds", 60.0)
        monkeypatch.setattr(together._bulks, "_most", 4)
        ask_many(world, 1)
        together._bulks.leave(20, 60.0)
        began = time.monotonic()

        ask_many(world, 1, 1, 1)

        assert time.monotonic() - began < 30 and sizes == [1, 3]

    @pytest.mark.parametrize("is_committed", [False, True])
    def test_that_together_break_are_made_once(self, world, at_once, monkeypatch, is_committed):
        real = claims.submit

        def breaks(asked, **more):
            answers = real(asked, **more) if is_committed or len(asked) <= 2 else []
            if len(asked) > 2:
                raise RuntimeError("one of them is poison")
            return answers

        monkeypatch.setattr(claims, "submit", breaks)
        answers = at_once(*[partial(ask_many, world, 1, 1)] * 2)

        assert [row.state for found in answers for row in found] == ["active"] * 4
        assert len({row.id for found in answers for row in found}) == 4
        assert Allocation.objects.filter(devices_per_member=1).count() == 4
        world.check()

    def test_hold_up_nobody_who_asks_for_one(self, world, monkeypatch):
        begun, go, real = Event(), Event(), claims.submit

        def slow(asked, **more):
            if len(asked) > 1:
                begun.set()
                assert go.wait(10)
            return real(asked, **more)

        monkeypatch.setattr(claims, "submit", slow)
        many = Thread(target=lambda: (ask_many(world, 1, 1), connection.close()))
        many.start()
        assert begun.wait(10)

        assert ask(world).state == "active"
        go.set()
        many.join()


class TestALockedQuota:
    """Somebody else has the quota of one tenant for long: that is nobody else's wait."""

    @pytest.fixture
    def other(self, world):
        other = project("umbrella/hive")
        granted(world.pool, other)
        quota(other, world.model, PLENTY, quota(other.parent, world.model, PLENTY))
        return other

    @pytest.fixture
    def let_go(self, world):
        """Lock it until this is set."""
        has_it, let_go = Event(), Event()

        def hold():
            with transaction.atomic():
                Quota.objects.select_for_update(no_key=True).get(id=world.quota.id)
                has_it.set()
                if not let_go.wait(5):
                    let_go.set()
            connection.close()

        thread = Thread(target=hold)
        thread.start()
        assert has_it.wait(10)
        yield let_go
        let_go.set()
        thread.join()

    def test_holds_up_its_own_tenant_and_no_other_of_the_batch(self, world, other, monkeypatch, let_go):
        done = []

        def stranger():
            answer = ask(world, project=other.path)
            done.append(let_go.is_set())
            let_go.set()
            return answer

        answers = behind_a_busy_one(world, monkeypatch, partial(ask, world), stranger)

        assert [answer.state for answer in answers] == ["active"] * 2 and done == [False]
        check_claims()

    def test_holds_up_nobody_who_comes_after_one_alone(self, world, other, let_go):
        answers = []
        waits = Thread(target=lambda: (answers.append(ask(world)), connection.close()))
        waits.start()
        while not together._line._is_busy:
            waits.join(0.001)

        assert ask(world, project=other.path).state == "active" and not answers and not let_go.is_set()
        let_go.set()
        waits.join()
        assert answers[0].state == "active"


class TestAKey:
    def test_is_kept_with_what_it_made(self, world):
        alice = person("alice")

        made = with_key(world, alice, "k")

        kept = IdempotencyKey.objects.get()
        assert (kept.key, kept.status, bytes(kept.body), kept.object_ids) == (
            "k", 201, str(made.id).encode(), [made.id],
        )  # fmt: skip

    def test_that_was_used_makes_nothing_again(self, world):
        alice = person("alice")
        with_key(world, alice, "k", devices=8)

        again = with_key(world, alice, "k", devices=8)

        assert isinstance(again, KeyUsed) and Allocation.objects.count() == 1
        world.check()

    def test_that_was_used_makes_nobody_wait_behind_it(self, world):
        once = Once(person("alice").id, "k", b"f", lambda row: Kept(201, {}, b"", (row.id,)))

        def asked():
            return replace(world.asked(5, queue=True), once=once)

        assert world.submit(asked())[0].state == "active"

        again, other = world.submit(asked(), world.asked(1))

        assert isinstance(again, KeyUsed) and other.state == "active"

    @pytest.mark.parametrize("nodes", (1, 40))
    def test_that_was_used_is_looked_for_once_where_nothing_is_free(self, nodes, monkeypatch):
        world, alice, reads = World(count=nodes), person("alice"), []
        with_key(world, alice, "k", devices=8)
        assert all(each.state == "active" for each in world.submit(*[world.asked(8) for _ in range(nodes - 1)]))
        real = candidates.read
        monkeypatch.setattr(candidates, "read", lambda *args, **more: (reads.append(1), real(*args, **more))[1])

        again = with_key(world, alice, "k", devices=8)

        assert isinstance(again, KeyUsed) and len(reads) == 1

    def test_of_a_start_that_was_promised_is_answered_before_anything_is_looked_for(self, world, monkeypatch):
        once = Once(person("alice").id, "k", b"f", lambda row: Kept(201, {}, b"", (row.id,)))
        start_at = world.clock.now + timedelta(hours=1)

        def asked():
            return replace(world.asked(8, start_at=start_at, lease_seconds=60), once=once)

        assert world.submit(asked())[0].state == "scheduled"
        monkeypatch.setattr(scheduling, "schedule", None)

        assert isinstance(world.submit(asked())[0], KeyUsed)

    def test_of_a_request_that_was_refused_may_be_used_again(self, world):
        alice = person("alice")
        assert isinstance(with_key(world, alice, "k", devices=9), NoCapacity)

        assert with_key(world, alice, "k", devices=1).state == "active"

    def test_that_comes_many_times_at_once_makes_one(self, world):
        alice = person("alice")

        answers = at_once.run(*[partial(with_key, world, alice, "k") for _ in range(8)])

        made = [answer for answer in answers if not isinstance(answer, DomainError)]
        assert len(made) == 1 and all(isinstance(a, KeyUsed) for a in answers if a is not made[0]), answers
        assert Allocation.objects.count() == 1
        world.check()
