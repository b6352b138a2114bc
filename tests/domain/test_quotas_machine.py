"""Any order of asks, releases and new limits in any tree: the counters stay what a count from nothing says.

``make test`` tries some orders, the same ones each time; OCENTER_MACHINE_EXAMPLES=500 looks for new ones.
"""

import os
from dataclasses import replace
from uuid import UUID

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

from pools.domain import quota_trees
from pools.domain.quota_books import Book
from pools.domain.quotas import Ask, Row, Shortfall, Taken, room

EXAMPLES = int(os.environ.get("OCENTER_MACHINE_EXAMPLES", "60"))
MODELS, PROFILES, POOLS = [UUID(int=1), UUID(int=2)], [None, "1g.10gb"], [UUID(int=11), UUID(int=12)]
SCOPES = [
    (MODELS[0], None, None),
    (MODELS[0], "1g.10gb", None),
    (MODELS[0], None, [POOLS[0]]),
    (None, None, None),
]
PLAIN = [0, 3]
MILLI, PICKS = st.integers(0, 8), st.integers(0, 100)
LIMITS = st.none() | st.integers(0, 8)


class Quotas(RuleBasedStateMachine):
    """A book against a list of what is held."""

    def __init__(self) -> None:
        super().__init__()
        self.lineages: list[tuple[UUID, ...]] = []
        self.rows: list[Row] = []
        self.held: list[Ask] = []
        self.is_plain = False  # no row keeps anything for one below, and none is of parts: that is counted on its own

    @initialize(
        above=st.lists(PICKS, max_size=6), data=st.data(), is_plain=st.booleans(),
        scopes=st.lists(st.sampled_from(range(len(SCOPES))), min_size=1, max_size=3, unique=True),
    )  # fmt: skip
    def plant(self, above, scopes, data, is_plain):
        self.is_plain = is_plain
        scopes = PLAIN if is_plain else scopes
        self.lineages = [(UUID(int=100),)]
        for number, pick in enumerate(above, start=101):
            parent = self.lineages[pick % len(self.lineages)]
            self.lineages.append((*parent, UUID(int=number)))
        for lineage in self.lineages:
            for number in scopes:
                model_id, profile, pools = SCOPES[number]
                if data.draw(st.integers(0, 3)):
                    self.rows.append(
                        Row(
                            id=UUID(int=lineage[-1].int * 10 + number), project_id=lineage[-1], model_id=model_id,
                            profile=profile, pools=pools, parent_id=None, depth=len(lineage),
                            nominal_milli=data.draw(MILLI), borrow_limit_milli=data.draw(LIMITS),
                            lend_limit_milli=None if is_plain else data.draw(LIMITS),
                            hard_limit_milli=data.draw(LIMITS),
                        )
                    )  # fmt: skip
        self._arrange()

    @rule(pick=PICKS, milli=st.integers(0, 5), units=st.integers(0, 5), model=PICKS, profile=PICKS, pool=PICKS)
    def take(self, pick, milli, units, model, profile, pool):
        ask = Ask(
            self.lineages[pick % len(self.lineages)], MODELS[model % 4 // 3], PROFILES[profile % 2], POOLS[pool % 2],
            milli, units,
        )  # fmt: skip
        before = self._counters()
        expected = self._fits(ask)

        found = self.book.take(ask)

        assert isinstance(found, Taken) == expected
        if isinstance(found, Taken):
            self.held.append(ask)
            for row in self._matching(ask) if found.quota_ids else ():
                assert row.used_milli <= _limit(row) or row.amount(ask) == 0
                assert row.id in found.quota_ids
        else:
            assert self._counters() == before
            self._check_shortfall(ask, found)

    @precondition(lambda self: self.held)
    @rule(pick=PICKS)
    def give_back(self, pick):
        self.book.give_back(self.held.pop(pick % len(self.held)))

    @rule(pick=PICKS, nominal=MILLI, borrow=LIMITS, lend=LIMITS, hard=LIMITS)
    def set_other_limits(self, pick, nominal, borrow, lend, hard):
        if self.rows:
            row = self.rows[pick % len(self.rows)]
            row.nominal_milli, row.borrow_limit_milli = nominal, borrow
            row.lend_limit_milli, row.hard_limit_milli = None if self.is_plain else lend, hard
            self._arrange()

    @rule(asks=st.lists(st.tuples(PICKS, st.integers(0, 5), PICKS, PICKS, PICKS), max_size=6))
    def take_many(self, asks):
        """Together they get what they would get one after another."""
        asks = [
            Ask(self.lineages[pick % len(self.lineages)], MODELS[model % 4 // 3], PROFILES[profile % 2],
                POOLS[pool % 2], milli, milli * 2)
            for pick, milli, model, profile, pool in asks
        ]  # fmt: skip
        book = Book([replace(row) for row in self.rows])
        alone = [book.take(ask) for ask in asks]

        together = self.book.take_all(asks)

        assert [(type(each), each[:2] if isinstance(each, Taken) else each.kind) for each in together] == [
            (type(each), each[:2] if isinstance(each, Taken) else each.kind) for each in alone
        ]
        self.held += [ask for ask, taken in zip(asks, together, strict=True) if isinstance(taken, Taken)]

    @rule()
    def take_and_give_back_all_there_is_room_for(self):
        """What is given back leaves no trace."""
        before = self._counters()
        taken = [ask for ask in self.held if isinstance(self.book.take(ask), Taken)]
        for ask in taken:
            self.book.give_back(ask)
        assert self._counters() == before

    @invariant()
    def what_is_used_is_what_is_held(self):
        for row in self.rows:
            held = [ask for ask in self.held if row.project_id in ask.lineage and row.counts(ask)]
            assert row.used_milli == sum(row.amount(ask) for ask in held)

    @invariant()
    def what_is_kept_is_what_the_definition_says(self):
        for row in self.rows:
            assert row.open_guarantee_milli == sum(_kept(each, self.rows) for each in self._below(row))

    def teardown(self):
        for ask in self.held:
            self.book.give_back(ask)
        assert not any(row.used_milli for row in self.rows)

    def _arrange(self):
        quota_trees.arrange(self.rows, {lineage[-1]: lineage for lineage in self.lineages})
        self.book = Book(self.rows)

    def _counters(self):
        return [(row.used_milli, row.open_guarantee_milli) for row in self.rows]

    def _below(self, row):
        return [each for each in self.rows if each.parent_id == row.id]

    def _matching(self, ask):
        return [row for row in self.rows if row.project_id in ask.lineage and row.counts(ask)]

    def _fits(self, ask):
        """From nothing: the counters with it and without it, in the whole tree."""
        if ask.milli == ask.units_milli == 0:
            return True
        matching = self._matching(ask)
        if not {ask.lineage[0], ask.lineage[-1]} <= {row.project_id for row in matching}:
            return False
        without = {row.id: row.used_milli + _promised(row, self.rows) for row in matching}
        for row in matching:
            row.used_milli += row.amount(ask)
        needed = {row.id: row.used_milli + _promised(row, self.rows) for row in matching}
        fits = all(
            row.used_milli <= _limit(row) and (needed[row.id] <= _limit(row) or needed[row.id] == without[row.id])
            for row in matching
            if row.amount(ask)
        )
        for row in matching:
            row.used_milli -= row.amount(ask)
        return fits

    def _check_shortfall(self, ask, found: Shortfall):
        if found.row is None:
            assert found.kind == "no_quota" and found.available_milli == 0
            return
        assert found.row in self._matching(ask) and 0 <= found.available_milli < found.wanted_milli


def _limit(row):
    borrow = 0 if row.parent_id is None else row.borrow_limit_milli
    most = float("inf") if borrow is None else row.nominal_milli + borrow
    return most if row.hard_limit_milli is None else min(most, row.hard_limit_milli)


def _guarantee(row):
    if row.lend_limit_milli is None:
        return 0
    hard = row.nominal_milli if row.hard_limit_milli is None else row.hard_limit_milli
    return max(0, min(row.nominal_milli, hard) - row.lend_limit_milli)


def _kept(row, rows):
    """What the row above keeps: what is guaranteed and not used, and what is promised below of what is guaranteed."""
    return max(0, _guarantee(row) - row.used_milli, min(_promised(row, rows), _guarantee(row)))


def _promised(row, rows):
    return sum(_kept(each, rows) for each in rows if each.parent_id == row.id)


class Promises(RuleBasedStateMachine):
    """In a tree where nobody promises more than is guaranteed to it, nobody ever lacks what it is guaranteed."""

    @initialize(above=st.lists(PICKS, max_size=6), data=st.data())
    def plant(self, above, data):
        self.lineages = {0: (UUID(int=100),)}
        root = Row(
            UUID(int=1000), UUID(int=100), None, None, None, None, 1, nominal_milli=data.draw(st.integers(0, 20))
        )
        self.rows, left = [root], {0: root.nominal_milli}
        for number, pick in enumerate(above, start=1):
            parent = pick % number
            guarantee = data.draw(st.integers(0, left[parent]))
            lend = data.draw(st.integers(0, 5))
            self.lineages[number] = (*self.lineages[parent], UUID(int=100 + number))
            left[parent] -= guarantee
            left[number] = guarantee
            self.rows.append(
                Row(
                    UUID(int=1000 + number), UUID(int=100 + number), None, None, None, self.rows[parent].id,
                    len(self.lineages[number]), guarantee + lend, data.draw(LIMITS), lend,
                )
            )  # fmt: skip
        quota_trees.add_up(self.rows)
        self.book = Book(self.rows)
        self.held: list[Ask] = []

    @rule(pick=PICKS, milli=st.integers(1, 8))
    def take(self, pick, milli):
        self._take(pick, milli)

    @rule(pick=PICKS, data=st.data())
    def take_of_the_own_guarantee(self, pick, data):
        row = self.rows[pick % len(self.rows)]
        own = row.nominal_milli if row.parent_id is None else row.guarantee_milli
        most = own - row.used_milli - row.open_guarantee_milli  # what it promised on is not its own any more
        if most > 0:
            assert isinstance(self._take(pick, data.draw(st.integers(1, most))), Taken)

    @rule(pick=PICKS)
    def take_all_there_is_room_for(self, pick):
        chain = self._chain(pick)
        most = room(chain)
        assert isinstance(self._take(pick, most + 1), Shortfall)
        if most:
            assert isinstance(self._take(pick, most), Taken)

    @precondition(lambda self: self.held)
    @rule(pick=PICKS)
    def give_back(self, pick):
        self.book.give_back(self.held.pop(pick % len(self.held)))

    @invariant()
    def what_is_used_and_promised_is_there(self):
        for row in self.rows:
            assert row.used_milli + row.open_guarantee_milli <= _limit(row)

    def _chain(self, pick):
        lineage = self.lineages[pick % len(self.rows)]
        return [row for row in sorted(self.rows, key=lambda row: -row.depth) if row.project_id in lineage]

    def _take(self, pick, milli):
        ask = Ask(self.lineages[pick % len(self.rows)], None, None, UUID(int=11), milli, milli)
        found = self.book.take(ask)
        if isinstance(found, Taken):
            self.held.append(ask)
        return found


def run(machine):
    chosen = settings(
        max_examples=EXAMPLES,
        stateful_step_count=30,
        deadline=None,
        derandomize="OCENTER_MACHINE_EXAMPLES" not in os.environ,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    run_state_machine_as_test(machine, settings=chosen)


class TestAnyOrder:
    def test_counts_what_is_held_and_never_more_than_the_limits(self):
        run(Quotas)

    def test_leaves_everybody_what_is_guaranteed(self):
        run(Promises)
