"""What is not fit for the database does not get there, whatever a platform tells."""

import time

import msgspec
import pytest
from msgspec.structs import replace

from connectors.contract import CounterFact, DeviceFact, Last, NodeFact, Page, Permanent, Transient, UseFact
from connectors.facts import MAX_COUNT, MAX_NAME, MAX_WARNINGS, Checked, short, storable
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
            (replace(NODE, cpu_used_milli=2**31), "cpu_used_milli 2147483648, and 0 to 2147483647 is allowed"),
            (with_device(index=2**31), "device gpu-0 has index 2147483648"),
            (with_device(index=-1), "index -1"),
            (with_device(numa_node=2**64 - 1), "numa_node 18446744073709551615"),
            (with_device(memory_mib=10**5000), "memory_mib of 16610 bits"),
            (with_device(uses=(UseFact(holder="a", milli=1), UseFact(holder="b", milli=2**31))), "use by b has milli"),
            (with_device(uses=(UseFact(holder="a", milli=1, memory_mib=2**31),)), "use by a has memory_mib"),
            (with_counter(total_units=2**31), "total_units 2147483648"),
            (with_counter(total_units=8, faulty_units=-1), "faulty_units -1"),
            (with_counter(unit_milli=2**31), "unit_milli 2147483648"),
            (with_counter(total_units=3 * 10**6), "total_units * unit_milli 3000000 * 1000, and at most 2147483647"),
            (with_counter(total_units=10**6, unit_milli=1, unit_memory_mib=10**6), "total_units * unit_memory_mib"),
            (with_counter(uses=(UseFact(holder="a", milli=2**31),)), "use by a has milli 2147483648"),
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

    @pytest.mark.parametrize(
        "node",
        [
            replace(NODE, cpu_milli=MAX_COUNT, memory_mib=MAX_COUNT),
            with_device(memory_mib=MAX_COUNT, total_milli=0, index=MAX_COUNT, numa_node=0),
            with_device(uses=(UseFact(holder="a", milli=MAX_COUNT, memory_mib=MAX_COUNT),)),
            with_counter(total_units=MAX_COUNT, unit_milli=1, unit_memory_mib=1, faulty_units=MAX_COUNT),
            with_device(health_reason="显存错误", attributes={"位置": "上海"}),
        ],
    )
    def test_with_all_that_a_column_holds_is_well(self, node):
        page = Page(nodes=[node])

        assert Checked().page(page) is page

    def test_finds_nonsense_in_the_second_of_two_devices_that_are_otherwise_alike(self):
        second = replace(DEVICE, ref="gpu-1", uuid="GPU-2", pci_address="x" * 40, attributes={"a": "\x00"})

        page = checked(replace(NODE, devices=(DEVICE, second)))

        device = page.nodes[0].devices[1]
        assert len(device.pci_address or "") == 32 and device.attributes == {"a": "\ufffd"}

    @pytest.mark.parametrize("numa_node", [-1, -(2**31), -(2**80)])
    def test_with_a_negative_numa_node_has_none_and_that_is_no_news(self, numa_node):
        page = checked(with_device(numa_node=numa_node))

        assert page.nodes[0].devices[0].numa_node is None and page.warnings == ()

    @pytest.mark.parametrize("character", ["\x00", "\ud800", "\udfff"])
    @pytest.mark.parametrize(
        "place",
        [
            lambda text: replace(NODE, ref=text),
            lambda text: replace(NODE, name=text),
            lambda text: replace(NODE, uuid=text, serial=text),
            lambda text: replace(NODE, unavailable_reason=text),
            lambda text: replace(NODE, labels={text: "value"}),
            lambda text: replace(NODE, labels={"key": text}),
            lambda text: replace(NODE, topology={"rack": text}),
            *(
                lambda text, field=field: with_device(**{field: text})
                for field in ("ref", "vendor", "model", "pci_id", "uuid", "serial", "pci_address", "profile",
                              "health_reason", "link_group")
            ),
            lambda text: with_device(attributes={text: text}),
            lambda text: with_device(uses=(UseFact(holder=text, milli=1),)),
            lambda text: with_device(uses=(UseFact(holder="a", milli=1, marker=text),)),
            lambda text: with_counter(ref=text),
            lambda text: with_counter(vendor=text, model=text, pci_id=text, profile=text),
            lambda text: with_counter(uses=(UseFact(holder=text, milli=1, marker=text),)),
        ],
    )  # fmt: skip
    def test_with_a_character_that_no_database_takes_has_another_and_says_so_once(self, place, character):
        page = checked(NodeFact(ref="uid-0", name="worker-0"), place(f"a{character}b"))

        told = msgspec.json.encode(page.nodes).decode()
        assert "a\ufffdb" in told and "\\u0000" not in told
        assert len(page.warnings) == 1 and "unprintable" in page.warnings[0]

    @pytest.mark.parametrize("character", ["\x00", "\ud800"])
    @pytest.mark.parametrize(
        "place",
        [
            lambda text: Page(last=Last(complete=True, cursor={text: [{"deep": text}], "page": 7})),
            lambda text: Page(last=Last(complete=False, incomplete_because=text)),
            lambda text: Page(warnings=[text]),
        ],
    )
    def test_with_such_a_character_beside_the_nodes_has_another_and_says_so_once(self, place, character):
        page = Checked().page(place(f"a{character}b"))

        told = msgspec.json.encode(page).decode()
        assert "a\ufffdb" in told and "\\u0000" not in told
        assert sum("unprintable" in warning for warning in page.warnings) == 1

    def test_says_what_is_gone_by_the_refs_that_were_recorded(self):
        ref = "x" * 10_240

        assert Checked().page(Page(gone=[ref])).gone == [checked(replace(NODE, ref=ref)).nodes[0].ref]

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


def test_what_is_storable_keeps_its_shape():
    value = {"a": ("b", [1, None, 2.5, True]), "node": NODE}

    assert storable(value) == value


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
