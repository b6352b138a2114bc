"""From what vCenter tells of a host and its VMs to facts."""

from datetime import UTC, datetime

import pytest
from pyVmomi import vim

from connectors.vsphere import hosts, machines
from connectors.vsphere.hosts import Slot
from connectors.vsphere.mapping import node_fact
from connectors.vsphere.profiles import profile
from connectors.vsphere.uses import Machine

FIRST, SECOND = "0000:17:00.0", "0000:3b:00.0"
TYPES = [f"grid_a100-{gib}c" for gib in (40, 20, 10)]
SIZES = {name: profile(name) for name in (*TYPES, "grid_a100-15c")}
REF = vim.HostSystem("host-1", None)
A100 = Slot("10de:20f1", "NVIDIA A100-PCIE-40GB", 40960)
SLOTS = {FIRST: A100, SECOND: A100}
TOPOLOGY = {"region": "DC", "zone": "cluster"}


def graphics(address, kind="sharedDirect", vms=(), **more):
    return vim.host.GraphicsInfo(
        deviceName=A100.model,
        vendorName="NVIDIA Corporation",
        pciId=address,
        graphicsType=kind,
        vgpuMode="sameSize",
        memorySizeInKB=40960 * 1024,
        vm=[vim.VirtualMachine(vm, None) for vm in vms],
        **more,
    )


def passthrough(address, is_active=False):
    return vim.host.PciPassthruInfo(
        id=address, dependentDevice=address, passthruCapable=True, passthruEnabled=is_active, passthruActive=is_active
    )


def pci(address, vendor, device, kind=0x0302, name="a card"):
    return vim.host.PciDevice(id=address, classId=kind, vendorId=vendor, deviceId=device, deviceName=name)


def host(unknown=(), **more):
    values = {
        "name": "esx-1",
        "hardware.systemInfo.uuid": "C2AC5C27-2C72-5D75-9472-FD619E1AF669",
        "runtime.connectionState": "connected",
        "runtime.inMaintenanceMode": False,
        "runtime.bootTime": datetime(2026, 11, 26, tzinfo=UTC),
        "summary.hardware.numCpuCores": 64,
        "summary.hardware.cpuMhz": 2000,
        "summary.hardware.memorySize": 1 << 40,
        "config.graphicsInfo": [graphics(FIRST), graphics(SECOND)],
        "config.sharedPassthruGpuTypes": TYPES,
        "config.pciPassthruInfo": [passthrough(FIRST), passthrough(SECOND)],
        **{name.replace("__", "."): value for name, value in more.items()},
    }
    told = {name: value for name, value in values.items() if value is not None and name not in unknown}
    return hosts.host(REF, told, frozenset(unknown))


def fact(found, here=None, slots=SLOTS):
    return node_fact(found, slots, here or {}, SIZES, TOPOLOGY)


