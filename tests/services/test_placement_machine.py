"""Any order of requests, holds, releases, observations, faults, quotas and time, on PostgreSQL: all invariants hold.

``make test`` tries some orders, the same ones each time; OCENTER_MACHINE_EXAMPLES=100 looks for new ones.
"""

import os
from typing import Any
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

from pools.domain import states
from pools.domain.errors import (
    AllocationState,
    HoldExpired,
    LeaseBooked,
    LeaseOver,
    LeasePreempted,
    NoCapacity,
    QuotaExceeded,
)
from pools.domain.quota_fields import QuotaWanted
from pools.domain.request import Choice, Level, Share, Topology
from pools.models import Allocation, AuditEvent, Capacity, Claim
from pools.selectors import quota_counts
from pools.services import allocations, queue, quotas, what_ifs
from pools.services.claims import Made
from tests.factories import ALICE, device, holding, use
from tests.reconcile.invariants import check_sums
from tests.services.asking import H100, PLENTY, World, check_positions, quota, with_host
from tests.services.test_ledger import check_row

pytestmark = pytest.mark.django_db(transaction=True)

EXAMPLES = int(os.environ.get("OCENTER_MACHINE_EXAMPLES", "5"))
NODES, CARDS = 3, 4
PICKS = st.integers(0, 100)
SHAPES: dict[str, dict[str, Any]] = {
    "single": {},
    "pair": {"devices": 2},
    "group": {"devices": 2, "topology": Topology(devices=Level(level="link-group", required=True))},
    "gang": {"devices": 2, "members": 2},
    "near": {"members": 3, "topology": Topology(members=Level(level="rack", required=True))},
    "far": {"members": 2, "topology": Topology(spread=Level(level="node", required=True))},
    "share": {"share": Share(milli=300)},
    "shares": {"devices": 2, "share": Share(milli=500, memory_mib=10_000)},
    "profile": {"any_of": (Choice(model=H100, profile="1g.10gb"),)},
    "large profile": {"any_of": (Choice(model=H100, profile="3g.40gb"),)},
    "host": {"devices": 0, "any_of": (), "per_member": with_host(20_000, 1000)},
    "with host": {"per_member": with_host(30_000)},
}


