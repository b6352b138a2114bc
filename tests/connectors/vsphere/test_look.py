"""A look at a vCenter: what it reads, what it remembers for the next one, and what it says when something is hidden."""

import re
from collections import Counter
from contextlib import contextmanager

import pytest
from pyVmomi import vim

from connectors.vsphere.known import known
from tests.connectors.contract import Sessions, last_of, pages
from tests.connectors.server import INSTALLATION
from tests.connectors.vsphere.double import vgpu_device
from tests.connectors.vsphere.double_methods import PASSWORD, USER
from tests.connectors.vsphere.double_soap import method_of

QUARTER, HALF = "grid_a100-10c", "grid_a100-20c"


class OfVCenter(Sessions):
    """One session to the double, and what it asks."""

    @pytest.fixture
    def connector(self, server, authority, open_session):
        settings = {"url": server.url, "username": USER, "ca_pem": authority.pem}
        return open_session("vsphere", settings, {"password": PASSWORD})

    @pytest.fixture
    def asking(self, server):
        """What is asked in a block: methods, and the properties that are read."""

        @contextmanager
        def asking():
            asked = Counter[str]()
            before = len(server.requests)
            yield asked
            for seen in server.requests[before:]:
                asked.update([method_of(seen), *re.findall(r"<pathSet>([^<]+)<", seen.body.decode())])

        return asking

    @pytest.fixture
    def node(self, connector):
        """A node by its host, as a look tells it."""

        def node(host):
            return next(found for page in pages(connector) for found in page.nodes if found.ref == host.uuid)

        return node


def used(node):
    return [(use.holder, use.milli, use.marker) for device in node.devices for use in device.uses]


class TestUse(OfVCenter):
    def test_of_all_three_kinds_is_told_with_its_holder(self, vcenter, node):
        vgpu, mig, direct, none = vcenter.hosts[:4]

        assert used(node(vgpu)) == [("theirs-vgpu", 1000, None)]
        assert used(node(mig)) == [("theirs-mig", 428, None)]
        assert used(node(direct)) == [("theirs-direct", 1000, None)] and node(none).devices == ()

    def test_of_a_vm_of_ours_carries_its_marker_and_that_of_another_installation_does_not(self, vcenter, node):
        host = vcenter.hosts[4]
        for name, installation in (("oc-ours", INSTALLATION), ("oc-others", "another")):
            marks = {"ocenter.installation": installation, "ocenter.orders": f'{{"oc-a": ["{QUARTER}"]}}'}
            options = [vim.option.OptionValue(key=key, value=value) for key, value in marks.items()]
            vcenter.add_vm(name, host, vgpu_device(QUARTER), extraConfig=options)

        assert sorted(used(node(host))) == [("oc-others", 250, None), ("oc-ours", 250, "oc-a")]

    def test_of_a_vm_that_is_off_is_none_and_is_shown_apart(self, vcenter, node):
        host = vcenter.hosts[4]
        vcenter.add_vm("later", host, vgpu_device(HALF), is_on=False)

        assert used(node(host)) == [] and node(host).labels == {"vms_off_with_gpu": "1: later"}

    def test_of_a_fixed_device_is_found_also_where_the_host_binds_nothing(self, vcenter, node, monkeypatch):
        direct = vcenter.hosts[2]
        monkeypatch.setattr(direct.gpus[1], "claims", [])

        assert used(node(direct)) == [("theirs-direct", 1000, None)]

    def test_reserves_memory_of_its_host(self, vcenter, node):
        assert node(vcenter.hosts[0]).memory_used_mib == vcenter.vm("theirs-vgpu").memory_mib


class TestHardware(OfVCenter):
    def test_that_failed_is_told_as_faulty_where_it_was(self, vcenter, node):
        host = vcenter.hosts[4]
        before = node(host).devices

        host.gpus[0].is_failed = True

        failed, well = node(host).devices
        assert (failed.health, well.health) == ("faulty", "ok") and failed.health_reason
        assert [device.ref for device in before] == [failed.ref, well.ref]

    def test_that_failed_under_a_vm_keeps_the_vm(self, vcenter, node):
        host = vcenter.hosts[0]
        host.gpus[0].is_failed = True

        failed, well = node(host).devices

        assert failed.health == "faulty" and [use.holder for use in failed.uses] == ["theirs-vgpu"]
        assert well.health == "ok" and well.uses == ()

    def test_of_a_lost_host_is_kept_with_its_use(self, vcenter, node):
        host = vcenter.hosts[0]
        before = node(host)
        host.state = "notResponding"

        assert not node(host).is_available and node(host).devices == before.devices

    def test_of_a_host_that_was_registered_anew_is_counted_once(self, vcenter, connector):
        old, new = vcenter.hosts[3], vcenter.hosts[7]
        old.state, new.uuid = "disconnected", old.uuid

        seen = pages(connector)

        found = [node for page in seen for node in page.nodes if node.ref == old.uuid]
        assert [node.name for node in found] == [new.name] and last_of(seen).complete
        assert any("same hardware uuid" in warning for page in seen for warning in page.warnings)


