"""Several who want the same VM or the same GPUs, at once or one between another's look and change."""

import threading

import pytest
from msgspec.structs import replace
from pyVmomi import vim

from connectors.contract import Absent, ConnectorError, Done, Found, NoCapacity, Order
from tests.connectors.apply_contract import carry, markers
from tests.connectors.contract import refused
from tests.connectors.vsphere.double import vgpu_device
from tests.connectors.vsphere.double_soap import method_of
from tests.connectors.vsphere.test_apply import OnVCenter, order, own


class TestScarcity(OnVCenter):
    def test_of_two_that_want_the_last_vgpus_at_once_one_gets_them_and_the_other_leaves_nothing(
        self, connect, connector, target, orders, other_target, other_orders, made
    ):
        outcomes = at_once(
            lambda: connector.apply(target(1), orders), lambda: connect().apply(other_target(1), other_orders)
        )

        won = [each for each in outcomes if isinstance(each, Done)]
        lost = [each for each in outcomes if isinstance(each, NoCapacity)]
        assert len(won) == len(lost) == 1 and len(made()) == 1

    def test_two_that_make_the_same_vm_at_once_make_one(self, connect, connector, target, orders, made):
        at_once(lambda: connector.apply(target(1), orders), lambda: connect().apply(target(1), orders))

        assert carry(connector, target(1), orders).found.markers == markers(orders) and len(made()) == 1

    def test_a_piece_finds_no_place_on_a_mig_gpu_that_is_fragmented(self, connector, vcenter, target):
        host = vcenter.hosts[1]
        vcenter.add_vm("theirs-1", host, *(vgpu_device("grid_a100-3-20c") for _ in range(2)))
        vcenter.remove_vm(vcenter.vm("theirs-1"))
        for number in range(8):  # seven of the slices hold small pieces, over both GPUs
            vcenter.add_vm(f"small-{number}", host, vgpu_device("grid_a100-1-5c"))
        big = Order(marker="oc-first", allocation="A", member=0, profile="grid_a100-3-20c", memory_mib=20480)

        with pytest.raises(NoCapacity):
            connector.apply(replace(target(1), node_ref=host.uuid), [big])

        assert connector.probe(target(1)) == Absent()

    def test_a_profile_that_only_other_hosts_may_have_is_no_capacity_and_leaves_nothing(self, connector, target, made):
        with pytest.raises(NoCapacity) as raised:
            connector.apply(target(1), [replace(order("oc-first"), profile="grid_a100-41c")])

        assert "grid_a100-41c" in raised.value.platform_words and made() == {}

    def test_gpus_that_have_failed_give_nothing(self, connector, vcenter, target, orders):
        for gpu in vcenter.hosts[0].gpus:
            gpu.is_failed = True

        with pytest.raises(NoCapacity):
            connector.apply(target(1), orders)

    def test_a_full_datastore_is_no_capacity_so_that_another_host_is_tried_and_leaves_nothing(
        self, connector, vcenter, target, orders
    ):
        full = vim.fault.NoDiskSpace(file="[store-1] oc-1", datastore="store-1", msg="Insufficient disk space.")
        vcenter.meet(method="CreateVM_Task", has_effect=False, fault=full)

        with pytest.raises(NoCapacity) as told:
            connector.apply(target(1), orders)

        assert "datastore" in str(told.value) and connector.probe(target(1)) == Absent()


class TestANewerWriter(OnVCenter):
    """Another session carries generation 9 right before our change of a kind arrives."""

    @pytest.fixture
    def overtaking(self, vcenter, server, connect, target):
        def overtake(method, orders):
            other = connect()

            def handler(seen):
                if method_of(seen) == method:
                    server.handler = vcenter
                    carry(other, target(9), orders)
                return vcenter(seen)

            server.handler = handler

        return overtake

    def test_that_made_the_vm_first_keeps_it(self, connector, target, orders, made, overtaking):
        overtaking("CreateVM_Task", orders)

        assert refused(connector.apply, target(2), orders[:1]).code == "stale_generation"
        assert connector.probe(target(9)).markers == markers(orders) and len(made()) == 1

    def test_that_changed_the_vm_first_is_not_overwritten(self, connector, target, orders, overtaking):
        carry(connector, target(1), orders)
        overtaking("ReconfigVM_Task", orders)

        assert refused(connector.apply, target(2), orders).code == "stale_generation"
        assert connector.probe(target(9)).generation == target(9).generation

    def test_that_wants_the_vm_keeps_it_from_an_older_one_that_gives_it_back(
        self, connector, target, orders, overtaking
    ):
        carry(connector, target(1), orders)
        overtaking("ReconfigVM_Task", orders)

        assert refused(connector.apply, target(2), []).code == "stale_generation"
        assert isinstance(connector.probe(target(9)), Found)
        assert connector.probe(target(9)).markers == markers(orders)

    def test_that_gave_the_vm_back_leaves_nothing_to_an_older_one(self, connector, target, orders, made, overtaking):
        carry(connector, target(1), orders)
        overtaking("ReconfigVM_Task", [])

        assert carry(connector, target(2), []).found == Absent() and made() == {}


class TestAPerson(OnVCenter):
    """Switches the VM on right before our change of a kind arrives."""

    @pytest.fixture
    def switching_on(self, vcenter, server):
        def switch_on(method, name):
            def handler(seen):
                if method_of(seen) == method:
                    server.handler = vcenter
                    vcenter.switch(vcenter.vm(name), True)
                return vcenter(seen)

            server.handler = handler

        return switch_on

    def test_who_does_so_while_we_destroy_it_makes_us_switch_it_off_once_more(
        self, connector, target, orders, made, switching_on
    ):
        carry(connector, target(1), orders)
        switching_on("Destroy_Task", "oc-first")

        done = connector.apply(target(2), [])

        assert done.found == Absent() and made() == {}
        assert [call.verb for call in done.changes].count("power_off") == 2

    def test_who_starts_a_tenants_vm_while_we_attach_to_it_is_not_interrupted(
        self, connector, vcenter, node_ref, orders, switching_on
    ):
        machine = vcenter.add_vm("their-own", vcenter.hosts[0], is_on=False)
        switching_on("ReconfigVM_Task", "their-own")

        error = refused(connector.apply, own("their-own", 1, node_ref), orders)

        assert error.code == "rejected" and machine.is_on and machine.gpu_devices == []


def attempt(call):
    """Return what a call returns, or the contract's error that it raises."""
    try:
        return call()
    except ConnectorError as error:
        return error


def at_once(*calls):
    """Run calls side by side, and return what came of each."""
    outcomes = [None] * len(calls)
    barrier = threading.Barrier(len(calls))

    def run(at, call):
        barrier.wait()
        outcomes[at] = attempt(call)

    threads = [threading.Thread(target=run, args=each) for each in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes
