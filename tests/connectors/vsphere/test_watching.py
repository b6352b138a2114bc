"""Changes of a vCenter are told as they come, whatever becomes of the session."""

import threading

import pytest

from tests.connectors.ability_contract import WatchContract
from tests.connectors.contract import last_of, pages
from tests.connectors.vsphere.double import vgpu_device
from tests.connectors.vsphere.double_gpus import claim, release
from tests.connectors.vsphere.test_apply import OnVCenter

HURRY = 20.0


def next_told(watched):
    """The next page that tells something."""
    return next(page for page in watched if page.nodes or page.gone)


class Watched(OnVCenter):
    @pytest.fixture
    def hurried(self, vcenter):
        vcenter.hurry = HURRY

    @pytest.fixture
    def watched(self, vcenter, connector, hurried):
        return connector.watch(last_of(pages(connector)).cursor)


class TestAWatch(Watched, WatchContract):
    @pytest.fixture
    def change(self, vcenter, hurried):
        left = list(vcenter.hosts)

        def change():
            with vcenter.changing():
                left[-1].is_in_maintenance = True
            return left.pop().uuid

        return change


class TestAChange(Watched):
    def test_of_a_host_that_does_not_answer_keeps_its_cards_and_their_use(self, vcenter, connector, watched):
        host = vcenter.hosts[0]
        before = {node.ref: node for page in pages(connector) for node in page.nodes}[host.uuid]
        with vcenter.changing():
            host.state = "notResponding"

        (node,) = next_told(watched).nodes

        assert (node.ref, node.is_available, node.devices) == (host.uuid, False, before.devices)

    def test_while_it_waits_is_told_at_once(self, vcenter, watched):
        def switch_on():
            with vcenter.changing():
                vcenter.add_vm("theirs-new", vcenter.hosts[4], vgpu_device("grid_a100-40c"))

        threading.Timer(0.3, switch_on).start()

        (node,) = next_told(watched).nodes

        assert node.ref == vcenter.hosts[4].uuid
        assert [use.holder for device in node.devices for use in device.uses] == ["theirs-new"]

    def test_of_a_vm_that_somebody_destroyed_frees_its_card(self, vcenter, watched):
        with vcenter.changing():
            vcenter.remove_vm(vcenter.vm("theirs-vgpu"))

        (node,) = next_told(watched).nodes

        assert node.ref == vcenter.hosts[0].uuid and not any(device.uses for device in node.devices)

    def test_of_a_vm_that_moved_while_it_ran_is_told_with_both_hosts(self, vcenter, watched):
        vm, here, there = vcenter.vm("theirs-vgpu"), vcenter.hosts[0], vcenter.hosts[4]
        with vcenter.changing():
            release(here.gpus, vm.ref)
            claim(there.gpus, vm.ref, vm.gpu_devices, vm.is_reserved)
            here.vms.remove(vm)
            there.vms.append(vm)
            vm.host = there

        found = {node.ref: node for node in next_told(watched).nodes}

        used = {ref: [use.holder for card in node.devices for use in card.uses] for ref, node in found.items()}
        assert used == {here.uuid: [], there.uuid: ["theirs-vgpu"]}

    def test_of_a_card_that_failed_is_told_with_its_host(self, vcenter, watched):
        with vcenter.changing():
            vcenter.hosts[4].gpus[1].is_failed = True

        (node,) = next_told(watched).nodes

        failed = [device for device in node.devices if device.health != "ok"]
        assert [device.pci_address for device in failed] == ["0000:3b:00.0"] and failed[0].health_reason

    def test_of_a_host_that_was_removed_is_told_as_gone(self, vcenter, watched):
        host = vcenter.hosts[7]
        with vcenter.changing():
            host.parent.children.remove(host)
            del vcenter.things[host.ref._moId]

        assert next_told(watched).gone == (host.uuid,)

    def test_comes_whole_in_parts(self, vcenter, watched):
        vcenter.page_limit = 3
        with vcenter.changing():
            for host in vcenter.hosts:
                host.is_in_maintenance = True

        assert {node.ref for node in next_told(watched).nodes} == {host.uuid for host in vcenter.hosts}


class TestAnEnd(Watched):
    def test_of_the_session_ends_the_watch_and_nothing_is_told_as_gone(self, vcenter, watched):
        told = []
        threading.Timer(0.3, vcenter.end_sessions).start()

        told.extend(watched)

        assert not any(page.gone for page in told)

    def test_of_the_sight_of_hosts_ends_the_watch_and_nothing_is_told_as_gone(self, vcenter, watched):
        def hide():
            with vcenter.changing():
                vcenter.lacks.add("System.Read")
                for host in vcenter.hosts:
                    host.parent.children.remove(host)
                    del vcenter.things[host.ref._moId]

        threading.Timer(0.3, hide).start()

        assert not any(page.gone for page in watched)
