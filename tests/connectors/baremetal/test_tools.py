"""Each vendor tool's recorded outputs, and what is no output that anybody recorded."""

import json

import pytest

from connectors.baremetal.tools import (
    amd_smi,
    catalog,
    cnmon,
    hy_smi,
    ixsmi,
    mthreads_gmi,
    mx_smi,
    npu_smi,
    nvidia,
    rocm_smi,
    table,
)
from connectors.baremetal.tools.card import Card, Process
from connectors.contract import Permanent
from tests.connectors.baremetal.double_ssh import nvidia_xml, recorded

RECORDINGS = [
    ("nvidia-smi", "a10g.xml", 1),
    ("nvidia-smi", "tesla-t4.xml", 1),
    ("nvidia-smi", "rtx-3080-v13.xml", 1),
    ("nvidia-smi", "rtx-4000-sff-ada-v13.xml", 1),
    ("amd-smi", "amd-smi-static-mi210.json", 1),
    ("rocm-smi", "rocm-smi-mi100_rocm571.json", 6),
    ("rocm-smi", "rocm-smi-mi100_rocm602.json", 4),
    ("rocm-smi", "rocm-smi-rx6700xt_rocm612.json", 1),
    ("rocm-smi", "rocm-smi-vega-20-WKS-GL-XE.json", 1),
    ("npu-smi", "npu-smi-info-310p3.txt", 2),
    ("npu-smi", "npu-smi-info-910-hbm32g.txt", 8),
    ("npu-smi", "npu-smi-info-910b2c.txt", 2),
    ("cnmon", "cnmon-mlu370.txt", 2),
    ("hy-smi", "hy-smi-z100.txt", 4),
    ("ixsmi", "ixsmi-bi-v100.txt", 1),
    ("ixsmi", "ixsmi-bi-v150s.txt", 1),
    ("mx-smi", "mx-smi-c550.txt", 8),
    ("mthreads-gmi", "mthreads-gmi-s5000.txt", 8),
]


def refusal(read, text: str) -> Permanent:
    with pytest.raises(Permanent) as raised:
        read(text, "")
    assert raised.value.code == "invalid_answer"
    return raised.value


def short(card: Card) -> tuple[object, ...]:
    return card.model, card.memory_mib, card.pci_address, card.nodes


class TestEveryTool:
    @pytest.mark.parametrize(("tool", "file", "count"), RECORDINGS)
    def test_reads_all_cards_of_its_recordings_each_with_a_ref_of_its_own(self, tool, file, count):
        cards = catalog.TOOLS[tool].cards(recorded(file), "")

        assert len(cards) == len({card.ref for card in cards}) == count
        assert all(card.vendor and card.nodes and card.visible for card in cards)

    def test_has_a_recording(self):
        assert {tool for tool, _, _ in RECORDINGS} == set(catalog.TOOLS)

    @pytest.mark.parametrize("tool", catalog.TOOLS)
    @pytest.mark.parametrize("text", ["", "hello\n", "{}", "[1]", "<html></html>", "+---+\n| GPU | Name |\n"])
    def test_refuses_what_is_no_output_of_it(self, tool, text):
        refusal(catalog.TOOLS[tool].cards, text)

    @pytest.mark.parametrize(("tool", "file"), [each[:2] for each in RECORDINGS])
    def test_refuses_an_output_that_ends_in_the_middle(self, tool, file):
        """A table that lost its last lines may still be whole; none may lose a card without a word."""
        read = catalog.TOOLS[tool].cards
        whole = recorded(file)
        lines = whole.splitlines(keepends=True)

        for end in range(len(lines)):
            try:
                cards = read("".join(lines[:end]), "")
            except Permanent:
                continue
            assert cards == read(whole, "") or tool in ENDLESS, f"{end} of {len(lines)} lines"

    def test_that_nobody_recorded_is_not_asked(self):
        assert not set(catalog.UNREAD) & set(catalog.TOOLS)

    def test_that_tells_the_same_cards_as_a_better_one_is_left_out(self):
        names = [tool.name for tool in catalog.chosen(("rocm-smi", "amd-smi"))]

        assert names == ["amd-smi"]


