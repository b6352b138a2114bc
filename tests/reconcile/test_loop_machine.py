"""Any order of claims, releases and time over a platform that answers late, wrongly, twice or lies: nothing is doubled,
left behind or lost, and all of it comes to an end.

``make test`` tries some orders, the same ones each time; OCENTER_MACHINE_EXAMPLES=100 looks for new ones.
"""

import os
import tempfile
from collections import Counter
from pathlib import Path
from uuid import UUID

import pytest
from django.db import connection
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from connectors.contract import Absent, Done
from connectors.simulated.state import TargetState, When
from pools.domain import states
from pools.domain.errors import AllocationState
from pools.models import Allocation, Capacity, Claim, Member, Operation, Target
from pools.reconcile import allocations as decisions
from pools.selectors import quota_counts
from pools.selectors.installation import installation_id
from pools.services import binding
from pools.services import targets as turns
from pools.services.targets import TurnLost
from tests.factories import ALICE, Clock
from tests.reconcile.binding import Lab, check_ledger
from tests.reconcile.invariants import check_sums

pytestmark = pytest.mark.django_db(transaction=True)

EXAMPLES = int(os.environ.get("OCENTER_MACHINE_EXAMPLES", "4"))
STEPS = 14
ENDS_MOST = 12
PICKS = st.integers(0, 100)
FAULTS = ("timeout", "server_error", "unreachable", "forbidden", "rejected", "no_capacity", "deleted")
UNSURE = ("timeout", "server_error")


