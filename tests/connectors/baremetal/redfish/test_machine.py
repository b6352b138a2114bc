"""What the recorded documents of five makers come to."""

import pytest

from connectors.baremetal.redfish import machine
from connectors.baremetal.redfish.machine import Machine
from connectors.contract import Permanent
from tests.connectors.baremetal.redfish.double_bmc import MAKERS, tree


def systems(documents):
    return [each for path, each in documents.items() if "/Systems/" in path and path.count("/") == 4]


def processors(documents):
    return [each for each in documents.values() if "ProcessorType" in each]


def read(documents) -> Machine:
    return machine.machine(machine.server(systems(documents)), processors(documents))


class TestAServer:
    @pytest.mark.parametrize(
        ("maker", "ref", "serial", "cards"),
        [
            ("dell-r750-h100", "System.Embedded.1", "CNIVC0014M0388", 1),
            ("gh200", "System_0", None, 2),
            ("hpe-dl380a-h100nvl", "1", "2M2D2J00L4", 2),
            ("lenovo-sr670", "1", "J101RZ43", 2),
            ("supermicro-gb300", "System_0", "S964512X5913271", 4),
        ],
    )
    def test_is_one_with_the_cards_of_all_systems(self, maker, ref, serial, cards):
        found = read(tree(maker))

        assert (found.ref, found.serial, len(found.accelerators)) == (ref, serial, cards)
        assert (found.power, found.health) == ("on", "ok")

    def test_among_several_must_be_named(self):
        one = tree("hpe-dl380a-h100nvl")["/redfish/v1/Systems/1"]
        several = [one, {**one, "Id": "2"}]

        with pytest.raises(Permanent, match=r"1, 2") as caught:
            machine.server(several)

        assert caught.value.code == "invalid_settings" and machine.server(several, "2")["Id"] == "2"

    @pytest.mark.parametrize("several", [[], [{"Id": "1"}]])
    def test_that_was_named_and_is_not_there_is_refused(self, several):
        with pytest.raises(Permanent):
            machine.server(several, "9")

    @pytest.mark.parametrize(
        ("said", "power"),
        [("On", "on"), ("Off", "off"), ("PoweringOn", "changing"), ("PoweringOff", "changing"), ("Paused", "unknown")],
    )
    def test_has_the_power_that_it_says(self, said, power):
        assert machine.power({"PowerState": said}) == power and machine.power({}) == "unknown"


class TestACard:
    def test_of_nvidia_has_the_uuid_that_nvidia_smi_prints(self):
        found = read(tree("supermicro-gb300")).accelerators[0]

        assert found.uuid == "GPU-ffd6582a-64de-b17e-ad24-af5a28aed641" and found.model == "NVIDIA GB300"

    def test_of_every_maker_has_a_serial_number_and_a_slot(self):
        cards = [card for maker in MAKERS for card in read(tree(maker)).accelerators]

        assert len(cards) == 11 and all(card.serial and card.slot for card in cards)

    def test_slots_are_told_apart_across_modules(self):
        cards = read(tree("supermicro-gb300")).accelerators

        assert len({card.slot for card in cards}) == 4

    def test_of_hpe_has_its_product_in_the_name(self):
        assert {card.model for card in read(tree("hpe-dl380a-h100nvl")).accelerators} == {"NVIDIA H100 NVL"}

    def test_of_lenovo_has_no_model_and_without_a_status_is_of_unknown_health(self):
        cards = read(tree("lenovo-sr670")).accelerators

        assert {(card.model, card.health) for card in cards} == {("", "unknown")}

    def test_tells_its_firmware(self):
        assert {card.firmware for card in read(tree("supermicro-gb300")).accelerators} == {"97.10.3E.00.05"}

    def test_of_the_type_accelerator_counts_and_other_processors_do_not(self):
        document = {"Id": "NPU0", "ProcessorType": "Accelerator", "Manufacturer": "Huawei", "UUID": "AB-1"}
        others = [{"Id": "F", "ProcessorType": "FPGA"}, {"Id": "C", "ProcessorType": "CPU"}]

        (found,) = machine.machine({"@odata.id": "/s", "Id": "1"}, [document, *others]).accelerators

        assert (found.ref, found.uuid, found.health) == ("NPU0", "ab-1", "unknown")

    def test_that_is_absent_is_none(self):
        document = {"Id": "GPU9", "ProcessorType": "GPU", "Status": {"State": "Absent"}}

        assert machine.machine({"@odata.id": "/s", "Id": "1"}, [document]).accelerators == ()

    @pytest.mark.parametrize(
        ("status", "health", "reason"),
        [
            ({"Health": "OK", "State": "Enabled"}, "ok", ""),
            ({"Health": "Warning", "State": "Enabled"}, "ok", ""),
            (None, "unknown", ""),
            ({}, "unknown", ""),
            (
                {"Health": "Critical", "Conditions": [{"Message": "fell off the bus"}]},
                "faulty",
                "the management controller says that it is critical: fell off the bus",
            ),
            ({"Health": "OK", "State": "Disabled"}, "faulty", "the management controller says that it is Disabled"),
        ],
    )
    def test_is_as_well_as_its_status_says(self, status, health, reason):
        document = {"Id": "1", "ProcessorType": "GPU", "Status": status}

        (found,) = machine.machine({"@odata.id": "/s", "Id": "1"}, [document]).accelerators

        assert (found.health, found.health_reason) == (health, reason)

    @pytest.mark.parametrize("nothing", ["", " ", "N/A", "NA", "Unknown", None, 0])
    def test_words_for_nothing_are_no_serial_number(self, nothing):
        document = {"Id": "1", "ProcessorType": "GPU", "SerialNumber": nothing}

        assert machine.machine({"@odata.id": "/s", "Id": "1"}, [document]).accelerators[0].serial is None
