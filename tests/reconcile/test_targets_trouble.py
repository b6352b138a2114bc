"""A platform that answers late, half, wrong or never, workers that come late, and messages that come too often."""

import pytest

from connectors.contract import Absent, Done, Found, Order, Permanent
from connectors.simulated.state import Placed, TargetState
from pools.domain.errors import AllocationState, LeaseOver
from pools.domain.targets import newer_generation
from pools.models import Allocation, AuditEvent, Capacity, Device, Member, Node, Operation, Orphan, PoolSync, Target
from pools.reconcile import allocations, targets
from pools.selectors import installation
from pools.selectors import targets as due
from pools.services import allocations as services
from pools.services import binding
from pools.services import targets as turns
from pools.services.targets import TurnLost
from tests.factories import ALICE, Clock
from tests.reconcile.binding import Lab
from tests.services import at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lab(tmp_path):
    """A node whose object carries the orders of all."""
    return Lab(tmp_path, Clock(), mode="device", nodes=1)


@pytest.fixture
def gangs(tmp_path):
    """Two nodes, and an object for each member."""
    return Lab(tmp_path, Clock(), mode="node", nodes=2)


def later(lab, **delta):
    lab.clock.forward(**(delta or {"seconds": 30}))
    lab.advance()


def take_turn(lab):
    turn = turns.take_turn(pool_id=lab.pool.id, installation=installation.installation_id(), now=lab.clock.now)
    assert turn is not None
    return turn


def operation(id, action="apply"):
    return Operation.objects.filter(allocation_id=id, action=action).latest("id")


class TestAnAnswerThatIsLost:
    def test_leaves_it_unknown_and_asked_for_before_anything_is_sent_again(self, lab, caplog):
        id = lab.ask(2)
        lab.store.fail("timeout", call="apply", when="after")

        lab.advance()

        target = lab.target()
        assert (target.is_unknown, target.failures, target.trouble["code"]) == (True, 1, "timeout")
        assert (lab.state(id), operation(id).state) == ("binding", "unknown")
        assert Capacity.objects.get(kind="cards").claimed_milli == 2000, "never counted free"

        caplog.clear()
        later(lab)

        calls = [
            record.msg["call"] for record in caplog.records if isinstance(record.msg, dict) and "call" in record.msg
        ]
        assert calls.index("probe") < calls.index("apply")
        assert (lab.state(id), operation(id).calls, operation(id).attempts) == ("active", [], 2), "nothing was repeated"
        lab.check()

    def test_to_giving_back_is_not_free_until_somebody_asked(self, lab):
        id = lab.ask(2)
        lab.advance()
        lab.release(id)
        lab.store.fail("timeout", call="apply", when="after")

        lab.advance()

        assert lab.state(id) == "releasing" and lab.there() == {}
        assert Capacity.objects.get(kind="cards").claimed_milli == 2000

        later(lab)

        assert lab.state(id) == "released"
        lab.check()

    def test_is_asked_for_ever_more_rarely(self, lab):
        lab.ask(1)
        lab.store.fail("server_error", call="plan", times=-1)
        waits = []

        for _ in range(12):
            lab.advance()
            waits.append((lab.target().due_at - lab.clock.now).total_seconds())
            lab.clock.now = lab.target().due_at

        assert 4 < waits[0] < 6 and 800 < waits[-1] < 1000
        assert lab.target().failures == 12

    def test_is_not_needed_where_half_of_it_is_done(self, lab):
        ids = [lab.ask(1), lab.ask(1)]
        lab.store.fail("server_error", call="apply", when="during")
        lab.advance()
        assert len(lab.orders_there()) == 1

        later(lab)

        assert [lab.state(id) for id in ids] == ["active"] * 2
        lab.check()


class TestAPlatformThatRefuses:
    @pytest.mark.parametrize("code", ["forbidden", "rejected"])
    def test_lets_people_see_why_and_leaves_nothing_behind(self, gangs, code):
        gangs.store.fail(code, call="apply", when="before")
        id = gangs.ask(4, members=2)

        gangs.advance()
        gangs.advance()

        found = Allocation.objects.get(id=id)
        assert (found.state, found.reason, gangs.there()) == ("needs_attention", code, {})
        troubles = [m.trouble for m in Member.objects.filter(allocation_id=id) if m.trouble]
        assert troubles[0]["code"] == code and troubles[0]["message"] and troubles[0]["words"]
        assert Capacity.objects.filter(claimed_milli=4000, kind="cards").count() == 2, "still its own"

        gangs.release(id)
        gangs.advance()

        assert gangs.state(id) == "released"
        gangs.check()

    def test_one_order_lets_those_of_others_go_on(self, lab):
        kept = lab.ask(1)
        lab.advance()
        refused = lab.ask(1)
        lab.store.fail("rejected", call="apply", when="before")

        lab.advance()
        later(lab)

        assert lab.state(kept) == "active" and lab.state(refused) == "needs_attention"
        assert lab.orders_there() == [str(kept)] and lab.target().trouble is None

        lab.release(kept)
        lab.advance()

        assert lab.state(kept) == "released"
        lab.release(refused)
        lab.advance()
        lab.check()

    def test_to_give_back_is_asked_again_until_it_does(self, lab):
        id = lab.ask(1)
        lab.advance()
        lab.store.fail("forbidden", call="apply", when="before", times=2)

        lab.release(id)
        lab.advance()

        assert lab.state(id) == "releasing" and lab.target().trouble["class"] == "denied"
        later(lab)
        later(lab, minutes=2)
        assert lab.state(id) == "released" and lab.target().trouble is None
        lab.check()


