"""Where a VM is made and from what: a template, a datastore, a host that DRS would not have taken."""

import pytest
from pyVmomi import vim

from connectors.contract import Transient
from connectors.vsphere import vm
from tests.connectors.apply_contract import carry
from tests.connectors.contract import refused
from tests.connectors.vsphere.double import vgpu_device
from tests.connectors.vsphere.double_methods import PASSWORD, USER
from tests.connectors.vsphere.double_soap import is_write
from tests.connectors.vsphere.test_apply import HALF, OnVCenter


class Making(OnVCenter):
    @pytest.fixture
    def connect(self, server, authority, open_session):
        settings = {"url": server.url, "username": USER, "ca_pem": authority.pem}
        return lambda **more: open_session("vsphere", {**settings, **more}, {"password": PASSWORD})


class TestATemplate(Making):
    """It carries what somebody else's ocenter wrote, and a GPU."""

    @pytest.fixture
    def connector(self, vcenter, connect):
        inherited = [vim.option.OptionValue(key=vm.ALLOCATION, value="inherited")]
        golden = vcenter.add_vm(
            "golden", vcenter.hosts[3], vgpu_device("grid_a100-40c"), is_on=False, extraConfig=inherited
        )
        golden.is_template = True
        return connect(template="DC/vm/golden")

    def test_is_cloned_onto_the_chosen_host_with_our_marker(self, connector, vcenter, target, orders):
        done = carry(connector, target(1), orders)

        machine = vcenter.vm("oc-first")
        assert [call.verb for call in done.changes] == ["clone", "power_on"]
        assert machine.host is vcenter.hosts[0] and machine.extra[vm.ALLOCATION] == "A" and not machine.is_template

    def test_with_a_gpu_of_its_own_gives_its_clones_those_that_were_ordered_and_no_other(
        self, connector, vcenter, target, orders
    ):
        carry(connector, target(1), orders)

        devices = vcenter.vm("oc-first").gpu_devices
        assert [device.backing.vgpu for device in devices] == [HALF, HALF]
        assert len(vcenter.vm("golden").gpu_devices) == 1 and connector.plan(target(1), orders).calls == ()

    def test_that_is_gone_is_told_before_anything_is_made(self, connector, vcenter, server, target, orders):
        vcenter.remove_vm(vcenter.vm("golden"))

        assert "DC/vm/golden" in str(refused(connector.apply, target(1), orders))
        assert not any(is_write(seen) for seen in server.requests)


class TestADatastore(Making):
    """Each host has a small one and a large one."""

    def test_with_the_most_room_is_taken(self, connector, vcenter, target, orders):
        carry(connector, target(1), orders)

        assert vcenter.vm("oc-first").datastore.name == "store-01"

    def test_that_the_settings_name_is_taken_whatever_its_room(self, connect, vcenter, target, orders):
        carry(connect(datastore="store-00"), target(1), orders)

        assert vcenter.vm("oc-first").datastore.name == "store-00"

    def test_that_cannot_be_reached_is_passed_over(self, connector, vcenter, target, orders):
        vcenter.hosts[0].datastores[1].is_accessible = False

        carry(connector, target(1), orders)

        assert vcenter.vm("oc-first").datastore.name == "store-00"

    def test_that_is_the_last_and_cannot_be_reached_is_waited_for(self, connector, vcenter, target, orders, made):
        for store in vcenter.hosts[0].datastores:
            store.is_accessible = False

        with pytest.raises(Transient, match="store-00, store-01"):
            connector.apply(target(1), orders)

        assert made() == {}

    def test_that_may_not_be_seen_is_told_with_what_is_missing(self, connector, vcenter, target, orders):
        vcenter.hidden.add((vim.Datastore, "summary"))

        error = refused(connector.apply, target(1), orders)

        assert error.code == "forbidden" and "summary.accessible" in str(error)

    def test_that_nobody_has_is_refused_by_its_name(self, connect, target, orders):
        assert "store-99" in str(refused(connect(datastore="store-99").apply, target(1), orders))


class TestAClusterWithDrs(Making):
    def test_runs_the_vm_on_the_host_whose_gpus_were_chosen(self, connector, vcenter, target, orders):
        vcenter.drs_host = vcenter.hosts[1]

        found = carry(connector, target(1), orders).found

        assert {place.node_ref for places in found.places.values() for place in places} == {vcenter.hosts[0].uuid}
