"""Which pieces fit on one card together: cases from the vendors' guides, and what must hold for every chip."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pools.domain import catalogue, profiles
from pools.domain.profiles import Piece, Share

CHIPS = catalogue.load(Path(__file__).parents[2] / "pools" / "catalogue").by_slug
A100, A30, L40S = CHIPS["nvidia-a100-40gb"], CHIPS["nvidia-a30-24gb"], CHIPS["nvidia-l40s-48gb"]
H100, T4, MI300X = CHIPS["nvidia-h100-80gb"], CHIPS["nvidia-t4-16gb"], CHIPS["amd-mi300x"]
RTX_PRO, ASCEND_310P = CHIPS["nvidia-rtx-pro-6000-96gb"], CHIPS["huawei-ascend-310p-24gb"]
ASCEND_910B3, ASCEND_910B2 = CHIPS["huawei-ascend-910b3"], CHIPS["huawei-ascend-910b2"]
CUTTABLE = [entry for entry in CHIPS.values() if entry.cuts]


def fill(entry, *names):
    """Put the profiles on an empty card one after the other; None when one does not fit."""
    layout: profiles.Layout = ()
    for name in names:
        if profiles.fits(entry, layout, name) is None:
            return None
        layout = add(entry, layout, name)
    return layout


def place(entry, layout, name):
    """Where the profile goes; the test fails when it fits nowhere."""
    placement = profiles.fits(entry, layout, name)
    assert placement is not None, f"{name} does not fit beside {layout}"
    return placement


def add(entry, layout, name):
    placement = place(entry, layout, name)
    return (*layout, Piece(profile=placement.profile, start=placement.start))


def pieces(*pairs):
    return tuple(Piece(profile=name, start=start) for name, start in pairs)


class TestMig:
    @pytest.mark.parametrize(
        "names",
        [
            ["1g.5gb"] * 7,
            ["2g.10gb"] * 3,
            ["3g.20gb", "3g.20gb"],
            ["4g.20gb", "3g.20gb"],
            ["3g.20gb", "4g.20gb"],
            ["4g.20gb", "2g.10gb", "1g.5gb"],
            ["3g.20gb", "2g.10gb", "1g.5gb", "1g.5gb"],
            ["2g.10gb", "2g.10gb", "2g.10gb", "1g.5gb"],
            ["1g.10gb"] * 4,
            ["1g.10gb"] + ["1g.5gb"] * 6,
            ["1g.5gb+me"] + ["1g.5gb"] * 6,
            ["7g.40gb"],
        ],
    )
    def test_takes_the_combinations_of_the_user_guide(self, names):
        assert fill(A100, *names) is not None

    @pytest.mark.parametrize(
        "names",
        [
            ["4g.20gb", "4g.20gb"],
            ["1g.5gb"] * 8,
            ["2g.10gb"] * 4,
            ["3g.20gb", "3g.20gb", "1g.5gb"],
            ["7g.40gb", "1g.5gb"],
            ["1g.5gb", "7g.40gb"],
            ["1g.5gb+me", "1g.5gb+me"],
            ["1g.10gb"] * 5,
        ],
    )
    def test_refuses_what_does_not_go_together(self, names):
        assert fill(A100, *names) is None

    def test_looks_at_places_and_not_only_at_sums(self):
        scattered = pieces(("1g.5gb", 0), ("1g.5gb", 4))

        assert profiles.fits(A100, scattered, "3g.20gb") is None
        assert place(A100, scattered, "2g.10gb").start == 2

    def test_puts_a_small_piece_where_it_leaves_most_room(self):
        assert place(A100, (), "1g.5gb").start == 6
        assert place(A100, (), "3g.20gb").start == 4

    def test_counts_what_is_left_around_recorded_instances(self):
        two_g = pieces(("2g.10gb", 0), ("2g.10gb", 2), ("2g.10gb", 4))

        assert profiles.room(A100, two_g, "1g.5gb") == 1
        assert profiles.room(A100, two_g, "2g.10gb") == 0
        assert profiles.room(A100, (), "1g.5gb") == 7

    def test_gives_the_shares_of_slices_rounded_down(self):
        one = place(CHIPS["nvidia-a100-80gb"], (), "1g.10gb")

        assert (one.milli, one.memory_mib) == (142, 10240)
        assert profiles.consumed(A100, fill(A100, *["1g.5gb"] * 7)) == Share(milli=994, memory_mib=7 * 5120)
        assert profiles.consumed(A100, fill(A100, "7g.40gb")) == Share(milli=1000, memory_mib=40960)

    def test_knows_the_four_slices_of_an_a30(self):
        assert fill(A30, "2g.12gb", "1g.6gb", "1g.6gb") is not None
        assert fill(A30, "2g.12gb+me", "1g.6gb+me") is None
        assert profiles.room(A30, (), "1g.6gb") == 4

    def test_knows_the_twelve_slots_of_an_rtx_pro_6000(self):
        assert fill(RTX_PRO, "2g.48gb", "1g.24gb", "1g.24gb") is not None
        assert fill(RTX_PRO, "4g.96gb", "1g.24gb") is None
        assert profiles.room(RTX_PRO, (), "1g.24gb") == 4


class TestVgpu:
    def test_takes_one_size_a_card(self):
        assert fill(L40S, "l40s-12c", "l40s-12q") is not None
        assert fill(L40S, "l40s-12c", "l40s-24c") is None
        assert profiles.room(L40S, (), "l40s-12c") == 4

    def test_understands_the_names_that_platforms_use(self):
        assert profiles.room(A100, (), "grid_a100-20c") == 2
        assert profiles.room(H100, (), "h100-20c") == 4
        assert profiles.room(T4, (), "T4_2Q") == 8

    def test_never_shares_a_card_with_mig(self):
        assert fill(A100, "1g.5gb", "a100-20c") is None


class TestPartition:
    def test_divides_a_whole_card_into_equal_parts(self):
        assert profiles.room(MI300X, (), "cpx_nps4") == 8
        assert fill(MI300X, "cpx_nps1", "dpx_nps1") is None


class TestVnpu:
    @pytest.mark.parametrize(
        "names", [["vir04", "vir02", "vir01"], ["vir02"] * 3 + ["vir01"], ["vir04_3c", "vir04_3c"], ["vir01"] * 7]
    )
    def test_takes_templates_whose_cores_add_up(self, names):
        assert fill(ASCEND_310P, *names) is not None

    @pytest.mark.parametrize("names", [["vir04", "vir04"], ["vir04", "vir04_3c", "vir01"], ["vir01"] * 8])
    def test_refuses_templates_beyond_the_cores_or_the_cpus(self, names):
        assert fill(ASCEND_310P, *names) is None

    def test_gives_memory_with_the_cores(self):
        quarter = place(ASCEND_910B3, (), "vir05_1c_16g")

        assert (quarter.milli, quarter.memory_mib) == (250, 16384)
        assert profiles.room(ASCEND_910B3, fill(ASCEND_910B3, "vir10_3c_32g"), "vir05_1c_16g") == 2
        assert place(ASCEND_910B2, (), "vir03_1c_8g").memory_mib == 8192


class TestUnexplained:
    def test_profiles_never_fit(self):
        assert profiles.fits(A100, (), "9g.99gb") is None and profiles.room(A100, (), "9g.99gb") == 0
        assert profiles.fits(CHIPS["nvidia-l4-24gb"], (), "1g.5gb") is None

    def test_layouts_take_nothing_more(self):
        for layout in (
            pieces(("9g.99gb", 0)),
            pieces(("4g.20gb", 4)),
            pieces(("1g.5gb", 0), ("1g.5gb", 0)),
            pieces(("1g.5gb", 0), ("a100-20c", 0)),
        ):
            assert not profiles.is_legal(A100, layout) and profiles.fits(A100, layout, "1g.5gb") is None

    def test_profiles_cannot_be_added_up(self):
        with pytest.raises(KeyError, match=r"9g\.99gb"):
            profiles.consumed(A100, pieces(("9g.99gb", 0)))


@st.composite
def filled_cards(draw):
    """A chip and a layout made by taking any profiles of it for as long as they fit, at any legal place."""
    entry = draw(st.sampled_from(CUTTABLE))
    names = [profile.name for profile in entry.profiles]
    layout: profiles.Layout = ()
    for name in draw(st.lists(st.sampled_from(names), max_size=12)):
        if profiles.fits(entry, layout, name) is not None:
            layout = add(entry, layout, name)
    return entry, layout, draw(st.sampled_from(names))


class TestEveryChip:
    @pytest.mark.parametrize("entry", CUTTABLE, ids=lambda entry: entry.slug)
    def test_says_truly_how_many_pieces_fill_it(self, entry):
        for profile in entry.profiles:
            assert profiles.room(entry, (), profile.name) == profile.max_per_device

    @given(filled_cards())
    def test_is_never_cut_into_more_than_itself(self, card):
        entry, layout, _ = card

        share = profiles.consumed(entry, layout)

        assert share.milli <= 1000 and share.memory_mib <= entry.memory_mib
        assert profiles.is_legal(entry, layout)

    @given(filled_cards())
    def test_has_as_much_room_as_can_be_taken_and_no_more(self, card):
        entry, layout, name = card

        room = profiles.room(entry, layout, name)

        for _ in range(room):
            layout = add(entry, layout, name)
        assert profiles.fits(entry, layout, name) is None and profiles.room(entry, layout, name) == 0

    @given(filled_cards())
    def test_keeps_its_memory_slots_for_one_piece_each(self, card):
        entry, layout, _ = card

        slots: list[int] = []
        for piece in layout:
            cut, profile = entry.find_profile(piece.profile) or pytest.fail(f"{piece} is unknown")
            if cut.rule == "placed":
                assert piece.start in profile.starts
            slots += range(piece.start, piece.start + max(1, profile.size))

        assert len(slots) == len(set(slots))

    @given(filled_cards())
    def test_gets_room_back_when_a_piece_goes(self, card):
        entry, layout, name = card

        room = profiles.room(entry, layout, name)

        assert all(profiles.room(entry, layout[:i] + layout[i + 1 :], name) >= room for i in range(len(layout)))
