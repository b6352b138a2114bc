"""Who is on which card: a host names VMs on cards, a VM names its profiles, and the rest must be worked out."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.vsphere import uses
from connectors.vsphere.profiles import card, fit_together, free, profile, share
from connectors.vsphere.uses import Cut, Machine, Marks

SIZES = {f"grid_a100-{gib}c": profile(f"grid_a100-{gib}c") for gib in (40, 20, 10, 5)}
WHOLE, HALF, QUARTER, EIGHTH = SIZES
MIG_SIZES = {f"grid_a100-{name}": profile(f"grid_a100-{name}") for name in ("4-20c", "3-20c", "2-10c", "1-5c")}
FOUR, THREE, TWO, ONE = MIG_SIZES
ALL = {**SIZES, **MIG_SIZES}
SLICED = card(40960, "same_size", SIZES.values())
MIG = card(40960, "mig", [profile("grid_a100-7-40c"), *MIG_SIZES.values()])


def vm(*profiles, **more):
    return Machine(name="a vm", profiles=profiles, **more)


def spread(machines, *listed, on=SLICED):
    """Return the cards with what is on them."""
    cuts = [Cut(card=on, vms=vms) for vms in listed]
    uses.spread(cuts, machines, ALL)
    return cuts


def names(cut):
    """What is on a card; a tuple where nobody can tell which."""
    found = [tuple(each.name for each in piece.candidates) for piece in cut.pieces]
    return sorted((each[0] if len(each) == 1 else each for each in found), key=str)


def room(cut, *names):
    """How many more of these profiles fit."""
    return list(cut.room(ALL[name] for name in names).values())


def milli(cut, machines):
    return [use.milli for use in uses.of_cut(cut, machines, Marks(machines))]


class TestVgpus:
    def test_of_a_vm_on_one_card_are_all_on_it(self):
        (cut,) = spread({"a": vm(QUARTER, QUARTER)}, ("a",))

        assert names(cut) == [QUARTER, QUARTER] and room(cut, QUARTER) == [2]

    def test_of_a_vm_that_is_listed_for_each_of_them_are_not_counted_twice(self):
        (cut,) = spread({"a": vm(QUARTER, QUARTER)}, ("a", "a"))

        assert names(cut) == [QUARTER, QUARTER]

    def test_of_one_profile_are_one_on_each_card(self):
        first, second = spread({"a": vm(WHOLE, WHOLE)}, ("a",), ("a",))

        assert names(first) == names(second) == [WHOLE]

    def test_of_two_profiles_are_told_apart_by_what_else_is_on_a_card(self):
        first, second = spread({"a": vm(QUARTER, HALF), "b": vm(HALF)}, ("a", "b"), ("a",))

        assert names(first) == [HALF, HALF] and names(second) == [QUARTER]

    def test_of_two_profiles_on_cards_without_others_may_be_either(self):
        machines = {"a": vm(QUARTER, HALF)}
        first, second = spread(machines, ("a",), ("a",))

        assert names(first) == names(second) == [(QUARTER, HALF)]
        assert milli(first, machines) == [500] and room(first, *SIZES) == [0, 0, 0, 0]

    def test_of_mig_and_of_time_slices_go_to_their_cards(self):
        cuts = [Cut(card=SLICED, vms=("a",)), Cut(card=MIG, vms=("a",))]

        uses.spread(cuts, {"a": vm(TWO, HALF)}, ALL)

        assert [names(cut) for cut in cuts] == [[HALF], [TWO]]

    def test_that_are_more_than_the_host_lists_may_be_on_any_of_its_cards(self):
        machines = {"a": vm(QUARTER, QUARTER, QUARTER)}
        first, second = spread(machines, ("a",), ("a",))

        assert milli(first, machines) == milli(second, machines) == [250, 250]

    def test_of_a_vm_that_may_not_be_seen_take_the_rest_of_the_card(self):
        machines = {"a": vm(QUARTER), "hidden": Machine(name="", is_told=False)}
        (cut,) = spread(machines, ("a", "hidden"))

        found = uses.of_cut(cut, machines, Marks(machines))

        assert [(use.holder, use.milli, use.memory_mib) for use in found] == [
            ("a vm", 250, 10240),
            ("hidden", 750, 30720),
        ]
        assert room(cut, QUARTER) == [0]

    def test_of_a_vm_that_vanished_take_the_rest_of_the_card_too(self):
        (cut,) = spread({}, ("gone",))

        assert milli(cut, {}) == [1000]


class TestWholeCards:
    def test_are_had_by_the_vm_that_the_host_binds(self):
        machines = {"a": vm(addresses=("0000:17:00.0",)), "b": vm()}

        (use,) = uses.of_whole("0000:17:00.0", 81920, "b", machines, Marks(machines))

        assert (use.milli, use.memory_mib) == (1000, 81920)

    def test_are_had_by_a_running_vm_with_the_address(self):
        machines = {"a": Machine(name="first", addresses=("0000:17:00.0",), is_on=False)}
        assert uses.of_whole("0000:17:00.0", 0, None, machines, Marks(machines)) == ()

        machines["b"] = Machine(name="second", addresses=("0000:17:00.0",))

        assert uses.of_whole("0000:17:00.0", 0, None, machines, Marks(machines))[0].holder == "second"


class TestMarkers:
    OURS = Machine(
        name="oc-vm", profiles=(QUARTER, QUARTER), orders={"oc-a": [QUARTER], "oc-b": [QUARTER]}, marker="oc-vm"
    )

    def test_are_handed_out_order_by_order(self):
        (cut,) = spread({"a": self.OURS}, ("a",))

        found = uses.of_cut(cut, {"a": self.OURS}, Marks({"a": self.OURS}))

        assert [use.marker for use in found] == ["oc-a", "oc-b"]

    def test_of_devices_that_no_order_names_are_the_targets(self):
        marks = Marks({"a": self.OURS})

        assert [marks.take("a", word) for word in (HALF, QUARTER, QUARTER, QUARTER)] == [
            "oc-vm",
            "oc-a",
            "oc-b",
            "oc-vm",
        ]

    def test_of_others_are_none(self):
        assert Marks({"a": vm(QUARTER)}).take("a", QUARTER) is None is Marks({}).take("a", QUARTER)


class TestWaiting:
    def test_are_vms_that_are_off_and_have_a_vgpu_or_a_card_of_the_host(self):
        card, other = "0000:17:00.0", "0000:18:00.0"
        machines = [
            vm(QUARTER),
            vm(is_on=False),
            Machine(name="later", profiles=(QUARTER,), is_on=False),
            Machine(name="whole", addresses=(card,), is_on=False),
            Machine(name="network", addresses=(other,), is_on=False),
        ]

        assert uses.waiting(machines, {card}) == ["later", "whole"]


@st.composite
def worlds(draw):
    """Three cards with VMs on them: what is really where. VMs of one to three vGPUs, each card within its means."""
    on, sizes = draw(st.sampled_from([(SLICED, SIZES), (MIG, MIG_SIZES)]))
    truth, machines = [[], [], []], {}
    for number in range(draw(st.integers(1, 5))):
        placed = draw(st.lists(st.tuples(st.sampled_from(sorted(sizes)), st.integers(0, 2)), min_size=1, max_size=3))
        here = []
        for name, index in placed:
            beside = [sizes[each] for each, _ in truth[index]]
            if free(on, beside, sizes[name]) and fit_together(on, [*beside, sizes[name]]):
                truth[index].append((name, f"vm-{number}"))
                here.append(name)
        if here:
            machines[f"vm-{number}"] = Machine(name=f"vm-{number}", profiles=tuple(here))
    return on, sizes, truth, machines, draw(st.booleans())


class TestAnyHost:
    @given(worlds())
    def test_is_never_told_to_have_more_room_than_it_has(self, world):
        on, sizes, truth, machines, is_listed_once = world
        listed = [tuple(vm for _, vm in card) for card in truth]

        cuts = spread(machines, *(tuple(dict.fromkeys(vms)) if is_listed_once else vms for vms in listed), on=on)

        for cut, really in zip(cuts, truth, strict=True):
            there = [sizes[name] for name, _ in really]
            assert all(
                told <= free(on, there, sizes[name]) for name, told in zip(sizes, room(cut, *sizes), strict=True)
            )

    @given(worlds())
    def test_is_told_to_be_used_as_much_as_it_is_and_never_more_than_wholly(self, world):
        on, sizes, truth, machines, is_listed_once = world
        listed = [tuple(vm for _, vm in card) for card in truth]

        cuts = spread(machines, *(tuple(dict.fromkeys(vms)) if is_listed_once else vms for vms in listed), on=on)

        for cut, really in zip(cuts, truth, strict=True):
            told = sum(milli(cut, machines))
            assert sum(share(on, sizes[name]).milli for name, _ in really) <= told <= 1000

    @given(worlds())
    def test_is_told_the_same_whatever_the_order_of_its_cards(self, world):
        on, _, truth, machines, _ = world
        listed = [tuple(vm for _, vm in card) for card in truth]

        found = {
            tuple(sorted(str(names(cut)) for cut in spread(machines, *order, on=on))) for order in permutations(listed)
        }

        assert len(found) == 1


@pytest.mark.parametrize("count", [1, 7])
def test_many_vms_of_many_profiles_are_worked_out_soon(count):
    """Each may be one of three profiles: the cases of a card are looked at only as far as they are few."""
    machines = {f"vm-{number}": vm(ONE, TWO, THREE) for number in range(count)}

    cuts = spread(machines, *[tuple(machines)] * 3, on=MIG)

    assert all(len(cut.pieces) == count for cut in cuts) and room(cuts[0], ONE) == [4 if count == 1 else 0]