class Placing(RuleBasedStateMachine):
    """Three nodes of four cards, and one project of a tenant that asks for them."""

    @initialize(grain=st.sampled_from(["device", "device", "node", "pool"]))
    def a_fleet(self, grain: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "TRUNCATE pool, ledger_event, audit_event, inventory_change, capacity_rollup, project, allocation,"
                " member, claim, operation, target CASCADE"
            )
        self.faulty: set[int] = set()
        self.shadow: dict[int, int] = {}
        self.pulled: set[int] = set()
        self.most: dict[UUID, int] = {}
        self.world = World(*self._nodes(), grain=grain, mode="quota" if grain == "pool" else "device")
        self.units = quota(self.world.project, None, PLENTY, quota(self.world.project.parent, None, PLENTY))
        self.world.learn(nodes=1, devices=3, parts=3)

    # --- what is asked for ---

    @rule(
        shape=st.sampled_from(list(SHAPES)), is_hold=st.booleans(), waits=st.sampled_from([False, False, True]),
        priority=st.sampled_from([50, 50, 70]), lease=st.sampled_from([None, 60, 900]),
    )  # fmt: skip
    def ask(self, shape: str, is_hold: bool, waits: bool, priority: int, lease: int | None) -> None:
        hold = {"mode": "hold", "hold_seconds": 45} if is_hold else {}
        fields = SHAPES[shape] | hold | {"queue": waits, "priority": priority, "lease_seconds": lease}
        self.world.observe()
        asked = self.world.asked(**fields)
        is_line = Allocation.objects.filter(state="queued").exists()
        foreseen = what_ifs.ask(asked, now=self.world.clock.now)

        (answer,) = self.world.submit(asked)

        if not isinstance(answer, Made):
            assert isinstance(answer, NoCapacity | QuotaExceeded)
            assert not Allocation.objects.filter(id=asked.id).exists(), "what is refused leaves nothing"
        elif answer.state != "queued":
            assert answer.state == ("held" if is_hold else "active")
            self._check_made(answer.allocation_id)
        if not is_line:
            self._check_foreseen(foreseen, answer)

    def _check_made(self, id: UUID) -> None:
        """Nothing new is given of what is not there, is broken, or is used by others; and within every limit."""
        for claim in Claim.objects.filter(allocation_id=id).select_related("capacity"):
            row = claim.capacity
            for p in (position - 1 for position in claim.positions):
                taken = row.pos_claimed_milli[p] + row.pos_held_milli[p] + row.pos_shadow_milli[p]
                assert taken + row.pos_faulty_milli[p] <= row.pos_total_milli[p]
                assert row.pos_claimed_mib[p] + row.pos_held_mib[p] <= row.pos_total_mib[p] or not claim.memory_mib
        for limit in (self.world.quota, self.units):
            limit.refresh_from_db()
            assert limit.used_milli <= limit.nominal_milli or not Allocation.objects.get(id=id).milli

    def _check_foreseen(self, foreseen: what_ifs.Answer, answer: Any) -> None:
        """Invariant 7: what would become of it is what became of it, to the card."""
        if isinstance(answer, QuotaExceeded):
            assert foreseen.decision is None and foreseen.reason == "quota_exceeded"
        elif isinstance(answer, NoCapacity) or answer.state == "queued":
            assert foreseen.decision is None
        else:
            assert foreseen.decision is not None, foreseen
            planned = {
                (member.index, member.capacity_id, tuple(member.positions))
                for member in foreseen.decision.members
                if member.positions
            }
            held = Claim.objects.filter(allocation_id=answer.allocation_id).exclude(capacity__kind="host")
            assert {(claim.member_index, claim.capacity_id, tuple(claim.positions)) for claim in held} == planned

    @precondition(lambda self: self._live("held"))
    @rule(pick=PICKS)
    def confirm(self, pick: int) -> None:
        held = self._one(pick, "held")
        try:
            allocations.confirm(allocation_id=held.id, actor=ALICE, now=self.world.clock.now)
        except HoldExpired:
            assert held.held_until_at is not None and held.held_until_at <= self.world.clock.now
        else:
            assert held.held_until_at is not None and held.held_until_at > self.world.clock.now
            assert self._state(held.id) == "active"

    @precondition(lambda self: self._live("held", "active", "queued"))
    @rule(pick=PICKS, times=st.integers(1, 2))
    def release(self, pick: int, times: int) -> None:
        given = self._one(pick, "held", "active", "queued")
        for _ in range(times):
            allocations.release(allocation_id=given.id, actor=ALICE, now=self.world.clock.now)
        assert self._state(given.id) == "released"

    @precondition(lambda self: self._live("active"))
    @rule(pick=PICKS, seconds=st.sampled_from([30, 300, 3600]))
    def extend(self, pick: int, seconds: int) -> None:
        leased = self._one(pick, "active")
        try:
            allocations.extend(allocation_id=leased.id, lease_seconds=seconds, actor=ALICE, now=self.world.clock.now)
        except (LeaseBooked, LeaseOver, LeasePreempted, AllocationState):
            return
        now = Allocation.objects.get(id=leased.id)
        assert now.end_at is None or (leased.end_at is not None and now.end_at >= leased.end_at)

    @rule(seconds=st.sampled_from([1, 45, 61, 700]))
    def time_passes_and_the_sweep_comes(self, seconds: int) -> None:
        self.world.clock.forward(seconds=seconds)
        now = self.world.clock.now
        allocations.expire_holds(now=now)
        allocations.end_leases(now=now)
        assert not Allocation.objects.filter(state="held", held_until_at__lte=now).exists()
        assert not Allocation.objects.filter(ended_at=None, end_at__lte=now).exists()

    @rule()
    def the_queue_advances(self) -> None:
        self.world.observe()
        waiting = Allocation.objects.filter(state="queued").count()
        got = queue.advance(now=self.world.clock.now)
        assert Allocation.objects.filter(state="queued").count() == waiting - got

    # --- what happens out there ---

    @rule(card=st.integers(0, NODES * CARDS - 1))
    def a_card_breaks_or_is_mended(self, card: int) -> None:
        self.faulty ^= {card}
        self._synced()

    @rule(card=st.integers(0, NODES * CARDS - 1), milli=st.sampled_from([0, 0, 300, 1000]))
    def others_use_a_card(self, card: int, milli: int) -> None:
        self.shadow[card] = milli
        self._synced()

    @rule(card=st.integers(0, NODES * CARDS - 1))
    def a_card_is_pulled_or_put_back(self, card: int) -> None:
        self.pulled ^= {card}
        self._synced()

    @rule(milli=st.sampled_from([0, 1000, 4000, PLENTY]), units=st.sampled_from([2000, PLENTY, PLENTY]))
    def the_quota_is_another(self, milli: int, units: int) -> None:
        rows = [
            QuotaWanted(model=H100, nominal_milli=milli, borrow_limit_milli=0),
            QuotaWanted(nominal_milli=units, borrow_limit_milli=0),
        ]
        quotas.replace(project_id=self.world.project.id, rows=rows, actor=ALICE, now=self.world.clock.now)

    # --- what holds always ---

    @invariant()
    def positions_have_what_claims_take_and_never_more_than_they_may(self) -> None:
        check_positions()
        for row in Capacity.objects.all():
            self.most[row.id] = max(self.most.get(row.id, 0), row.total_milli)
            assert row.claimed_milli + row.held_milli <= row.ceiling_milli
            parts = row.claimed_milli + row.held_milli + row.shadow_milli + row.faulty_milli + row.free_milli
            assert parts == max(row.total_milli, parts) and row.free_milli >= 0
            if row.claimed_milli + row.held_milli <= row.total_milli and row.kind != "cards":
                assert parts == row.total_milli

    @invariant()
    def sums_and_quotas_are_what_a_count_from_nothing_says(self) -> None:
        check_sums(self.world.pool.id)
        assert quota_counts.checked().miscounts == []

    @invariant()
    def the_ledger_tells_of_every_row_who_has_what(self) -> None:
        for row in Capacity.objects.filter(is_advisory=False):
            open_now = check_row(row, most=self.most[row.id])
            assert open_now["shadow"] == row.shadow_milli and open_now["faulty"] == row.faulty_milli
            assert open_now["hold"] == row.held_milli
            assert open_now["reserve"] + open_now["use"] == row.claimed_milli

    @invariant()
    def who_holds_has_claims_and_who_does_not_has_none(self) -> None:
        claims = Claim.objects.filter(released_at=None).values_list("allocation_id", "is_held")
        holding = Allocation.objects.filter(state__in=states.ALLOCATION_HOLDING)
        assert {(a.id, a.state == "held") for a in holding} == set(claims)

    @invariant()
    def every_move_was_told_with_who_made_it(self) -> None:
        told: dict[str, str] = {}
        for event in AuditEvent.objects.filter(object_kind="allocation").order_by("id"):
            assert event.actor and (event.actor != ALICE.name or event.request_id == ALICE.request_id)
            verb = event.action.removeprefix("allocation.")
            state = "queued" if verb == "queued" else (event.after or {}).get("state")
            told[event.object_id] = state or told[event.object_id]
        for allocation in Allocation.objects.all():
            assert told[str(allocation.id)] == allocation.state

    # --- how ---

    def _nodes(self) -> list[Any]:
        found = []
        for n in range(NODES):
            cards = []
            for c in range(CARDS):
                number = n * CARDS + c
                if number in self.pulled:
                    continue
                milli = self.shadow.get(number, 0)
                health = "faulty" if number in self.faulty else "ok"
                uses = (use(milli=milli),) if milli else ()
                cards.append(device(f"n{n}-{c}", index=c, link_group="ab"[c // 2], health=health, uses=uses))
            topology = {"region": "r1", "zone": "z1", "rack": f"k{n // 2}"}
            found.append(holding(f"n{n}", *cards, topology=topology))
        return found

    def _synced(self) -> None:
        before = list(Claim.objects.order_by("id").values_list("id", "capacity_id", "positions", "released_at"))
        self.world.show(*self._nodes())
        after = list(Claim.objects.order_by("id").values_list("id", "capacity_id", "positions", "released_at"))
        assert after == before, "an observation changes no claim"

    def _live(self, *wanted: str) -> list[Allocation]:
        return list(Allocation.objects.filter(state__in=wanted).order_by("id"))

    def _one(self, pick: int, *wanted: str) -> Allocation:
        found = self._live(*wanted)
        return found[pick % len(found)]

    def _state(self, id: UUID) -> str:
        return Allocation.objects.get(id=id).state

    def teardown(self) -> None:
        """What was given back leaves no trace."""
        if not hasattr(self, "world"):
            return
        for each in self._live(*{*states.ALLOCATION_STATES} - {*states.ALLOCATION_FINAL}):
            allocations.release(allocation_id=each.id, actor=ALICE, now=self.world.clock.now)
        assert not Claim.objects.filter(released_at=None).exists()
        assert not Capacity.objects.exclude(claimed_milli=0, held_milli=0, layout={}).exists()
        self.sums_and_quotas_are_what_a_count_from_nothing_says()
        assert self.world.used_milli() == 0


def test_any_order_keeps_all_invariants() -> None:
    run_state_machine_as_test(
        Placing,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            deadline=None,
            derandomize="OCENTER_MACHINE_EXAMPLES" not in os.environ,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink) if "OCENTER_MACHINE_EXAMPLES" in os.environ else (Phase.generate,),
        ),
    )