class TestAHost:
    def test_is_known_by_its_hardware_uuid_in_lower_case(self):
        found = fact(host())

        assert found.ref == found.uuid == "c2ac5c27-2c72-5d75-9472-fd619e1af669" and found.name == "esx-1"
        assert (found.cpu_milli, found.memory_mib, found.topology) == (64000, 1 << 20, TOPOLOGY)

    @pytest.mark.parametrize(
        ("told", "why"),
        [
            ({"runtime__connectionState": "disconnected"}, "disconnected"),
            ({"runtime__connectionState": "notResponding"}, "not answer"),
            ({"runtime__connectionState": None}, "unknown"),
            ({"runtime__inMaintenanceMode": True}, "maintenance"),
        ],
    )
    def test_that_takes_nothing_new_says_why_and_keeps_its_cards_and_their_use(self, told, why):
        cards = [graphics(FIRST, vms=["vm-1"]), graphics(SECOND)]
        found = fact(host(config__graphicsInfo=cards, **told), {"vm-1": Machine(name="a", profiles=(TYPES[0],))})

        assert not found.is_available and why in found.unavailable_reason
        assert [sum(use.milli for use in device.uses) for device in found.devices] == [1000, 0]

    def test_that_is_lost_and_tells_nothing_keeps_the_cards_it_had(self):
        lost = host(runtime__connectionState="disconnected", config__graphicsInfo=None, config__pciPassthruInfo=None)

        found = fact(lost)

        assert [device.ref for device in found.devices] == [FIRST, SECOND] and not found.is_available
        assert {(device.health, device.memory_mib) for device in found.devices} == {("unknown", 40960)}

    def test_whose_cards_may_not_be_read_takes_nothing_and_keeps_the_cards_it_had(self):
        found = fact(host(unknown=["config.graphicsInfo"]))

        assert not found.is_available and "may not read" in found.unavailable_reason and len(found.devices) == 2

    def test_has_in_use_what_running_vms_with_devices_reserve(self):
        here = {
            "vm-1": Machine(name="a", host="host-1", memory_reserved_mib=4096, cpu_reserved_mhz=4000),
            "vm-2": Machine(name="b", host="host-1", memory_reserved_mib=4096, is_on=False),
        }

        assert (fact(host(), here).memory_used_mib, fact(host(), here).cpu_used_milli) == (4096, 2000)

    def test_shows_vms_that_are_off_and_will_want_a_gpu_apart_from_use(self):
        off = Machine(name="later", host="host-1", is_on=False, profiles=(TYPES[0],))

        found = fact(host(), {"vm-1": off})

        assert found.labels == {"vms_off_with_gpu": "1: later"} and not any(card.uses for card in found.devices)

    def test_shows_some_of_many_such_vms_in_the_length_of_a_label(self):
        off = {
            f"vm-{number}": Machine(name=f"{number}{'x' * 99}", host="host-1", is_on=False, profiles=(TYPES[0],))
            for number in range(5)
        }

        told = fact(host(), off).labels["vms_off_with_gpu"]

        assert told.startswith("5: 0x") and told.endswith(" …") and len(told) < 255


class TestACardForVgpus:
    def test_is_a_whole_device_whose_profiles_are_alternatives(self):
        first, _ = fact(host()).devices

        assert (first.ref, first.pci_address, first.pci_id, first.vendor) == (FIRST, FIRST, "10de:20f1", "nvidia")
        assert (first.total_milli, first.memory_mib, first.profile) == (1000, 40960, None)
        assert first.attributes == {
            "mode": "vgpu",
            "vgpu_mode": "same_size",
            "free_is": "exact",
            "free:grid_a100-40c": "1",
            "free:grid_a100-20c": "2",
            "free:grid_a100-10c": "4",
        }

    def test_is_used_by_the_share_of_each_profile_on_it(self):
        cards = [graphics(FIRST, vms=["vm-1", "vm-2"])]
        here = {vm: Machine(name=vm, profiles=(TYPES[2],)) for vm in ("vm-1", "vm-2")}

        (card,) = fact(host(config__graphicsInfo=cards), here, {FIRST: A100}).devices

        assert [(use.holder, use.milli, use.memory_mib) for use in card.uses] == [
            ("vm-1", 250, 10240),
            ("vm-2", 250, 10240),
        ]
        assert card.attributes["profiles_in_use"] == "2 x grid_a100-10c" and card.attributes["free_is"] == "exact"
        assert [card.attributes[f"free:{name}"] for name in TYPES] == ["0", "0", "2"]

    def test_says_how_much_of_it_nothing_fits_into(self):
        cards, here = [graphics(FIRST, vms=["vm-1"])], {"vm-1": Machine(name="a", profiles=("grid_a100-15c",))}

        (card,) = fact(host(config__graphicsInfo=cards), here, {FIRST: A100}).devices

        assert card.attributes["stranded_gib"] == "25"

    def test_that_a_host_uses_for_graphics_is_not_given_out(self):
        cards = [graphics(FIRST, kind="shared")]

        (card,) = fact(host(config__graphicsInfo=cards), {}, {FIRST: A100}).devices

        assert card.health == "unknown" and "graphics (shared)" in card.health_reason

    def test_that_is_shown_nowhere_any_more_is_faulty_and_keeps_what_it_is(self):
        first, second = fact(host(config__graphicsInfo=[graphics(SECOND)])).devices

        assert (first.health, second.health) == ("faulty", "ok") and "driver" in first.health_reason
        assert (first.model, first.memory_mib, first.pci_id) == (second.model, second.memory_mib, second.pci_id)

    def test_that_is_shown_nowhere_any_more_keeps_the_vms_that_run_on_no_other_card(self):
        here = {
            "vm-1": Machine(name="lost", host="host-1", profiles=(TYPES[1], TYPES[2])),
            "vm-2": Machine(name="other", host="host-1", profiles=(TYPES[0],)),
            "vm-3": Machine(name="off", host="host-1", profiles=(TYPES[0],), is_on=False),
        }

        first, second = fact(host(config__graphicsInfo=[graphics(SECOND, vms=["vm-2"])]), here).devices

        assert [(use.holder, use.milli, use.is_counted) for use in first.uses] == [
            ("lost", 500, True),
            ("lost", 250, True),
        ]
        assert first.health == "faulty" and [use.holder for use in second.uses] == ["other"]

    def test_without_a_pci_device_is_told_by_what_the_host_says_of_it(self):
        first, _ = fact(host(), slots={}).devices

        assert (first.vendor, first.model, first.pci_id) == ("NVIDIA Corporation", A100.model, None)

    def test_of_a_host_before_vsphere_8_has_the_mode_of_what_is_on_it(self):
        card = graphics(FIRST, vms=["vm-1"])
        card.vgpuMode = None

        (found,) = fact(
            host(config__graphicsInfo=[card]), {"vm-1": Machine(name="a", profiles=(TYPES[1],))}, {FIRST: A100}
        ).devices

        assert found.attributes["vgpu_mode"] == "unknown"
        assert [found.attributes[f"free:{name}"] for name in TYPES] == ["0", "1", "0"]