ENDLESS = ("npu-smi",)
"""Neither counts its cards nor has an end that all recordings show; a torn connection is found by its exit code."""


class TestNvidia:
    def test_reads_identity_place_and_size(self):
        (card,) = nvidia.cards(recorded("tesla-t4.xml"), "")

        assert short(card) == ("Tesla T4", 15360, "0000:00:1e.0", ("/dev/nvidia0",))
        assert card.uuid == "GPU-d37e67a5-91dd-3774-a5cb-99096249601a" and card.pci_id == "10de:1eb8"
        assert card.shared == ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools")
        assert card.visible == ("CUDA_VISIBLE_DEVICES", card.uuid)

    def test_takes_zeros_and_masked_serial_numbers_for_none(self):
        assert nvidia.cards(recorded("tesla-t4.xml"), "")[0].serial is None
        assert nvidia.cards(recorded("rtx-3080-v13.xml"), "")[0].serial is None

    def test_counts_programs_that_compute_and_not_a_display_server(self):
        (card,) = nvidia.cards(recorded("tesla-t4.xml"), "")

        assert card.processes == (Process(pid=5762, name="python", memory_mib=1005),)

    def test_tells_instances_instead_of_a_card_with_mig(self):
        xml = recorded("a100-sxm4-v12.xml").replace("<attached_gpus>4<", "<attached_gpus>1<")
        names = "GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-513536b6-7d19-9063-b049-1e69664bb298)\n" + "".join(
            f"  MIG 1g.20gb     Device  {number}: (UUID: MIG-{number})\n" for number in range(4)
        )

        cards = nvidia.cards(xml, names)

        assert [(card.profile, card.uuid, card.memory_mib) for card in cards] == [
            ("1g.20gb", f"MIG-{number}", 19968) for number in range(4)
        ]
        assert {card.serial for card in cards} == {None}

    def test_names_instances_by_their_numbers_where_their_uuids_are_not_told(self):
        xml = recorded("a100-sxm4-v12.xml").replace("<attached_gpus>4<", "<attached_gpus>1<")

        refs = [card.ref for card in nvidia.cards(xml, "")]

        assert refs[0] == "GPU-513536b6-7d19-9063-b049-1e69664bb298/3/0" and len(set(refs)) == 4

    @pytest.mark.parametrize(
        ("file", "profiles"),
        [
            ("nvidia-smi-L-h100-mig.txt", ["3g.40gb", "2g.20gb", "1g.10gb", "1g.10gb"]),
            ("nvidia-smi-L-h200-mig.txt", ["1c.3g.71gb", "2c.3g.71gb", "2g.35gb", "1g.18gb", "1g.18gb"]),
        ],
    )
    def test_reads_the_names_of_instances(self, file, profiles):
        found = nvidia._partitions(recorded(file))

        assert [profile for profile, _ in found.values()] == profiles

    def test_does_not_offer_a_card_with_mig_and_without_instances(self):
        xml = nvidia_xml("GPU-a").replace("<current_mig>N/A<", "<current_mig>Enabled<")

        (card,) = nvidia.cards(xml, "")

        assert (card.health, card.health_reason) == ("unknown", "MIG is on and no instance is made")

    def test_refuses_to_miss_a_card_that_the_driver_counts(self):
        assert "counts 4 cards and shows 1" in str(refusal(nvidia.cards, recorded("a100-sxm4-v12.xml")))

    @pytest.mark.parametrize("value", ["N/A", "[N/A]", "[Requested functionality has been deprecated]", "-1 MiB", ""])
    def test_takes_no_other_text_for_a_number(self, value):
        refusal(nvidia.cards, nvidia_xml("GPU-a").replace("15360 MiB", value, 1))

    def test_tells_a_memory_row_that_could_not_be_remapped(self):
        xml = recorded("a10g.xml").replace("failure>No<", "failure>Yes<")

        (card,) = nvidia.cards(xml, "")

        assert card.health == "faulty" and card.health_reason

    def test_tells_a_recovery_that_the_driver_wants(self):
        xml = recorded("rtx-3080-v13.xml").replace("recovery_action>None<", "recovery_action>Reset<")

        (card,) = nvidia.cards(xml, "")

        assert (card.health, card.health_reason) == ("faulty", "recovery action wanted: Reset")

    def test_expands_no_entities(self):
        bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]><nvidia_smi_log>&a;</nvidia_smi_log>'

        assert "entities" in str(refusal(nvidia.cards, bomb))