class TestTheSecondLook(OfVCenter):
    def test_reads_no_pci_devices_no_profiles_and_no_plain_vms_again(self, vcenter, connector, asking):
        vcenter.add_vm("plain", vcenter.hosts[0], is_on=False)
        with asking() as first:
            cursor = last_of(pages(connector)).cursor
        with asking() as second:
            seen = list(connector.observe(cursor))

        assert first["hardware.pciDevice"] and first["QueryConfigTarget"]
        assert not second["hardware.pciDevice"] and not second["QueryConfigTarget"]
        assert second["config.hardware.device"] < first["config.hardware.device"]
        assert [page.nodes for page in seen] == [page.nodes for page in pages(connector)]

    def test_reads_the_pci_devices_of_a_host_whose_cards_changed(self, vcenter, connector, asking):
        cursor = last_of(pages(connector)).cursor
        vcenter.hosts[4].gpus[0].is_failed = True

        with asking() as asked:
            cursor = last_of(list(connector.observe(cursor))).cursor
        with asking() as again:
            list(connector.observe(cursor))

        assert asked["hardware.pciDevice"] == 1 and not again["hardware.pciDevice"]

    def test_sees_a_device_that_a_plain_vm_got_since(self, vcenter, connector):
        host = vcenter.hosts[4]
        vm = vcenter.add_vm("plain", host, is_on=False)
        cursor = last_of(pages(connector)).cursor
        added = vim.vm.device.VirtualDeviceSpec(operation="add", device=vgpu_device(HALF))
        vm.edit(vim.vm.ConfigSpec(deviceChange=[added]))

        found = {node.ref: node for page in connector.observe(cursor) for node in page.nodes}

        assert found[host.uuid].labels == {"vms_off_with_gpu": "1: plain"}

    def test_with_the_cursor_of_another_vcenter_knows_nothing(self, connector):
        cursor = last_of(pages(connector)).cursor

        assert known(cursor, cursor["vcenter"]).hosts and not known(cursor, "another").hosts
        for spoilt in ({**cursor, "format": 0}, {**cursor, "layouts": []}, {**cursor, "hosts": 3}, {}, None):
            assert not known(spoilt, cursor["vcenter"]).hosts


class TestWhatIsHidden(OfVCenter):
    def test_properties_of_hosts_make_those_hosts_take_nothing(self, vcenter, connector):
        cursor = last_of(pages(connector)).cursor
        vcenter.hidden.add((vim.HostSystem, "config"))

        seen = list(connector.observe(cursor))

        hidden = [node for page in seen for node in page.nodes if not node.is_available]
        assert len(hidden) == len(vcenter.hosts) and "may not read" in hidden[0].unavailable_reason
        assert sum(len(node.devices) for node in hidden) == 12 and not last_of(seen).complete

    @pytest.mark.parametrize(
        ("kind", "path", "why"),
        [
            (vim.HostSystem, "hardware.pciDevice", "PCI devices"),
            (vim.HostSystem, "config.pciPassthruInfo", "cards of some hosts"),
            (vim.VirtualMachine, "runtime", "power state"),
            (vim.VirtualMachine, "config", "VMs that are on cards"),
        ],
    )
    def test_properties_make_the_look_incomplete(self, vcenter, connector, kind, path, why):
        vcenter.hidden.add((kind, path))

        last = last_of(pages(connector))

        assert not last.complete and why in last.incomplete_because

    def test_vms_on_cards_count_as_all_that_is_left_of_the_card(self, vcenter, node):
        vcenter.hidden.add((vim.VirtualMachine, "config"))

        assert used(node(vcenter.hosts[1])) == [("theirs-mig", 1000, None)]

    def test_a_vm_that_is_gone_meanwhile_is_no_hidden_one(self, vcenter, server, connector, node):
        vm = vcenter.vm("theirs-vgpu")

        def remove(seen, answer):
            if b"config.hardware.device" in seen.body or b'type="VirtualMachine"' not in answer.body:
                return answer
            if method_of(seen) == "RetrievePropertiesEx" and b"graphicsInfo" in seen.body and vm.name and vm.host.vms:
                server.alter = lambda seen, answer: answer
                vcenter.remove_vm(vm)
            return answer

        server.alter = remove
        seen = pages(connector)

        assert last_of(seen).complete and vcenter.vm("theirs-vgpu") is None
        assert used(node(vcenter.hosts[0])) == []

    def test_objects_that_an_account_may_not_see_are_never_concluded_to_be_gone(self, vcenter, connector):
        vcenter.lacks.add("System.Read")

        last = last_of(pages(connector))

        assert not last.complete and "whole inventory" in last.incomplete_because