class TestACardForDirectPath:
    @pytest.fixture
    def whole(self):
        return {"config__graphicsInfo": None, "config__pciPassthruInfo": [passthrough(FIRST, is_active=True)]}

    def test_is_free_until_a_running_vm_has_it(self, whole):
        (card,) = fact(host(**whole), {}, {FIRST: A100}).devices

        assert card.uses == () and card.attributes == {"mode": "directpath"} and card.health == "ok"

    def test_is_had_wholly_by_the_vm_that_it_is_bound_to(self, whole):
        bound = [vim.host.AssignableHardwareBinding(instanceId=FIRST, vm=vim.VirtualMachine("vm-1", None))]
        here = {"vm-1": Machine(name="a", addresses=(FIRST,))}

        (card,) = fact(host(config__assignableHardwareBinding=bound, **whole), here, {FIRST: A100}).devices

        assert [(use.holder, use.milli, use.memory_mib) for use in card.uses] == [("a", 1000, 40960)]

    def test_that_is_no_accelerator_is_left_out(self, whole):
        assert fact(host(**whole), {}, {}).devices == ()


class TestPciDevices:
    def test_are_cards_by_their_class_and_their_ids_are_signed_shorts(self):
        devices = [
            pci(FIRST, 0x10DE, 0x20F1),
            pci("0000:00:00.0", -32634, 0x09A2, kind=0x0600),
            pci("0000:03:00.0", 0x1A03, 0x2000, kind=0x0300),
            pci("0000:5f:00.0", -32634, 0x0BD5 - 0x10000 + 0x10000, kind=0x0380),
            pci("0000:83:00.0", 0x1DA3, 0x1060, kind=0x1200),
            pci("0000:af:00.0", 0x19E5, 0xD802 - 0x10000, kind=0x1200),
        ]

        assert {address: slot.pci_id for address, slot in hosts.layout(devices, [], frozenset(), {}).items()} == {
            FIRST: "10de:20f1",
            "0000:5f:00.0": "8086:0bd5",
            "0000:83:00.0": "1da3:1060",
            "0000:af:00.0": "19e5:d802",
        }

    def test_that_are_virtual_functions_of_a_card_are_no_cards_unless_vms_get_them_whole(self):
        devices = [pci(address, 0x10DE, 0x20F1) for address in (FIRST, "0000:17:00.4", "0000:17:00.5", SECOND)]

        assert list(hosts.layout(devices, [], frozenset(), {})) == [FIRST, SECOND]
        assert list(hosts.layout(devices, [], frozenset(["0000:17:00.5"]), {})) == [FIRST, "0000:17:00.5", SECOND]

    def test_keep_the_memory_that_was_told_before_a_card_failed(self):
        found = hosts.layout([pci(FIRST, 0x10DE, 0x20F1)], [], frozenset(), SLOTS)

        assert found[FIRST].memory_mib == 40960

    def test_are_read_again_after_a_boot_or_when_cards_come_and_go(self):
        known = host().hardware()

        assert host().hardware() == known
        assert host(runtime__bootTime=datetime(2026, 11, 27, tzinfo=UTC)).hardware() != known
        assert host(config__graphicsInfo=[graphics(FIRST)]).hardware() != known
        assert host(config__graphicsInfo=[graphics(FIRST, vms=["vm-1"]), graphics(SECOND)]).hardware() == known