class TestADatabaseThatWasRestored:
    """It knows older generations than the platform took."""

    def test_finds_a_generation_that_is_new_enough_where_all_is_gone(self, lab):
        for _ in range(20):
            id = lab.ask(1)
            lab.advance()
            lab.release(id)
            lab.advance()
        assert lab.there() == {} and (was := lab.target().generation) > 20
        Target.objects.update(generation=1, applied_generation=1)

        id = lab.ask(1)
        for _ in range(8):
            later(lab, minutes=15)

        assert lab.state(id) == "active" and was < lab.target().generation < 4 * was
        lab.check()

    @pytest.mark.parametrize("known", [1, 9, 20])
    def test_takes_nothing_off_a_host_before_people_could_decide(self, lab, known):
        """Whether its own number is older than that of the host, the same, or newer by chance."""
        stranger = f"oc-{'z' * 20}"
        first = lab.ask(1)
        lab.advance()
        lab.release(first)
        lab.advance()
        Target.objects.update(generation=known - 1, applied_generation=known - 1)
        with lab.store.changing() as state:
            path = f"{Node.objects.get().ref}/{Device.objects.order_by('index')[3].ref}"
            order = Order(marker=stranger, allocation="later", member=0, milli=1000)
            state.targets[lab.target().ref] = TargetState(
                generation=9, orders={stranger: order}, placed={stranger: [Placed(path, 1000, 0)]},
                installation=installation.installation_id(),
            )  # fmt: skip

        id = lab.ask(1)
        for _ in range(3):
            later(lab)

        assert lab.state(id) == "active"
        assert (Orphan.objects.get().marker, Orphan.objects.get().node) == (stranger, Node.objects.get())
        assert PoolSync.objects.get().next_at <= lab.clock.now, "and what it uses is looked at soon"
        lab.release(id)
        later(lab)
        assert lab.state(id) == "released" and [*next(iter(lab.there().values())).orders] == [stranger]

    def test_goes_on_where_the_same_number_has_other_content(self):
        there = Found(generation=3)

        assert newer_generation(3, there, is_stale=False, failures=0) is None
        assert newer_generation(3, there, is_stale=True, failures=1) == 5
        assert newer_generation(2, there, is_stale=False, failures=0) == 4
        assert newer_generation(2, Found(generation=9, is_ours=False), is_stale=True, failures=1) is None


