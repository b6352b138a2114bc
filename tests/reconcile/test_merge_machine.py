"""Any order of events, through the real pipeline and PostgreSQL: the inventory stays what a slow reference says.

``make test`` tries some orders, the same ones each time; OCENTER_MACHINE_EXAMPLES=500 looks for new ones.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

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

from connectors.contract import CounterFact, DeviceFact, Last, NodeFact, Page, Transient, UseFact
from connectors.facts import Checked
from pools.domain.actors import Actor
from pools.models import Capacity, PoolSync, SyncRun
from pools.reconcile import inventory
from pools.services import sync_runs
from tests.factories import Clock, Shows, pool, synced
from tests.reconcile.invariants import Books, written
from tests.reconcile.reference import Reference

pytestmark = pytest.mark.django_db(transaction=True)

EXAMPLES = int(os.environ.get("OCENTER_MACHINE_EXAMPLES", "30"))
PAGE, BATCH = 2, 3
SOMEBODY = Actor(name="somebody")
MODELS = (
    ("nvidia", "NVIDIA H100 80GB HBM3", "10de:2330", 81559),
    ("huawei", "Ascend 910B4", "19e5:d802", 32768),
    ("acme", "Acme Q9000", "dead:beef", 16384),
)
NODES, CARDS = st.integers(0, 15), st.integers(0, 35)
_numbers = iter(range(10**9))


@dataclass
class Body:
    """A piece of hardware, and how much of its identity the platform shows."""

    key: str
    host: int | None
    slot: int
    shows: str = "uuid"
    model: int = 0
    health: Any = "ok"
    profile: str | None = None
    milli: int = 0

    def fact(self) -> DeviceFact:
        vendor, model, pci_id, memory_mib = MODELS[self.model]
        return DeviceFact(
            ref=f"gpu{self.slot}",
            index=self.slot,
            vendor=vendor,
            model=model,
            pci_id=pci_id,
            memory_mib=memory_mib,
            uuid=f"GPU-{self.key}" if "uuid" in self.shows else None,
            serial=f"S-{self.key}" if "serial" in self.shows else None,
            health=self.health,
            profile=self.profile,
            uses=(UseFact(holder="team/pod", milli=self.milli),) if self.milli else (),
        )


class Pages(Shows):
    """Shows nodes as a session would hand them on: checked, hardware counted once."""

    fails_after: int | None = None

    def observe(self, cursor: Any) -> Iterator[Page]:
        checked = Checked()
        for number, page in enumerate(super().observe(cursor)):
            if number == self.fails_after:
                raise Transient("It broke.")
            yield checked.page(page)


class Merging(RuleBasedStateMachine):
    """A small fleet that people and accidents change, and its observations of every kind."""

    is_written = False  # since all was last found in order

    @initialize(grain=st.sampled_from(["device", "device", "pool"]))
    def a_fleet(self, grain: str) -> None:
        key = f"m{next(_numbers)}"
        self.lab = pool(key, grain=grain, mode="quota" if grain == "pool" else "device")
        self.clock = Clock()
        self.hosts = [NodeFact(ref=f"ref-{i}", name=f"n{i}", cpu_milli=64000, memory_mib=1024) for i in range(12)]
        self.is_there = [True] * 12
        self.bodies = [Body(f"{key}-{i}", host=i // 2, slot=i % 2) for i in range(24)]
        for i in range(4):
            self.counters_change(i, units=3, faulty=1, milli=142)
        self.reference = Reference()
        self.books = Books(self.lab.id, self.reference)
        self.observed()

    # --- what happens out there ---

    @rule(i=NODES)
    def a_node_vanishes_or_returns(self, i: int) -> None:
        i %= len(self.hosts)
        # One in twelve is no large loss: those that are away come back first.
        is_back = not self.is_there[i] or not all(self.is_there)
        self.is_there = [True] * len(self.hosts) if is_back else [at != i for at in range(len(self.hosts))]

    @rule(is_there=st.sampled_from([True, True, True, False]))
    def many_nodes_vanish_or_return(self, is_there: bool) -> None:
        self.is_there[3:] = [is_there] * (len(self.hosts) - 3)

    @rule()
    def a_node_is_added(self) -> None:
        if len(self.hosts) < 16:
            self.hosts.append(NodeFact(ref=f"ref-{len(self.hosts)}", name="new", cpu_milli=8000, memory_mib=512))
            self.is_there.append(True)

    @rule(i=NODES, name=st.sampled_from(["one", "two"]), is_new=st.booleans())
    def a_node_is_renamed_or_registered_anew(self, i: int, name: str, is_new: bool) -> None:
        i %= len(self.hosts)
        ref = f"{self.hosts[i].ref}x" if is_new else self.hosts[i].ref
        self._change(i, name=name, ref=ref)

    @rule(i=NODES, is_available=st.booleans(), cpu_used=st.sampled_from([0, 1000, 70000]))
    def a_node_is_drained_or_used(self, i: int, is_available: bool, cpu_used: int) -> None:
        reason = "" if is_available else "cordoned"
        self._change(i, is_available=is_available, unavailable_reason=reason, cpu_used_milli=cpu_used)

    @rule(i=NODES, units=st.integers(0, 4), faulty=st.integers(0, 2), milli=st.sampled_from([0, 142, 500]))
    def counters_change(self, i: int, units: int, faulty: int, milli: int) -> None:
        uses = (UseFact(holder="team/pod", milli=milli),) if milli else ()
        fact = CounterFact(
            ref="acme.com/part", vendor="acme", model="Acme Q9000", unit_milli=142, total_units=units,
            faulty_units=min(faulty, units), uses=uses,
        )  # fmt: skip
        plain = CounterFact(ref="acme.com/any", unit_milli=1000, total_units=2)
        self._change(i, counters=() if units == 0 else (fact, plain)[: 1 + faulty % 2])

    @rule(i=CARDS, host=NODES, slot=st.integers(0, 3))
    def a_card_moves(self, i: int, host: int, slot: int) -> None:
        body, host = self._body(i), host % len(self.hosts)
        if not any((other.host, other.slot) == (host, slot) for other in self.bodies):
            body.host, body.slot = host, slot

    @rule(i=CARDS)
    def a_card_is_pulled_or_put_back(self, i: int) -> None:
        body, home = self._body(i), i % 24 // 2
        is_free = not any((other.host, other.slot) == (home, body.slot) for other in self.bodies)
        body.host = home if body.host is None and is_free else None

    @rule(i=CARDS, host=st.none() | NODES, observations=st.integers(1, 4))
    def a_card_is_away_for_a_while_and_comes_back(self, i: int, host: int | None, observations: int) -> None:
        body = self._body(i)
        home, body.host = body.host, None if host is None else host % len(self.hosts)
        if any((other.host, other.slot) == (body.host, body.slot) for other in self.bodies if other is not body):
            body.host = None
        for _ in range(observations):
            self.observed()
            self.all_is_in_order()
            self.clock.forward(minutes=8)
        if not any((other.host, other.slot) == (home, body.slot) for other in self.bodies):
            body.host = home
        self.observed()

    @rule(i=NODES)
    def cards_of_three_nodes_are_pulled(self, i: int) -> None:
        if i % 4:
            return
        for body in self.bodies:
            body.host = None if body.host is not None and (body.host - i) % 12 < 3 else body.host

    @rule(i=CARDS)
    def a_card_is_replaced(self, i: int) -> None:
        old = self._body(i)
        if len(self.bodies) < 36 and old.host is not None:
            self.bodies.append(replace(old, key=f"{old.key}x{len(self.bodies)}"))
            old.host = None

    @rule(i=CARDS, shows=st.sampled_from(["uuid", "uuid serial", "serial", "slot"]))
    def a_card_shows_more_or_less(self, i: int, shows: str) -> None:
        self._body(i).shows = shows

    @rule(i=CARDS, health=st.sampled_from(["ok", "faulty", "unknown"]), milli=st.sampled_from([0, 300, 1000, 1500]))
    def a_card_is_unwell_or_used(self, i: int, health: str, milli: int) -> None:
        body = self._body(i)
        body.health, body.milli = health, milli

    @rule(i=CARDS, model=st.integers(0, 2), profile=st.sampled_from([None, None, "1g.10gb"]))
    def a_card_is_another_model_or_cut(self, i: int, model: int, profile: str | None) -> None:
        body = self._body(i)
        body.model, body.profile = model, profile

    @rule(minutes=st.sampled_from([1, 6, 16]))
    def time_passes(self, minutes: int) -> None:
        self.clock.forward(minutes=minutes)

    # --- claims, as a claiming UPDATE would write them ---

    @rule(at=st.integers(0, 60), column=st.sampled_from(["claimed", "held"]), milli=st.sampled_from([142, 500, 1000]))
    def a_claim_is_made(self, at: int, column: str, milli: int) -> None:
        rows = Capacity.objects.filter(pool=self.lab, is_advisory=False).order_by(
            "kind", "node__ref", "node__created_at", "model__slug", "profile", "resource"
        )
        places = [(row, p) for row in rows for p in range(1, max(len(row.device_ids), row.kind != "cards") + 1)]
        row, p = places[at % len(places)]
        self.is_written = True
        with connection.cursor() as cursor:
            cursor.execute(
                f"""
                UPDATE capacity SET pos_{column}_milli[%(p)s] = pos_{column}_milli[%(p)s] + %(n)s WHERE id = %(id)s
                AND pos_total_milli[%(p)s] - pos_claimed_milli[%(p)s] - pos_held_milli[%(p)s]
                    - pos_shadow_milli[%(p)s] - pos_faulty_milli[%(p)s] >= %(n)s
                """,
                {"p": p, "n": milli, "id": row.id},
            )
            if cursor.rowcount:
                self.books.claims[row.id, p][column == "held"] += milli
        self._note_claims()

    @rule()
    def all_claims_are_released(self) -> None:
        self.is_written = True
        for (row_id, p), amounts in self.books.claims.items():
            if any(amounts):
                with connection.cursor() as cursor:
                    cursor.execute(
                        "UPDATE capacity SET pos_claimed_milli[%s] = 0, pos_held_milli[%s] = 0 WHERE id = %s",
                        [p, p, row_id],
                    )
        self.books.claims.clear()
        self._note_claims()

    # --- observations ---

    @rule()
    def observed(self) -> None:
        run = synced(self.lab, self._shows(self._facts()), self.clock)

        self._merged(self._seen(self._facts()))
        is_held = self.reference.conclude(self._refs(), set(), is_full=True, now=self.clock.now)
        assert (run.state == "held") == is_held

    @rule(which=st.sets(NODES, max_size=5))
    def observed_in_part(self, which: set[int]) -> None:
        facts = [fact for i, fact in enumerate(self._facts()) if i in which]
        gone = tuple(ref for ref in self.reference.live() if ref not in self._refs())
        run = synced(self.lab, self._shows(facts, is_full=False, gone=gone), self.clock)

        self._merged(self._seen(facts))
        seen = {fact.ref for fact in facts}
        is_held = self.reference.conclude(seen, set(gone), is_full=False, now=self.clock.now)
        assert run.kind == "incremental" and (run.state == "held") == is_held

    @rule(which=st.sets(NODES))
    def observed_incompletely(self, which: set[int]) -> None:
        facts = [fact for i, fact in enumerate(self._facts()) if i in which]
        run = synced(self.lab, self._shows(facts, last=Last(complete=False)), self.clock)

        assert (run.state, run.missing, run.retired) == ("succeeded", 0, 0)
        self._merged(self._seen(facts))
        if self.reference.held is not None:
            self.reference.held = self.reference.still_waiting({fact.ref for fact in facts})

    @rule(pages=st.integers(0, 8))
    def an_observation_breaks(self, pages: int) -> None:
        shown = self._shows(self._facts())
        shown.fails_after = pages = min(pages, (len(shown.nodes) + 1) // 2)
        with pytest.raises(Transient):
            synced(self.lab, shown, self.clock)
        SyncRun.objects.filter(pool=self.lab, state="running").update(state="failed")
        PoolSync.objects.filter(pool=self.lab).update(turn_token=None, turn_until=None)

        self._merged(self._seen(self._facts())[: pages * PAGE], is_broken=True)

    @rule()
    def tried_only(self) -> None:
        before = written()
        synced(self.lab, self._shows(self._facts()), self.clock, is_dry_run=True)

        assert written() == before

    @precondition(lambda self: self.reference.held is None)
    @rule()
    def observed_twice(self) -> None:
        self.observed()
        hosts, cards = self.reference.live().values(), self.reference.live_cards()
        if any(h.missing_since or h.is_unsettled for h in hosts) or any(card.missing_since for card in cards):
            return
        before = written()
        run = synced(self.lab, self._shows(self._facts()), self.clock)

        assert written() == before and run.changed == run.created == 0

    @precondition(lambda self: self.reference.held is not None)
    @rule(is_approved=st.booleans())
    def a_person_decides(self, is_approved: bool) -> None:
        self.is_written = True
        run_id = PoolSync.objects.get(pool=self.lab).held_run_id
        assert run_id is not None
        if is_approved:
            sync_runs.approve(run_id=run_id, actor=SOMEBODY, now=self.clock.now)
            self.reference.approve(self.clock.now)
        else:
            sync_runs.reject(run_id=run_id, actor=SOMEBODY, now=self.clock.now)
            self.reference.held = None

    @invariant()
    def all_is_in_order(self) -> None:
        if not self.is_written:
            return
        self.is_written = False
        self.books.check()
        held = SyncRun.objects.filter(pool=self.lab, state="held").count()
        assert held == (self.reference.held is not None)
        self._note_claims()

    # --- how ---

    def _body(self, i: int) -> Body:
        return self.bodies[i % len(self.bodies)]

    def _change(self, i: int, **fields: Any) -> None:
        i %= len(self.hosts)
        values = {name: getattr(self.hosts[i], name) for name in NodeFact.__struct_fields__}
        self.hosts[i] = NodeFact(**(values | fields))

    def _facts(self) -> list[NodeFact]:
        facts = []
        for i, host in enumerate(self.hosts):
            if self.is_there[i]:
                cards = sorted((b for b in self.bodies if b.host == i), key=lambda body: body.slot)
                values = {name: getattr(host, name) for name in NodeFact.__struct_fields__}
                facts.append(NodeFact(**(values | {"devices": tuple(body.fact() for body in cards)})))
        return facts

    def _refs(self) -> set[str]:
        return {fact.ref for fact in self._facts()}

    def _shows(self, facts: Sequence[NodeFact], *, gone: tuple[str, ...] = (), **how: Any) -> Pages:
        self.is_written = True
        shown = Pages(*facts, page_size=PAGE, **how)
        shown.gone = gone
        return shown

    def _seen(self, facts: Sequence[NodeFact]) -> list[NodeFact]:
        return list(Checked().page(Page(nodes=facts)).nodes)

    def _merged(self, facts: Sequence[NodeFact], *, is_broken: bool = False) -> None:
        """Merge in the reference as the pipeline does: what differs, in batches; the last one only if all was read."""
        self.reference.begin()
        changed = [fact for fact in facts if self.reference.is_changed(fact)]
        for start in range(0, len(changed), BATCH):
            batch = changed[start : start + BATCH]
            if len(batch) == BATCH or not is_broken:
                self.reference.merge(batch)

    def _note_claims(self) -> None:
        taken = {place for place, amounts in self.books.claims.items() if any(amounts)}
        nodes = dict(Capacity.objects.filter(pool=self.lab).values_list("id", "node_id"))
        self.reference.claimed = taken
        self.reference.claimed_hosts = {nodes[row_id] for row_id, _ in taken} - {None}


def test_the_inventory_is_what_the_observations_say_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "BATCH_NODES", BATCH)
    monkeypatch.setattr("pools.services.inventory.BATCH_NODES", BATCH)
    run_state_machine_as_test(
        Merging,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=60,
            deadline=None,
            derandomize="OCENTER_MACHINE_EXAMPLES" not in os.environ,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink) if "OCENTER_MACHINE_EXAMPLES" in os.environ else (Phase.generate,),
        ),
    )