class TestAVm:
    PCI = vim.vm.device.VirtualPCIPassthrough

    def values(self, *backings, **extra):
        return {
            "name": "oc-vm",
            "runtime.host": REF,
            "runtime.powerState": "poweredOn",
            "config.hardware.device": [
                vim.vm.device.VirtualDisk(key=2000),
                *(self.PCI(key=13000 + number, backing=backing) for number, backing in enumerate(backings)),
            ],
            "config.extraConfig": [vim.option.OptionValue(key=key, value=value) for key, value in extra.items()],
            "config.hardware.memoryMB": 4096,
            "config.memoryReservationLockedToMax": True,
            "config.memoryAllocation.reservation": 0,
        }

    def marked(self, installation, orders='{"oc-a": ["grid_a100-40c"]}'):
        return self.values(**{"ocenter.installation": installation, "ocenter.orders": orders})

    def test_has_profiles_and_addresses_of_its_pci_devices_alone(self):
        values = self.values(
            self.PCI.VmiopBackingInfo(vgpu="grid_A100-40c"),
            self.PCI.DeviceBackingInfo(id="0000:AF:00.0"),
            self.PCI.DynamicBackingInfo(deviceName="", assignedId=FIRST),
            self.PCI.DynamicBackingInfo(deviceName=""),
        )

        found = machines.machine(values, "I")

        assert found.profiles == ("grid_A100-40c",) and found.addresses == ("0000:af:00.0", FIRST)
        assert (found.host, found.is_on, found.memory_reserved_mib) == ("host-1", True, 4096)

    def test_of_ours_carries_its_orders_and_its_targets_name(self):
        found = machines.machine(self.marked("I"), "I")

        assert (found.orders, found.marker) == ({"oc-a": ["grid_a100-40c"]}, "oc-vm")

    @pytest.mark.parametrize("installation", ["another", ""])
    def test_of_another_installation_carries_no_marker(self, installation):
        found = machines.machine(self.marked(installation), "I")

        assert (found.orders, found.marker) == ({}, None)

    def test_with_a_spoilt_marker_is_ours_all_the_same(self):
        assert machines.machine(self.marked("I", orders="{"), "I").marker == "oc-vm"

    def test_of_a_tenant_carries_its_only_order(self):
        found = machines.machine({**self.marked("I"), "name": "theirs"}, "I")

        assert found.marker == "oc-a"

    def test_whose_devices_are_not_told_is_no_vm_without_devices(self):
        values = self.values()
        del values["config.hardware.device"]

        assert not machines.machine(values, "I").is_told

    def test_that_is_suspended_uses_nothing(self):
        assert not machines.machine({**self.values(), "runtime.powerState": "suspended"}, "I").is_on


class TestVersions:
    def test_of_the_api_before_7_know_no_bindings(self):
        assert "config.assignableHardwareBinding" not in hosts.paths("6.7.3")
        assert "config.assignableHardwareBinding" in hosts.paths("8.0.3.0")