class TestWhatSomebodyElseMade:
    """An object that has our name and not our mark."""

    @staticmethod
    def takes_its_place(lab):
        """It stands where the target of what was claimed would be."""
        allocations.advance(clock=lab.clock)
        with lab.store.changing() as state:
            for ref in Target.objects.values_list("ref", flat=True):
                state.targets[ref] = TargetState(generation=1, installation="somebody")

    @pytest.mark.parametrize("where", ["lab", "gangs"])
    def test_keeps_nobody_from_giving_back_what_was_never_carried(self, where, request):
        lab = request.getfixturevalue(where)
        id = lab.ask(2, members=2)
        self.takes_its_place(lab)
        lab.advance()
        assert (lab.state(id), Allocation.objects.get(id=id).reason) == ("needs_attention", "not_ours")

        lab.release(id)
        later(lab)

        assert lab.state(id) == "released"
        assert not Target.objects.filter(due_at__isnull=False).exists(), "nobody asks for what nobody wants"
        assert {target.trouble["code"] for target in Target.objects.all()} == {"not_ours"}
        assert {each.installation for each in lab.there().values()} == {"somebody"}, "and it was left alone"
        lab.check()

    @staticmethod
    def takes_it_over(lab):
        """It stands where what was carried is: another installation took the host, or somebody took our mark off."""
        with lab.store.changing() as state:
            for there in state.targets.values():
                there.installation = "somebody"

    @staticmethod
    def lets_it_go(lab):
        with lab.store.changing() as state:
            for there in state.targets.values():
                there.installation = installation.installation_id()

    def test_never_frees_what_was_carried_and_may_live_there(self, lab):
        kept, id = lab.ask(1), lab.ask(1)
        lab.advance()
        self.takes_it_over(lab)
        lab.release(id)

        lab.advance()

        found = Allocation.objects.get(id=id)
        assert (found.state, found.reason, lab.state(kept)) == ("needs_attention", "user", "active")
        assert Member.objects.get(allocation_id=id).trouble["code"] == "not_ours"
        asked = operation(id, "release")
        assert asked.state in ("planned", "sent", "unknown") and asked.trouble["code"] == "not_ours"
        assert Capacity.objects.get(kind="cards").claimed_milli == 2000, "never counted free"
        assert lab.target().due_at is not None, "it is asked for again"

    def test_keeps_what_was_carried_only_while_it_stands_there(self, lab):
        kept, id = lab.ask(1), lab.ask(1)
        lab.advance()
        self.takes_it_over(lab)
        lab.release(id)
        lab.advance()
        self.lets_it_go(lab)

        later(lab)

        assert (lab.state(id), lab.state(kept)) == ("released", "active"), "nobody has to press anything"
        assert lab.orders_there() == [str(kept)] and operation(id, "release").state == "confirmed"
        lab.check()

    def test_is_asked_about_at_once_when_it_is_given_back_once_more(self, lab):
        id = lab.ask(1)
        lab.advance()
        self.takes_it_over(lab)
        lab.release(id)
        for _ in range(8):
            later(lab)
        assert lab.target().due_at > lab.clock.now

        lab.release(id)
        assert lab.state(id) == "releasing"
        lab.advance()
        assert lab.state(id) == "needs_attention", "it is still there"
        self.lets_it_go(lab)
        lab.release(id)
        lab.advance()

        assert lab.state(id) == "released" and lab.there() == {}
        assert Operation.objects.filter(allocation_id=id, action="release").count() == 1
        lab.check()

    def test_of_which_a_person_says_that_nothing_of_ours_is_left_frees_what_was_carried(self, lab):
        kept, id = lab.ask(1), lab.ask(1)
        lab.advance()
        self.takes_it_over(lab)
        with pytest.raises(AllocationState):
            services.release(allocation_id=id, is_gone=True, actor=ALICE, now=lab.clock.now)
        lab.release(id)
        lab.advance()

        services.release(allocation_id=id, is_gone=True, actor=ALICE, now=lab.clock.now)
        lab.advance()

        assert (lab.state(id), Allocation.objects.get(id=id).reason) == ("released", "user")
        assert Capacity.objects.get(kind="cards").claimed_milli == 1000 and lab.state(kept) == "active"
        told = AuditEvent.objects.get(action="allocation.called_gone", object_id=str(id))
        assert (told.actor, told.after) == ("alice", {"members": [0]})
        services.release(allocation_id=id, is_gone=True, actor=ALICE, now=lab.clock.now)

    def test_lets_nothing_begin_anew_with_what_is_given_back(self, lab):
        id = lab.ask(1, lease_seconds=60)
        lab.advance()
        self.takes_it_over(lab)
        lab.clock.forward(seconds=61)
        for _ in range(3):
            services.end_leases(now=lab.clock.now)
            lab.advance()
        assert (lab.state(id), Allocation.objects.get(id=id).reason) == ("needs_attention", "lease_end")
        told = AuditEvent.objects.filter(action="allocation.not_taken_off", object_id=str(id))
        assert told.count() == 1, "and not again and again"

        with pytest.raises(LeaseOver):
            binding.retry(allocation_id=id, actor=ALICE, now=lab.clock.now)

    def test_keeps_what_may_have_come_there_before_it(self, lab):
        """It was sent, nobody knows what came of it, and then somebody else stood there."""
        id = lab.ask(1)
        lab.store.fail("timeout", call="apply", when="after")
        lab.advance()
        self.takes_it_over(lab)
        later(lab)
        assert (lab.state(id), Allocation.objects.get(id=id).reason) == ("needs_attention", "not_ours")

        lab.release(id)
        later(lab)

        assert lab.state(id) == "needs_attention" and Capacity.objects.get(kind="cards").claimed_milli == 1000
        services.release(allocation_id=id, is_gone=True, actor=ALICE, now=lab.clock.now)
        later(lab)
        assert lab.state(id) == "released" and lab.target().due_at is None

    def test_lets_what_was_refused_be_tried_again(self, gangs):
        id = gangs.ask(1)
        self.takes_its_place(gangs)
        gangs.advance()
        later(gangs)
        with gangs.store.changing() as state:
            state.targets.clear()

        binding.retry(allocation_id=id, actor=ALICE, now=gangs.clock.now)
        gangs.advance()

        assert gangs.state(id) == "active" and gangs.target().trouble is None
        gangs.check()


