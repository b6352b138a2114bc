"""What still fits in one piece, and how much of what is free is of use to nobody."""

import pytest

from pools.domain import fragmentation, overlays
from pools.domain.largest import largest
from pools.domain.planner import plan
from pools.domain.shapes import NodeState, Shape
from tests.domain.views import A100, counter, node, view, want


def shapes(*rows):
    return {shape.devices_per_member: shape for shape in largest(view(*rows))}


class TestLargest:
    def test_counts_members_of_each_size(self):
        found = shapes(node(1), node(2, (1000,) * 3 + (500,)))

        assert {size: shape.members for size, shape in found.items()} == {1: 11, 2: 5, 4: 2, 8: 1}
        assert found[8].text == "1 x 8"

    def test_tells_the_most_on_one_node_even_if_it_is_no_power_of_two(self):
        assert max(shapes(node(1, (1000,) * 6))) == 6

    def test_looks_into_racks_and_link_groups_where_they_are_known(self):
        found = shapes(
            node(1, groups=list("aaaabbbb"), domains={"rack": "r1"}),
            node(2, groups=["c"] * 8, domains={"rack": "r2"}),
        )

        assert (found[8].members, found[8].members_in_one_rack, found[8].members_in_link_groups) == (2, 1, 1)
        assert (found[4].members, found[4].members_in_one_rack, found[4].members_in_link_groups) == (4, 2, 4)

    def test_tells_nothing_of_what_is_unknown(self):
        (shape,) = shapes(node(1, (1000,))).values()

        assert (shape.members_in_one_rack, shape.members_in_link_groups) == (None, None)

    def test_counts_the_nodes_that_a_row_stands_for(self):
        assert shapes(node(1, alike=5))[8].members == 5

    def test_is_what_a_gang_can_have(self):
        read = view(node(1), node(2, (1000,) * 5))

        for shape in largest(read):
            one_more = shape.members + 1
            assert plan(read, want(members=shape.members, devices_per_member=shape.devices_per_member)).members
            assert plan(read, want(members=one_more, devices_per_member=shape.devices_per_member)).code

    def test_keeps_models_apart_and_counts_units_of_nodes(self):
        read = view(node(1, (1000,)), counter(2, 5, model=A100, node_id=node(2).node_id))

        assert {(shape.model, shape.devices_per_member) for shape in largest(read)} >= {(A100, 5), (A100, 4)}


class TestFragmentation:
    @pytest.mark.parametrize(
        ("free", "shape", "usable"),
        [
            ((1000,) * 8, Shape(0, 0, 8, 1000), 8000),
            ((1000,) * 7, Shape(0, 0, 8, 1000), 0),
            ((700, 700), Shape(0, 0, 1, 500), 1000),
            ((1000,) * 8, Shape(4000, 0, 1, 1000), 2000),
        ],
    )
    def test_knows_what_a_kind_can_use(self, free, shape, usable):
        assert fragmentation.usable_milli(NodeState(8000, 0, "x", free), shape) == usable

    def test_is_the_share_of_what_is_free_that_the_mix_cannot_use(self):
        mix = {Shape(0, 0, 8, 1000): 1, Shape(0, 0, 1, 1000): 3}

        (whole,) = fragmentation.measure(view(node(1), mix=mix))
        (broken,) = fragmentation.measure(view(node(1), node(2, (1000,) * 4), node(3, (1000,) * 4), mix=mix))

        assert whole.score == 0
        assert broken.score == pytest.approx(0.25 * 0.5)

    def test_grows_when_a_whole_node_is_broken_up(self):
        mix = {Shape(0, 0, 8, 1000): 1}
        read = view(node(1), mix=mix)
        broken = overlays.after(read, plan(read, want()))

        assert fragmentation.measure(broken)[0].score == 1

    def test_of_nothing_is_nothing(self):
        assert fragmentation.measure(view(node(1, (0,))))[0].score == 0
