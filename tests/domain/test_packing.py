"""The score of pack: hand-checked cases, and what holds for any fleet."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pools.domain.packing import Mix, Prices, room
from pools.domain.shapes import NodeState, Shape, after

EMPTY_8 = NodeState(64_000, 262_144, "H100", (1000,) * 8)
ANY: frozenset[str] = frozenset()


def one(milli=1000, *, cpu=0, models=ANY):
    return Shape(cpu, 0, 1, milli, frozenset(models))


def several(devices):
    return Shape(0, 0, devices, 1000)


def best(prices, states, shape):
    """Return the state that a request takes its place from."""
    scored = [(prices.loss(state, then), number) for number, state in enumerate(states) for then in after(state, shape)]
    return states[min(scored)[1]]


class TestRoom:
    def test_is_the_number_of_copies_to_the_power_of_085(self):
        assert room(EMPTY_8, one()) == pytest.approx(8**0.85)
        assert room(EMPTY_8, several(4)) == pytest.approx(2**0.85)

    def test_is_nothing_when_not_even_one_fits(self):
        assert room(EMPTY_8, several(9)) == 0 == room(EMPTY_8, one(cpu=65_000)) == room(EMPTY_8, one(models={"T4"}))

    def test_is_limited_by_the_cpu_of_the_host(self):
        assert room(EMPTY_8, one(cpu=32_000)) == pytest.approx(2**0.85)

    def test_counts_parts_of_a_device_device_by_device(self):
        state = NodeState(64_000, 0, "H100", (700, 700))

        assert room(state, one(500)) == pytest.approx(2**0.85)


class TestScore:
    def prices(self, states, *shapes):
        return Prices(Counter(shapes), Counter(states))

    def test_keeps_a_rare_model_for_those_who_can_use_nothing_else(self):
        states = [NodeState(64_000, 0, "T4", (1000,)), *[NodeState(64_000, 0, "H100", (1000,))] * 4]
        prices = self.prices(states, one(models={"T4"}), one())

        assert best(prices, states, one()).model == "H100"

    def test_opens_the_small_node_first_when_whole_nodes_are_asked_for(self):
        states = [EMPTY_8, NodeState(64_000, 262_144, "H100", (1000,) * 4)]
        prices = self.prices(states, several(8), one())

        assert best(prices, states, one()) == states[1]

    def test_puts_a_part_beside_a_part_before_a_fresh_device(self):
        states = [NodeState(64_000, 0, "H100", (1000, 530))]
        prices = self.prices(states, one(470), one())

        (then,) = [min(after(states[0], one(470)), key=lambda then: prices.loss(states[0], then))]

        assert then.free_milli == (1000, 60)

    def test_sends_what_needs_no_cpu_to_the_node_that_has_none(self):
        states = [NodeState(64_000, 0, "H100", (1000,)), NodeState(0, 0, "H100", (1000,))]
        prices = self.prices(states, one(cpu=32_000), one())

        assert best(prices, states, one()) == states[1]

    def test_is_nothing_on_a_node_that_no_kind_can_use(self):
        useless = NodeState(64_000, 0, "H100", (100,))
        prices = self.prices([useless, EMPTY_8], one())

        assert prices.loss(useless, next(after(useless, one(100)))) == 0

    def test_names_the_kinds_whose_room_is_taken_the_largest_loss_first(self):
        prices = self.prices([EMPTY_8], several(8), one())
        then = next(after(EMPTY_8, one()))

        losses = prices.losses(EMPTY_8, then)

        assert [shape for shape, _ in losses] == [several(8), one()]
        assert sum(loss for _, loss in losses) == pytest.approx(prices.loss(EMPTY_8, then))


class TestMix:
    def test_leaves_out_requests_for_no_device(self):
        mix = Mix()

        mix.note(one())
        mix.note(Shape(1000, 1000, 0, 0))

        assert mix.counts == {one(): 1}


shapes = st.builds(
    Shape,
    cpu_milli=st.integers(0, 64_000),
    memory_mib=st.integers(0, 9000),
    devices=st.just(1),
    milli=st.integers(1, 1000),
    models=st.sampled_from([ANY, frozenset({"a"}), frozenset({"a", "b"})]),
) | st.builds(
    Shape, cpu_milli=st.integers(0, 64_000), memory_mib=st.just(0), devices=st.integers(2, 8), milli=st.just(1000)
)
states = st.builds(
    NodeState,
    cpu_milli=st.integers(0, 128_000),
    memory_mib=st.integers(0, 20_000),
    model=st.sampled_from("ab"),
    free_milli=st.lists(st.integers(0, 1000), max_size=8).map(lambda free: tuple(sorted(free, reverse=True))),
)


class TestAnyFleet:
    @given(st.lists(states, min_size=1, max_size=8), st.lists(shapes, min_size=1, max_size=8), shapes)
    def test_no_placement_gives_room(self, fleet, mix, shape):
        prices = Prices(Counter(mix), Counter(fleet))

        for state in fleet:
            for then in after(state, shape):
                assert prices.loss(state, then) >= -1e-12

    @given(states, shapes)
    def test_a_placement_takes_exactly_what_was_asked_for(self, state, shape):
        for then in after(state, shape):
            assert sum(state.free_milli) - sum(then.free_milli) == shape.total_milli
            assert state.cpu_milli - then.cpu_milli == shape.cpu_milli
            assert all(milli >= 0 for milli in then.free_milli)

    @given(states, shapes)
    def test_a_shape_fits_exactly_where_it_has_room(self, state, shape):
        assert bool(list(after(state, shape))) == (room(state, shape) > 0)