class TestAPlatformThatCannotBeReached:
    def test_is_left_in_peace_with_all_its_targets(self, gangs):
        ids = [gangs.ask(1), gangs.ask(1), gangs.ask(1)]
        gangs.store.fail("unreachable", call="identity", times=-1)

        allocations.advance(clock=gangs.clock)
        tried = targets.run(pool_id=gangs.pool.id, clock=gangs.clock)

        assert tried == 1 and not Target.objects.filter(due_at__lte=gangs.clock.now).exists()
        gangs.simulation.heal()
        later(gangs)
        assert {gangs.state(id) for id in ids} == {"active"}
        gangs.check()

    def test_is_not_tried_while_its_breaker_is_open(self, lab):
        lab.ask(1)
        allocations.advance(clock=lab.clock)
        assert [pool_id for pool_id, _ in due.due_pools(lab.clock.now)] == [lab.pool.id]

        PoolSync.objects.update(breaker_open_until=lab.clock.now.replace(hour=13))

        assert due.due_pools(lab.clock.now) == []

    def test_because_it_is_paused_waits_until_it_is_resumed(self, lab):
        id = lab.ask(1)
        lab.pool.state = "paused"
        lab.pool.save(update_fields=["state"])

        lab.advance()

        assert lab.state(id) == "binding" and not lab.there()


class TestALateWorker:
    def test_writes_nothing_when_its_turn_is_somebody_elses(self, lab):
        id = lab.ask(1)
        allocations.advance(clock=lab.clock)
        stale = take_turn(lab)
        lab.clock.forward(seconds=turns.TURN_SECONDS + 1)
        lab.release(id)
        lab.advance()
        assert lab.state(id) == "released"
        before = Target.objects.values().get()

        for outcome in (Done(found=Absent()), Permanent("no", code="rejected")):
            with pytest.raises(TurnLost):
                turns.finish_turn(stale, outcome, now=lab.clock.now)

        assert Target.objects.values().get() == before and lab.state(id) == "released"
        lab.check()

    def test_does_not_send_when_it_lost_its_turn_before(self, lab, monkeypatch):
        id = lab.ask(1)
        allocations.advance(clock=lab.clock)
        real = targets.targets.note_sending

        def robbed(turn, plan, *, now):
            Target.objects.update(turn_token=None)
            real(turn, plan, now=now)

        monkeypatch.setattr(targets.targets, "note_sending", robbed)
        monkeypatch.setattr(targets, "RUN_SECONDS", 0.5)
        targets.run(pool_id=lab.pool.id, clock=lab.clock)

        assert lab.there() == {} and lab.state(id) == "binding"

    def test_does_not_confirm_what_was_given_back_meanwhile(self, lab):
        other, id = lab.ask(1), lab.ask(1)
        allocations.advance(clock=lab.clock)
        turn = take_turn(lab)
        lab.release(id)

        turns.finish_turn(turn, Done(found=Absent()), now=lab.clock.now)
        allocations.advance(clock=lab.clock)

        assert lab.state(id) == "releasing" and lab.target().due_at == lab.clock.now
        assert lab.state(other) == "active", "whose order is as it was sent"
        lab.advance()
        assert lab.state(id) == "released"

    def test_goes_on_from_a_generation_that_only_the_platform_knows(self, lab):
        first = lab.ask(1)
        lab.advance()
        with lab.store.changing() as state:
            (there,) = state.targets.values()
            there.generation = 41
        second = lab.ask(1)

        lab.advance()
        for _ in range(3):
            later(lab)

        assert lab.target().applied_generation == 42
        assert [lab.state(first), lab.state(second)] == ["active", "active"]
        lab.check()


class TestMessages:
    def test_that_come_ten_times_do_once(self, lab):
        id = lab.ask(1)

        for _ in range(10):
            lab.advance()

        assert operation(id).attempts == 1 and Operation.objects.count() == 1
        lab.check()

    def test_that_come_at_once_do_once(self, gangs):
        ids = [gangs.ask(1) for _ in range(4)]

        for _ in range(2):
            failed = [each for each in at_once.run(*[gangs.advance] * 4) if each is not None]
            assert not failed, failed

        gangs.advance()
        assert {gangs.state(id) for id in ids} == {"active"}
        assert set(Operation.objects.values_list("attempts", flat=True)) == {1}
        gangs.check()


class TestATargetThatIsGone:
    def test_is_made_again_when_it_is_applied_next(self, lab):
        id = lab.ask(1, lease_seconds=3600)
        lab.advance()
        with lab.store.changing() as state:
            state.targets.clear()
        services.extend(allocation_id=id, lease_seconds=7200, actor=ALICE, now=lab.clock.now)

        lab.advance()

        assert lab.orders_there() == [str(id)] and lab.state(id) == "active"
        ((order,),) = [target.orders.values() for target in lab.there().values()]
        assert order.lease_end_at == Allocation.objects.get(id=id).end_at.isoformat()
        lab.check()