class TestAmd:
    def test_reads_amd_smi(self):
        (card,) = amd_smi.cards(recorded("amd-smi-static-mi210.json"), "")

        assert short(card) == ("AMD Instinct MI210", 65520, None, ("/dev/dri/renderD128", "/dev/dri/card0"))
        assert (card.pci_id, card.numa_node, card.serial) == ("1002:740f", 1, None)

    def test_reads_the_bus_where_amd_smi_tells_it(self):
        told = json.loads(recorded("amd-smi-static-mi210.json"))
        told["gpu_data"][0]["bus"]["bdf"] = "0000:C3:00.0"

        (card,) = amd_smi.cards(json.dumps(told["gpu_data"]), "")

        assert card.ref == card.pci_address == "0000:c3:00.0"

    def test_refuses_memory_in_another_unit(self):
        refusal(amd_smi.cards, recorded("amd-smi-static-mi210.json").replace('"unit": "MB"', '"unit": "GB"'))

    def test_reads_keys_of_rocm_smi_whatever_their_case(self):
        older = rocm_smi.cards(recorded("rocm-smi-mi100_rocm571.json"), "")[0]
        newer = rocm_smi.cards(recorded("rocm-smi-rx6700xt_rocm612.json"), "")[0]

        assert (older.model, older.pci_id) == ("Arcturus GL-XL [Instinct MI100]", "1002:738c")
        assert (newer.model, newer.pci_id) == ("Navi 22 [Radeon RX 6700/6700 XT / 6800M]", "1002:73df")

    def test_reads_unique_ids_and_serial_numbers_where_they_are(self):
        (card,) = rocm_smi.cards(recorded("rocm-smi-vega-20-WKS-GL-XE.json"), "")

        assert (card.uuid, card.serial, card.memory_mib) == ("GPU-02f048617326b1ea", "692024000810", 32752)


class TestAscend:
    def test_reads_three_layouts(self):
        firsts = [
            short(npu_smi.cards(recorded(f"npu-smi-info-{chip}.txt"), "")[1])
            for chip in ("310p3", "910-hbm32g", "910b2c")
        ]

        assert firsts == [
            ("310P3", 21525, "0000:85:00.0", ("/dev/davinci1",)),
            ("xxx", 32768, "0000:81:00.0", ("/dev/davinci1",)),
            ("910B2C", 65536, "0000:29:00.0", ("/dev/davinci1",)),
        ]

    def test_numbers_nodes_by_the_physical_id_and_not_by_the_card(self):
        """Cards 4 and 5 of that host are the devices 0 and 1."""
        cards = npu_smi.cards(recorded("npu-smi-info-310p3.txt"), "")

        assert [(card.index, card.visible) for card in cards] == [
            (0, ("ASCEND_RT_VISIBLE_DEVICES", "0")),
            (1, ("ASCEND_RT_VISIBLE_DEVICES", "1")),
        ]

    def test_guesses_no_node_for_the_second_chip_of_a_card(self):
        text = recorded("npu-smi-info-910b2c.txt").replace(
            "| 0                         | 0000:29", "| 1                         | 0000:29"
        )

        card = npu_smi.cards(text, "")[1]

        assert (card.nodes, card.index, card.visible) == ((), None, None)

    def test_reads_the_processes(self):
        cards = npu_smi.cards(recorded("npu-smi-info-910-hbm32g.txt"), "")

        assert cards[7].processes == (Process(pid=139090, name="python", memory_mib=30780),)

    def test_tells_what_is_not_well(self):
        text = recorded("npu-smi-info-910b2c.txt")

        assert npu_smi.cards(text.replace("| OK     ", "| Alarm  "), "")[0].health == "faulty"
        assert npu_smi.cards(text.replace("| OK     ", "| UNKNOWN"), "")[0].health == "unknown"


