"""What a vGPU profile takes of a card, and how many more fit: cases from NVIDIA's guides, and what holds for all."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.vsphere.profiles import (
    Profile,
    Share,
    card,
    fit_together,
    free,
    is_estimate,
    offered_on,
    profile,
    share,
)
from pools.domain import catalogue
from pools.domain import profiles as catalogued
from pools.domain.profiles import Piece

CHIPS = catalogue.load(Path(__file__).parents[3] / "pools" / "catalogue").by_slug
MIG = [profile(f"grid_a100-{name}") for name in ("7-40c", "4-20c", "3-20c", "2-10c", "1-10c", "1-5c", "1-5cme")]
SEVEN, FOUR, THREE, TWO, WIDE, ONE, MEDIA = MIG
SLICED = [profile(f"grid_a100-{gib}c") for gib in (40, 20, 10, 8, 5, 4)]
WHOLE, HALF, QUARTER, FIFTH, EIGHTH, TENTH = SLICED
A100_MIG, A100 = card(40960, "mig", MIG), card(40960, "same_size", SLICED)
MIXED = card(40960, "mixed_size", SLICED)


class TestNames:
    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("grid_a100-40c", ("a100", 40, 0)),
            ("grid_a100-3-20c", ("a100", 20, 3)),
            ("grid_a100d-80c", ("a100d", 80, 0)),
            ("nvidia_h100xm-1-10cme", ("h100xm", 10, 1)),
            ("grid_t4-2q", ("t4", 2, 0)),
            ("grid_rtx6000-24Q", ("rtx6000", 24, 0)),
            ("mi300x-quarter", ("", 0, 0)),
        ],
    )
    def test_say_chip_size_and_slices_or_nothing(self, name, told):
        found = profile(name)

        assert (found.name, found.chip, found.gib, found.slices) == (name, *told)

    def test_give_way_to_what_vcenter_tells(self):
        assert profile("grid_h100l-15c", 16).gib == 16 and profile("mi300x-quarter", 48).gib == 48

    def test_of_a_host_with_several_models_go_to_the_model_of_that_chip(self):
        names = ["grid_l40-8c", "grid_l40s-8c", "grid_a100d-10c", "odd"]
        offered = offered_on([profile(name) for name in names], ["NVIDIA L40", "NVIDIA L40S", "NVIDIA A100-SXM4-80GB"])

        assert {model: [each.name for each in found] for model, found in offered.items()} == {
            "NVIDIA L40": ["grid_l40-8c", "odd"],
            "NVIDIA L40S": ["grid_l40s-8c", "odd"],
            "NVIDIA A100-SXM4-80GB": ["grid_a100d-10c", "odd"],
        }


class TestShares:
    @pytest.mark.parametrize("slug", ["nvidia-a100-40gb", "nvidia-h100-80gb", "nvidia-h200-141gb", "nvidia-l40s-48gb"])
    def test_of_time_sliced_profiles_are_those_of_the_catalogue(self, slug):
        entry = CHIPS[slug]
        (cut,) = [cut for cut in entry.cuts if cut.name == "vgpu"]
        offered = [profile(f"grid_{each.name}") for each in cut.profiles]
        on = card(entry.memory_mib, "same_size", offered)

        assert [share(on, each) for each in offered] == [Share(each.milli, each.memory_mib) for each in cut.profiles]
        assert [free(on, [], each) for each in offered] == [each.max_per_device for each in cut.profiles]

    @pytest.mark.parametrize("slug", ["nvidia-a100-40gb", "nvidia-h100-80gb", "nvidia-h200-141gb", "nvidia-a30-24gb"])
    def test_of_mig_profiles_are_those_of_the_catalogue(self, slug):
        entry, names = CHIPS[slug], {}
        (cut,) = [cut for cut in entry.cuts if cut.name == "mig"]
        for each in cut.profiles:
            if each.name.endswith("gb") and each.name[0] + each.name[1] == f"{each.compute}g":
                names[profile(f"grid_chip-{each.compute}-{each.name[3:-2]}c")] = each
        on = card(entry.memory_mib, "mig", names)

        assert {each: share(on, each) for each in names} == {
            each: Share(told.milli, told.memory_mib) for each, told in names.items()
        }
        assert {each: free(on, [], each) for each in names} == {
            each: catalogued.room(entry, (), told.name) for each, told in names.items()
        }

    def test_of_a_profile_nobody_can_read_is_the_whole_card(self):
        assert share(A100, Profile("odd")) == Share(1000, 40960)

    def test_of_a_card_that_tells_a_little_less_than_its_nominal_size_do_not_lose_a_piece(self):
        assert free(card(39600, "same_size", SLICED), [], WHOLE) == 1
        assert free(card(39600, "same_size", SLICED), [], TENTH) == 10


class TestRoom:
    def test_a_card_of_one_size_takes_no_other(self):
        assert [free(A100, [QUARTER], each) for each in SLICED] == [0, 0, 3, 0, 0, 0]

    def test_a_card_of_mixed_sizes_takes_what_is_left_at_best(self):
        assert [free(MIXED, [QUARTER], each) for each in SLICED] == [0, 1, 3, 3, 6, 7] and is_estimate(MIXED, [QUARTER])

    @pytest.mark.parametrize(
        ("used", "room"),
        [
            ([], [1, 1, 2, 3, 4, 7, 1]),
            ([ONE], [0, 1, 1, 3, 3, 6, 1]),
            ([MEDIA], [0, 1, 1, 3, 3, 6, 0]),
            ([THREE], [0, 1, 1, 2, 2, 4, 1]),
            ([FOUR], [0, 0, 1, 1, 2, 3, 1]),
            ([FOUR, THREE], [0, 0, 0, 0, 0, 0, 0]),
            ([THREE, THREE], [0, 0, 0, 0, 0, 0, 0]),
            ([TWO, TWO, TWO], [0, 0, 0, 0, 1, 1, 1]),
            ([SEVEN], [0, 0, 0, 0, 0, 0, 0]),
        ],
    )
    def test_of_mig_is_what_fits_at_the_best_places(self, used, room):
        assert [free(A100_MIG, used, each) for each in MIG] == room

    def test_of_mig_on_a_card_of_four_slices_is_of_four_slots(self):
        offered = [profile(f"grid_a30-{name}") for name in ("4-24c", "2-12c", "1-6c")]
        on = card(24576, "mig", offered)

        assert [free(on, [], each) for each in offered] == [1, 2, 4]
        assert [free(on, [offered[2]], each) for each in offered] == [0, 1, 3]

    def test_of_time_slices_and_mig_never_mixes(self):
        assert free(A100_MIG, [], QUARTER) == 0 == free(A100, [], ONE)
        unsaid = card(40960, "", [*SLICED, *MIG])
        assert free(unsaid, [], QUARTER) == 4 and free(unsaid, [QUARTER], ONE) == 0 and free(unsaid, [ONE], TENTH) == 0

    def test_beside_a_piece_nobody_can_read_there_is_none(self):
        assert free(A100, [Profile("odd")], TENTH) == 0 and free(A100, [], Profile("odd")) == 0


@st.composite
def cuttings(draw):
    """A card, and profiles put on it one by one as long as they fit."""
    on, offered = draw(st.sampled_from([(A100, SLICED), (MIXED, SLICED), (A100_MIG, MIG)]))
    used: list[Profile] = []
    for each in draw(st.lists(st.sampled_from(offered), max_size=12)):
        if free(on, used, each):
            used.append(each)
    return on, offered, used


class TestAnyCard:
    @given(cuttings())
    def test_is_never_used_more_than_wholly(self, cutting):
        on, _, used = cutting

        assert sum(share(on, each).milli for each in used) <= 1000
        assert sum(share(on, each).memory_mib for each in used) <= on.memory_mib and fit_together(on, used)

    @given(cuttings(), st.data())
    def test_has_no_more_room_after_a_piece_than_before(self, cutting, data):
        on, offered, used = cutting
        more = data.draw(st.sampled_from(offered))
        if not free(on, used, more):
            return

        assert free(on, [*used, more], more) <= free(on, used, more) - 1
        assert all(free(on, [*used, more], each) <= free(on, used, each) for each in offered)

    @given(st.lists(st.tuples(st.sampled_from(MIG[:6]), st.integers(0, 6)), max_size=7), st.sampled_from(MIG[:6]))
    def test_has_at_least_the_room_that_any_true_layout_leaves(self, placed, wanted):
        """The host knows the places and we do not: told is what would fit at best."""
        entry, names = CHIPS["nvidia-a100-40gb"], dict(zip(MIG, _GUIDE, strict=True))
        layout, used = (), []
        for each, start in placed:
            after = (*layout, Piece(profile=names[each], start=start))
            if catalogued.is_legal(entry, after):
                layout, used = after, [*used, each]

        assert free(A100_MIG, used, wanted) >= catalogued.room(entry, layout, names[wanted])


_GUIDE = ("7g.40gb", "4g.20gb", "3g.20gb", "2g.10gb", "1g.10gb", "1g.5gb", "1g.5gb+me")