class Looping(RuleBasedStateMachine):
    """Two nodes of four cards. Platform objects carry the orders of a node, of a member, or of an allocation."""

    @initialize(mode=st.sampled_from(["device", "node", "pool"]))
    def a_platform(self, mode: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "TRUNCATE pool, node, device, device_twin, capacity, capacity_rollup, inventory_change, ledger_event,"
                " audit_event, project, allocation, member, claim, operation, target CASCADE"
            )
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.lab = Lab(Path(self.folder.name), self.clock, mode=mode)
        self.foreign: set[str] = set()

    # --- what people do ---

    @precondition(lambda self: self._has_room())
    @rule(members=st.sampled_from([1, 1, 2]))
    def ask(self, members: int) -> None:
        self.lab.ask(1, members=members)

    @precondition(lambda self: self._live())
    @rule(pick=PICKS)
    def release(self, pick: int) -> None:
        self.lab.release(self._one(pick))

    @precondition(lambda self: self._live())
    @rule(pick=PICKS)
    def retry(self, pick: int) -> None:
        try:
            binding.retry(allocation_id=self._one(pick), actor=ALICE, now=self.clock.now)
        except AllocationState:
            return

    # --- what workers do ---

    @rule(seconds=st.sampled_from([0, 30, 600]), times=st.integers(1, 2))
    def hints_come(self, seconds: int, times: int) -> None:
        self.clock.forward(seconds=seconds)
        for _ in range(times):
            self.lab.advance()

    @precondition(lambda self: self._has_room())
    @rule(is_released=st.booleans())
    def a_worker_is_slow_and_its_answer_comes_when_its_turn_is_over(self, is_released: bool) -> None:
        id = self.lab.ask(1)
        decisions.advance(clock=self.clock)
        late = turns.take_turn(pool_id=self.lab.pool.id, installation=installation_id(), now=self.clock.now)
        if is_released:
            self.lab.release(id)
        self.clock.forward(seconds=turns.TURN_SECONDS + 1)
        self.lab.advance()
        if late is not None:
            with pytest.raises(TurnLost):
                turns.finish_turn(late, Done(found=Absent()), now=self.clock.now)

    # --- what the platform does ---

    @rule(code=st.sampled_from(FAULTS), call=st.sampled_from(["apply", "apply", "plan", "probe"]),
          when=st.sampled_from(["before", "during", "after"]), times=st.integers(1, 2))  # fmt: skip
    def fails(self, code: str, call: str, when: When, times: int) -> None:
        if when == "before" or (code in UNSURE and call == "apply") or code == "deleted":
            self.lab.store.fail(code, call=call, when="during" if code == "deleted" else when, times=times)

    @rule(calls=st.sampled_from([0, 0, 2]))
    def is_done_later(self, calls: int) -> None:
        self.lab.simulation.knobs(pending_calls=calls)

    @rule()
    def lies_that_it_is_done(self) -> None:
        self.lab.simulation.knobs(does_nothing=True)
        self.lab.advance()
        self.lab.simulation.knobs(does_nothing=False)

    @precondition(lambda self: self.lab.there())
    @rule(pick=PICKS)
    def knows_a_newer_generation(self, pick: int) -> None:
        with self.lab.store.changing() as state:
            ref = sorted(state.targets)[pick % len(state.targets)]
            state.targets[ref].generation += 10

    @precondition(lambda self: not self.foreign and self._has_room())
    @rule()
    def has_something_of_others_in_the_place(self) -> None:
        self.lab.ask(1)
        decisions.advance(clock=self.clock)
        with self.lab.store.changing() as state:
            refs = set(Target.objects.filter(due_at__isnull=False).values_list("ref", flat=True)) - state.targets.keys()
            for ref in sorted(refs)[:1]:
                state.targets[ref] = TargetState(generation=1, installation="somebody")
                self.foreign.add(ref)
        self.lab.advance()

    # --- what holds always ---

    @invariant()
    def nothing_is_there_twice_or_without_a_claim(self) -> None:
        there = Counter(self.lab.orders_there())
        claims = Claim.objects.filter(released_at=None).exclude(capacity__kind="host")
        members = set(claims.values_list("allocation_id", "member_index"))
        held = Counter(str(allocation_id) for allocation_id, _ in members)
        assert there <= held, "what the platform carries has its claim, once"

    @invariant()
    def who_is_in_use_was_confirmed_in_all_its_members(self) -> None:
        for allocation_id in Allocation.objects.filter(state="active").values_list("id", flat=True):
            of = Member.objects.filter(allocation_id=allocation_id)
            assert set(of.values_list("order_state", flat=True)) == {"carried"}

    @invariant()
    def what_is_over_holds_nothing_and_has_nothing_on_its_way(self) -> None:
        over = Allocation.objects.filter(state__in=states.ALLOCATION_FINAL).values_list("id", flat=True)
        assert not Claim.objects.filter(allocation_id__in=over, released_at=None).exists()
        assert not Operation.objects.filter(allocation_id__in=over, state__in=states.OPERATION_OPEN).exists()
        assert not Member.objects.filter(allocation_id__in=over, order_state__in=states.ORDER_PRESENT).exists()

    @invariant()
    def what_has_to_be_done_is_due(self) -> None:
        """No silence: an order that is on its way has a target that somebody will come to."""
        waiting = Member.objects.filter(order_state__in=("wanted", "leaving")).values_list("target_id", flat=True)
        assert not Target.objects.filter(id__in=waiting, due_at=None).exists()

    @invariant()
    def sums_quotas_and_the_ledger_agree(self) -> None:
        check_sums(self.lab.pool.id)
        check_ledger(self.lab.pool.id)
        assert quota_counts.checked().miscounts == []

    # --- how ---

    def _has_room(self) -> bool:
        return Claim.objects.filter(released_at=None).count() < 5

    def _live(self) -> list[UUID]:
        live = Allocation.objects.exclude(state__in=(*states.ALLOCATION_FINAL, "releasing")).order_by("id")
        return list(live.values_list("id", flat=True))

    def _one(self, pick: int) -> UUID:
        found = self._live()
        return found[pick % len(found)]

    def teardown(self) -> None:
        """Once the platform answers, everything comes to an end, and nothing but what others made is left."""
        if not hasattr(self, "lab"):
            return
        self.lab.simulation.knobs(faults=[], pending_calls=0)
        for id in self._live():
            self.lab.release(id)
        for _ in range(ENDS_MOST):
            self.clock.forward(minutes=20)
            self.lab.advance()
        ended = set(Allocation.objects.values_list("state", flat=True)) <= {*states.ALLOCATION_FINAL}
        assert ended, Counter(Allocation.objects.values_list("state", flat=True))
        assert set(self.lab.there()) <= self.foreign and not Target.objects.filter(due_at__isnull=False).exists()
        assert not Capacity.objects.exclude(claimed_milli=0, held_milli=0, layout={}).exists()
        self.sums_quotas_and_the_ledger_agree()
        self.folder.cleanup()


def test_any_order_over_a_platform_that_cannot_be_trusted_comes_to_its_end() -> None:
    is_search = "OCENTER_MACHINE_EXAMPLES" in os.environ
    run_state_machine_as_test(
        Looping,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=not is_search,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink) if is_search else (Phase.generate,),
        ),
    )