class TestOtherTables:
    def test_cambricon(self):
        card = cnmon.cards(recorded("cnmon-mlu370.txt"), "")[1]

        assert short(card) == ("MLU370-X8", 23374, "0000:3d:00.0", ("/dev/cambricon_dev1",))
        assert card.shared == ("/dev/cambricon_ctl",)

    def test_cambricon_with_virtual_functions_is_not_guessed(self):
        refusal(cnmon.cards, recorded("cnmon-mlu370.txt").replace("| 0     /   MLU", "| 0     1   MLU"))

    def test_cambricon_is_never_asked_for_the_json_that_it_writes_into_a_file(self):
        assert cnmon.TOOL.command == "cnmon" and not cnmon.TOOL.second

    def test_hygon_tells_that_cards_are_there_and_no_more(self):
        card = hy_smi.cards(recorded("hy-smi-z100.txt"), "")[3]

        assert short(card) == ("", 0, None, ("/dev/dri/renderD131", "/dev/dri/card3")) and card.ref == "hygon-3"
        assert card.shared == ("/dev/kfd", "/dev/mkfd")

    def test_iluvatar(self):
        (card,) = ixsmi.cards(recorded("ixsmi-bi-v150s.txt"), "")

        assert short(card) == ("Iluvatar BI-V150S", 32768, "0000:8a:00.0", ("/dev/iluvatar0",))

    @pytest.mark.parametrize(
        ("read", "file", "nothing", "row"),
        [
            (cnmon.cards, "cnmon-mlu370.txt", "No running processes found", "0 / 77 train a | b 512 MiB"),
            (ixsmi.cards, "ixsmi-bi-v150s.txt", "No running processes found", "0 77 train a | b 512"),
            (mx_smi.cards, "mx-smi-c550.txt", "no process found", "0 77 train a | b 512"),
        ],
        ids=["cnmon", "ixsmi", "mx-smi"],
    )
    def test_programs_keep_a_bar_in_their_name(self, read, file, nothing, row):
        text = recorded(file)
        assert nothing in text

        assert read(text.replace(nothing, row), "")[0].processes == (
            Process(pid=77, name="train a | b", memory_mib=512),
        )
        refusal(read, text.replace(nothing, "0 train"))

    def test_moore_threads(self):
        card = mthreads_gmi.cards(recorded("mthreads-gmi-s5000.txt"), "")[7]

        assert short(card)[:3] == ("MTT S5000", 81920, "0000:da:00.0")
        assert card.nodes == ("/dev/mtgpu.7", "/dev/dri/card7", "/dev/dri/renderD135")

    def test_metax_with_the_uuids_of_its_list(self):
        listed = "GPU#1    MXC550      0000:34:00.0   Available (UUID: GPU-12)\n"

        card = mx_smi.cards(recorded("mx-smi-c550.txt"), listed)[1]

        assert short(card)[:3] == ("MetaX C550", 65536, "0000:34:00.0") and card.uuid == "GPU-12"
        assert card.shared == ("/dev/mxcd",)

    def test_metax_that_is_not_available_is_faulty(self):
        text = recorded("mx-smi-c550.txt").replace("| Available ", "| Not Found ", 1)

        assert mx_smi.cards(text, "")[0].health == "faulty"

    def test_metax_refuses_to_miss_a_card_that_it_counts(self):
        refusal(mx_smi.cards, recorded("mx-smi-c550.txt").replace(": 8\n", ": 9\n", 1))

    def test_colours_are_taken_off(self):
        """nvidia-smi topo -m prints them without a terminal too."""
        text = recorded("nvidia-smi-topo-m-h100.txt")

        assert "\x1b" in text and "\x1b" not in table.plain(text) and "GPU0" in table.plain(text)
