"""Geometry of the charts."""

import re

from hypothesis import given
from hypothesis import strategies as st

from pools.web import charts

counts = st.dictionaries(st.sampled_from("chsfx"), st.integers(0, 2_000_000))


def drawn(markup, css):
    """How many cells the lines of a class draw."""
    lengths = [
        int(length)
        for path in re.findall(rf'class="{css}" d="([^"]*)"', markup)
        for length in re.findall(r"h(\d+)", path)
    ]
    return sum((length + 2) // charts.STEP for length in lengths)  # fmt: skip


class TestCells:
    @given(st.text(alphabet="chsfxup", max_size=300))
    def test_draw_every_letter_once(self, letters):
        found = charts.cells(letters)

        assert found["count"] == len(letters)
        for letter, css in (
            ("c", "s-claimed box"),
            ("s", "s-shadow box"),
            ("x", "s-faulty box"),
            ("u", "s-unknown box"),
        ):
            assert drawn(found["markup"], css) == letters.count(letter)
        assert drawn(found["markup"], "edge box") == sum(letters.count(letter) for letter in "fhpe")

    def test_need_as_few_nodes_for_many_devices_as_for_few(self):
        assert charts.cells("cf" * 2000)["markup"].count("<path") == charts.cells("cf")["markup"].count("<path")

    def test_give_states_that_look_alike_a_mark_of_their_own(self):
        marks = {letter: charts.cells(letter)["markup"] for letter in charts.LETTERS}

        shapes = {re.sub(r"s-\w+", "", markup) for markup in marks.values()}
        assert len(shapes) == len(charts.LETTERS)


class TestProportion:
    @given(counts, st.sampled_from([1, 2, 5, 10, 100, 1000]))
    def test_shows_everything_that_is_there_and_nothing_else(self, counts, scale):
        letters = charts.proportional(counts, scale)

        assert set(letters) == {letter for letter, count in counts.items() if count}

    @given(counts, st.sampled_from([1, 2, 5, 10, 100, 1000]))
    def test_is_near_to_the_truth(self, counts, scale):
        letters = charts.proportional(counts, scale)

        for letter, count in counts.items():
            assert abs(letters.count(letter) - count / scale) <= 1 or letters.count(letter) == 1

    @given(st.integers(0, 10**8))
    def test_keeps_a_map_small(self, devices):
        assert devices / charts.devices_per_cell(devices) <= charts.MAP_CELLS


class TestBar:
    def test_leaves_no_fault_out_however_small(self):
        sums = {"total_milli": 10**9, "claimed_milli": 10**9 - 1000, "held_milli": 0, "shadow_milli": 0}

        markup = charts.bar({**sums, "faulty_milli": 1000, "free_milli": 0})

        assert 's-faulty" x="100.00%" width="0.60%"' in markup or 's-faulty" x="99.99%"' in markup

    def test_draws_nothing_of_an_empty_pool(self):
        assert charts.bar(dict.fromkeys((f"{state}_milli" for state in ("total", *charts.BAR_STATES)), 0)) == ""

    def test_stays_within_its_box_when_more_is_claimed_than_there_is(self):
        sums = {"total_milli": 1000, "claimed_milli": 3000, "held_milli": 0, "shadow_milli": 0, "faulty_milli": 0}

        assert 'width="100.00%"' in charts.bar({**sums, "free_milli": 0})


class TestTrack:
    def test_has_one_path_for_each_severity(self):
        markup = charts.track({0: 0, 1: 0, 5: 3, 71: 2, 72: 3, -1: 3}, 72)

        assert markup.count("<path") == 3 and "M71.1" in markup and "M72" not in markup and "M-1" not in markup


class TestParts:
    def test_lie_one_after_the_other_with_a_mark_over_them(self):
        drawn = charts.parts([("s-claimed", 300), ("s-held", 0), ("s-shadow", 100)], 800, mark=600)

        assert drawn.count("<rect") == 2 and 'class="s-shadow" x="37.50%" width="12.50%"' in drawn
        assert '<line class="mark" x1="75.00%"' in drawn

    def test_never_leave_the_bar_and_never_vanish(self):
        drawn = charts.parts([("s-claimed", 1), ("s-held", 999)], 10, mark=10)

        assert 'x="0.00%" width="0.60%"' in drawn and 'x="0.10%" width="99.90%"' in drawn

    def test_of_nothing_are_nothing(self):
        assert charts.parts([("s-claimed", 0)], 0, mark=0) == ""
