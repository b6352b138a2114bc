"""What is not fit for the database does not get there, whatever a platform tells."""

import time

import pytest
from msgspec.structs import replace

from connectors.contract import CounterFact, DeviceFact, NodeFact, Page, Permanent, Transient, UseFact
from connectors.facts import MAX_NAME, MAX_WARNINGS, Checked, short
from connectors.simulated import fleet
from connectors.simulated.fleet import Spec

DEVICE = DeviceFact(ref="gpu-0", uuid="GPU-1", memory_mib=1024)
NODE = NodeFact(ref="uid-1", name="worker-1", devices=(DEVICE,))


def checked(*nodes):
    return Checked().page(Page(nodes=nodes))


def with_device(**changes):
    return replace(NODE, devices=(replace(DEVICE, **changes),))


def with_counter(**changes):
    return replace(NODE, counters=(replace(CounterFact(ref="example.com/mig"), **changes),))


class TestPage:
    def test_that_is_well_is_returned_as_it_is(self):
        page = Page(nodes=[NODE])

        assert Checked().page(page) is page

    @pytest.mark.parametrize(
        ("node", "words"),
        [
            (replace(NODE, cpu_milli=-1), "worker-1 has cpu_milli -1"),
            (replace(NODE, memory_used_mib=2**40), "memory_used_mib"),
            (replace(NODE, ref=""), "ref"),
            (with_device(memory_mib=-5), "device gpu-0 has memory_mib -5"),
            (with_device(total_milli=10**12), "total_milli"),
            (with_device(ref=""), "ref"),
            (with_device(uses=(UseFact(holder="a", milli=-1),)), "use by a has milli -1"),
            (with_counter(total_units=-8), "counter example.com/mig has total_units -8"),
            (with_counter(total_units=1, faulty_units=2), "faulty_units 2 of 1"),
            (with_counter(uses=(UseFact(holder="a", milli=1, memory_mib=-1),)), "memory_mib -1"),
            (replace(NODE, devices=(DEVICE, replace(DEVICE, uuid=None))), "ref gpu-0 twice"),
            (replace(NODE, counters=(CounterFact(ref="a"), CounterFact(ref="a"))), "ref a twice"),
        ],
    )
    def test_with_nonsense_is_refused_with_node_field_and_value(self, node, words):
        with pytest.raises(Permanent) as raised:
            checked(node)

        assert raised.value.code == "invalid_answer" and words in str(raised.value) and "worker-1" in str(raised.value)

    def test_that_comes_again_is_refused(self):
        observation = Checked()
        observation.page(Page(nodes=[NODE]))

        with pytest.raises(Transient) as raised:
            observation.page(Page(nodes=[NODE]))

        assert raised.value.code == "repeated_page"

    def test_with_long_texts_is_shortened_and_says_so(self):
        long = "x" * 10_240
        node = NodeFact(
            ref=f"1{long}",
            name=long,
            labels={long: long},
            unavailable_reason=long,
            devices=(replace(DEVICE, model=long, vendor=long, pci_address=long, attributes={"a": long}),),
            counters=(CounterFact(ref=long, profile=long, uses=(UseFact(holder=long, milli=1),)),),
        )

        page = checked(node)

        (fixed,) = page.nodes
        (device,), (counter,) = fixed.devices, fixed.counters
        assert (
            max(len(fixed.ref), len(fixed.name), len(device.model), len(counter.ref), len(counter.uses[0].holder))
            == 255
        )
        assert (len(device.vendor), len(device.pci_address), len(counter.profile or "")) == (63, 32, 63)
        assert max(map(len, [*fixed.labels, *fixed.labels.values(), *device.attributes.values()])) <= MAX_NAME
        assert len(fixed.unavailable_reason) <= 500 and "too long" in page.warnings[0]

    def test_without_the_character_that_no_database_takes(self):
        page = checked(replace(NODE, name="a\x00b", devices=(replace(DEVICE, model="c\x00d"),)))

        assert "\x00" not in repr(page.nodes) and page.warnings

    def test_with_a_device_seen_before_counts_it_once_where_it_was_first(self):
        page = checked(NODE, replace(NODE, ref="uid-2", name="worker-2"))

        assert [len(node.devices) for node in page.nodes] == [1, 0]
        assert "GPU-1" in page.warnings[0] and "worker-2" in page.warnings[0]

    def test_with_slices_of_one_card_keeps_them_apart(self):
        slices = tuple(
            DeviceFact(ref=f"slice-{number}", serial="S1", profile=profile)
            for number, profile in enumerate(["1g.10gb", "2g.20gb"])
        )

        assert checked(replace(NODE, devices=slices)).warnings == ()

    def test_does_not_drown_people_in_warnings(self):
        page = checked(*(NodeFact(ref=f"{number}", name=f"{number}" + "x" * 300) for number in range(500)))

        assert len(page.warnings) == MAX_WARNINGS + 1


class TestShort:
    def test_names_stay_different(self):
        names = {short("x" * 10_000 + str(number)) for number in range(100)}

        assert len(names) == 100 and {len(name) for name in names} == {255}

    def test_names_that_fit_stay_as_they_are(self):
        assert short("x" * 255) == "x" * 255


def test_checking_40000_devices_costs_little():
    pages = [Page(nodes=list(fleet.nodes(Spec(seed=seed, nodes=500, used_percent=70)))) for seed in range(10)]
    began = time.process_time()

    observation = Checked()
    for page in pages:
        observation.page(page)

    assert time.process_time() - began < 0.15
