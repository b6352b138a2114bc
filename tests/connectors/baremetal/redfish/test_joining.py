"""What a controller tells, put into what the host's own tools told."""

import pytest
from msgspec.structs import replace

from connectors.baremetal.redfish.joining import joined
from connectors.baremetal.redfish.machine import Accelerator, Machine
from connectors.contract import DeviceFact, NodeFact

CARD = Accelerator(
    ref="GPU_0", manufacturer="NVIDIA", model="H100", serial="1650", slot="7", firmware="97", health="ok"
)
MACHINE = Machine(path="/s", ref="1", serial="S1", uuid="aa-1", power="on", accelerators=(CARD,))
DEVICE = DeviceFact(ref="GPU-1", uuid="GPU-1", serial="1650", model="NVIDIA H100", memory_mib=81559)
NODE = NodeFact(ref="n", name="gpu01", devices=(DEVICE,))


def join(node=NODE, found=MACHINE):
    warnings: list[str] = []
    return joined(node, found, warnings), warnings


class TestAHost:
    def test_gets_its_serial_number_and_uuid(self):
        node, warnings = join()

        assert (node.serial, node.uuid, node.is_available, warnings) == ("S1", "aa-1", True, [])

    def test_is_never_joined_with_another_server(self):
        node, warnings = join(replace(NODE, serial="S2"))

        assert node == replace(NODE, serial="S2") and "another server" in warnings[0]

    def test_that_is_off_takes_no_work_and_says_why(self):
        node, _ = join(
            replace(NODE, is_available=False, unavailable_reason="unreachable"), replace(MACHINE, power="off")
        )

        assert (node.is_available, node.unavailable_reason) == (False, "its power is off")

    def test_whose_power_is_unknown_stays_as_its_tools_say(self):
        assert join(found=replace(MACHINE, power="unknown"))[0].is_available


class TestACard:
    @pytest.mark.parametrize(
        ("device", "card"),
        [
            (DEVICE, CARD),
            (replace(DEVICE, serial=None), replace(CARD, serial=None, uuid="GPU-1")),
            (DEVICE, replace(CARD, uuid="gpu-1", serial="other")),
        ],
        ids=["by serial", "by uuid", "by uuid before serial"],
    )
    def test_is_one_card_with_slot_and_firmware(self, device, card):
        node, _ = join(replace(NODE, devices=(device,)), replace(MACHINE, accelerators=(card,)))

        (found,) = node.devices
        assert found.attributes == {"slot": "7", "firmware": "97"} and found.memory_mib == 81559

    def test_keeps_uuid_and_serial_of_both(self):
        node, _ = join(
            replace(NODE, devices=(replace(DEVICE, uuid=None),)),
            replace(MACHINE, accelerators=(replace(CARD, uuid="GPU-7"),)),
        )

        assert [(each.uuid, each.serial) for each in node.devices] == [("GPU-7", "1650")]

    def test_with_a_serial_number_that_two_share_is_found_by_uuid_only(self):
        twins = (replace(CARD, uuid="GPU-1", slot="a"), replace(CARD, ref="GPU_1", uuid="GPU-2", slot="b"))
        devices = (replace(DEVICE, ref="GPU-2", uuid="GPU-2"), DEVICE)

        node, _ = join(replace(NODE, devices=devices), replace(MACHINE, accelerators=twins))

        assert [each.attributes["slot"] for each in node.devices] == ["b", "a"]

    @pytest.mark.parametrize(
        ("in_band", "out_of_band", "health", "reason"),
        [
            ("ok", "unknown", "ok", ""),
            ("ok", "faulty", "faulty", "critical"),
            ("faulty", "ok", "faulty", "ERR!"),
            ("faulty", "faulty", "faulty", "ERR!, critical"),
        ],
    )
    def test_is_faulty_when_either_side_says_so(self, in_band, out_of_band, health, reason):
        device = replace(DEVICE, health=in_band, health_reason="ERR!" if in_band == "faulty" else "")
        card = replace(CARD, health=out_of_band, health_reason="critical" if out_of_band == "faulty" else "")

        node, _ = join(replace(NODE, devices=(device,)), replace(MACHINE, accelerators=(card,)))

        assert [(each.health, each.health_reason) for each in node.devices] == [(health, reason)]

    def test_that_only_the_controller_sees_is_there_and_faulty(self):
        lost = replace(CARD, ref="GPU_1", serial="1651")

        node, _ = join(found=replace(MACHINE, accelerators=(CARD, lost)))

        assert [(each.serial, each.health) for each in node.devices] == [("1650", "ok"), ("1651", "faulty")]
        assert "own tool does not" in node.devices[1].health_reason

    @pytest.mark.parametrize(
        "devices",
        [(), (replace(DEVICE, serial=None, uuid=None),), (replace(DEVICE, profile="1g.10gb"),)],
        ids=["no tool answered", "the tool tells no identity", "partitions stand for it"],
    )
    def test_is_not_called_lost_where_nobody_can_compare(self, devices):
        more = replace(MACHINE, accelerators=(CARD, replace(CARD, ref="GPU_1", serial="1651")))

        assert len(join(replace(NODE, devices=devices), more)[0].devices) == len(devices)

    def test_that_only_the_host_sees_stays(self):
        assert join(found=replace(MACHINE, accelerators=()))[0].devices == (DEVICE,)
