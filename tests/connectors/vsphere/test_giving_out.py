"""What happens to VMs between giving out and taking back: people, races, sessions that end, hosts that are away."""

from itertools import count

import pytest
from msgspec.structs import replace
from pyVmomi import vim, vmodl

from connectors.contract import Absent, Done, Found, Pending, Transient
from connectors.vsphere import tasks, vm
from tests.connectors.apply_contract import MOST_REQUESTS, carry, markers, our_use
from tests.connectors.contract import refused
from tests.connectors.vsphere.double_soap import is_write, method_of
from tests.connectors.vsphere.test_apply import OnVCenter, own
from tests.connectors.vsphere.test_races import attempt


def verbs(done):
    """The calls that were made, by their verbs."""
    return [call.verb for call in done.changes]


class TestAVm(OnVCenter):
    def test_is_made_with_device_marker_reservation_and_uuid_in_one_call(
        self, connector, vcenter, server, target, orders
    ):
        done = carry(connector, target(1), orders)

        machine = vcenter.vm("oc-first")
        assert verbs(done) == ["create", "power_on"] and machine.is_on and machine.is_reserved
        assert len(machine.gpu_devices) == 2 and machine.extra.keys() == set(vm.MARKERS)
        assert machine.instance_uuid == vm.instance_uuid(target(1))
        assert [method_of(seen) for seen in server.requests if is_write(seen)] == ["CreateVM_Task", "PowerOnVM_Task"]

    def test_has_the_profile_as_its_host_spells_it(self, connector, vcenter, target, orders):
        plain = [replace(each, profile=each.profile.removeprefix("grid_")) for each in orders]
        assert plain != orders

        carry(connector, target(1), plain)

        attached = {device.backing.vgpu for device in vcenter.vm("oc-first").gpu_devices}
        assert attached == {each.profile for each in orders}
        assert connector.plan(target(1), plain).calls == ()

    def test_has_the_cpus_and_the_memory_of_its_orders(self, connector, vcenter, target, orders):
        sized = [replace(each, cpu_milli=3500, host_memory_mib=8192) for each in orders]

        carry(connector, target(1), sized)

        assert (vcenter.vm("oc-first").cpus, vcenter.vm("oc-first").memory_mib) == (7, 16384)

    def test_is_switched_off_to_change_its_gpus_and_on_again(self, connector, vcenter, target, orders):
        carry(connector, target(1), orders)

        done = carry(connector, target(2), orders[:1])

        assert verbs(done) == ["power_off", "reconfigure", "power_on"]
        assert len(vcenter.vm("oc-first").gpu_devices) == 1 and vcenter.vm("oc-first").is_on

    def test_that_only_gets_another_generation_runs_on(self, connector, target, orders):
        carry(connector, target(1), orders)

        assert verbs(carry(connector, target(2), orders)) == ["reconfigure"]

    def test_that_somebody_switched_off_is_drift_and_switched_on(self, connector, vcenter, target, orders):
        carry(connector, target(1), orders)
        vcenter.switch(vcenter.vm("oc-first"), False)

        assert connector.probe(target(1)).markers == ()
        assert verbs(carry(connector, target(1), orders)) == ["power_on"]

    def test_that_somebody_destroyed_is_absent_and_its_release_silent(self, connector, vcenter, target, orders):
        carry(connector, target(1), orders)
        vcenter.remove_vm(vcenter.vm("oc-first"))

        assert connector.probe(target(1)) == Absent() and our_use(connector) == {}
        assert connector.apply(target(2), []) == Done(found=Absent())

    def test_that_was_renamed_and_moved_is_found_by_its_uuid(self, connector, vcenter, target, orders):
        carry(connector, target(1), orders)
        vcenter.vm("oc-first").name = "renamed by a person"

        assert connector.plan(target(1), orders).calls == ()
        assert carry(connector, target(2), []).found == Absent()

    def test_that_is_suspended_has_no_gpu_and_is_resumed(self, connector, vcenter, target, orders):
        carry(connector, target(1), orders)
        vcenter.suspend(vcenter.vm("oc-first"))

        assert connector.probe(target(1)).markers == () and our_use(connector) == {}
        assert verbs(carry(connector, target(1), orders)) == ["power_on"]

    def test_that_is_suspended_is_given_back(self, connector, vcenter, target, orders, made):
        carry(connector, target(1), orders)
        vcenter.suspend(vcenter.vm("oc-first"))

        assert carry(connector, target(2), []).found == Absent() and made() == {}

    def test_whose_files_cannot_be_read_is_taken_for_nobodys(self, connector, vcenter, target, orders):
        carry(connector, target(1), orders)
        vcenter.vm("oc-first").is_readable = False

        for call in (lambda: connector.probe(target(1)), lambda: connector.apply(target(2), [])):
            with pytest.raises(Transient, match="cannot read oc-first"):
                call()

    def test_is_delivered_with_its_address_when_the_guest_has_one(self, connector, vcenter, target, orders):
        carry(connector, target(1), orders)
        vcenter.vm("oc-first").address = "192.0.2.7"

        facts = connector.access(target(1), orders).facts

        assert (facts["vm"], facts["address"]) == ("oc-first", "192.0.2.7")
        assert facts["instance_uuid"] == vm.instance_uuid(target(1)) and facts["moid"].startswith("vm-")


class TestTrouble(OnVCenter):
    @pytest.mark.parametrize("method", ["CreateVM_Task", "PowerOnVM_Task"])
    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            (vim.fault.TaskInProgress(task=vim.Task("task-0", None), msg="busy"), "busy"),
            (vmodl.fault.HostNotConnected(msg="not connected"), "unreachable"),
            (vmodl.fault.HostCommunication(msg="no answer"), "unreachable"),
            (vmodl.fault.SystemError(reason="lost", msg="lost"), "server_error"),
        ],
    )
    def test_that_passes_is_transient_and_a_repeat_makes_one_vm(
        self, connector, vcenter, target, orders, made, method, fault, code
    ):
        vcenter.meet(method=method, has_effect=False, fault=fault)

        with pytest.raises(Transient) as raised:
            connector.apply(target(1), orders)

        assert raised.value.code == code
        assert carry(connector, target(1), orders).found.markers == markers(orders) and len(made()) == 1

    @pytest.mark.parametrize("method", ["ReconfigVM_Task", "PowerOffVM_Task", "Destroy_Task"])
    def test_while_giving_back_is_finished_by_a_repeat(self, connector, vcenter, target, orders, made, method):
        carry(connector, target(1), orders)
        vcenter.meet(method=method, has_effect=False, fault=vmodl.fault.SystemError(reason="lost", msg="lost"))

        with pytest.raises(Transient):
            connector.apply(target(2), [])

        assert carry(connector, target(2), []).found == Absent() and made() == {}

    @pytest.mark.parametrize("method", ["CreateVM_Task", "PowerOnVM_Task"])
    def test_of_a_task_that_ends_well_and_did_nothing_is_told(self, connector, vcenter, target, orders, method):
        vcenter.meet(method=method, has_effect=False)

        with pytest.raises(Transient) as raised:
            connector.apply(target(1), orders)

        assert raised.value.code == "unconfirmed"

    def test_of_a_vm_that_was_destroyed_and_is_still_there_is_told(self, connector, vcenter, target, orders):
        carry(connector, target(1), orders)
        vcenter.meet(method="Destroy_Task", has_effect=False)

        with pytest.raises(Transient) as raised:
            connector.apply(target(2), [])

        assert raised.value.code == "unconfirmed" and carry(connector, target(2), []).found == Absent()

    def test_of_a_vm_that_was_switched_off_and_still_runs_is_mended_at_once(self, connector, vcenter, target, orders):
        carry(connector, target(1), orders)
        vcenter.meet(method="PowerOffVM_Task", has_effect=False)

        assert connector.apply(target(2), []).found == Absent()

    def test_of_a_host_that_does_not_answer_leaves_the_vm_to_a_repeat(self, connector, vcenter, target, orders):
        vcenter.hosts[0].state = "notResponding"
        with pytest.raises(Transient):
            connector.apply(target(1), orders)
        vcenter.hosts[0].state = "connected"

        assert verbs(carry(connector, target(1), orders)) == ["power_on"]

    def test_of_sessions_that_end_at_any_request_is_mended_by_a_repeat(
        self, connector, vcenter, server, target, orders, made
    ):
        for number in count(1):
            ended = ending_sessions(vcenter, server, number)
            outcome = attempt(lambda at=number: carry(connector, target(2 * at), orders))
            server.handler = vcenter

            assert isinstance(outcome, Done | Transient)
            assert carry(connector, target(2 * number), orders).found.markers == markers(orders) and len(made()) == 1
            carry(connector, target(2 * number + 1), [])
            assert made() == {}
            if not ended:
                break
        assert 5 < number < MOST_REQUESTS


class TestLongTasks(OnVCenter):
    def test_of_giving_back_are_pending_until_the_vm_is_gone(
        self, connector, vcenter, target, orders, answering_later, made
    ):
        carry(connector, target(1), orders)
        answering_later()

        assert isinstance(connector.apply(target(2), []), Pending)

        assert carry(connector, target(2), []).found == Absent() and made() == {}

    def test_that_vcenter_forgot_are_read_from_the_vm(self, connector, vcenter, server, target, orders):
        def forgetting(seen):
            answer = vcenter(seen)
            vcenter.tasks.clear()
            return answer

        server.handler = forgetting

        assert carry(connector, target(1), orders).found.markers == markers(orders)

    def test_are_waited_for_as_long_as_a_call_may_take(self, connector, vcenter, target, orders, monkeypatch):
        monkeypatch.setattr(tasks, "POLL_SECONDS", 0.0)
        vcenter.delay_requests = 3

        assert isinstance(connector.apply(target(1), orders), Done)


class TestATenantsVm(OnVCenter):
    @pytest.fixture
    def target(self, vcenter, node_ref):
        self.machine = vcenter.add_vm("their-own", vcenter.hosts[0], is_on=False, uuid="their-uuid")
        return lambda generation: own("their-own", generation, node_ref)

    def test_keeps_what_it_had_when_ours_is_taken_off(self, connector, target, orders):
        self.machine.extra["guestinfo.theirs"] = "kept"

        carry(connector, target(1), orders)
        carry(connector, target(2), [])

        assert self.machine.extra == {"guestinfo.theirs": "kept"} and self.machine.gpu_devices == []
        assert not self.machine.is_on

    def test_that_runs_is_not_switched_off_to_attach(self, connector, vcenter, target, orders):
        vcenter.switch(self.machine, True)

        error = refused(connector.apply, target(1), orders)

        assert error.code == "rejected" and "Switch it off" in str(error) and self.machine.is_on

    def test_is_found_by_its_path_and_by_its_instance_uuid(self, connector, target, orders):
        carry(connector, target(1), orders)

        for ref in ("DC/vm/their-own", self.machine.instance_uuid):
            assert isinstance(connector.probe(replace(target(1), ref=ref)), Found)

    def test_that_is_not_there_is_not_made(self, connector, target, orders, made):
        nobody = replace(target(1), ref="nobody")

        assert refused(connector.apply, nobody, orders).code == "not_found" and made() == {}
        assert connector.apply(nobody, []) == Done(found=Absent())

    def test_whose_list_of_our_gpus_is_lost_keeps_its_gpus_until_somebody_says_which_are_ours(
        self, connector, target, orders
    ):
        carry(connector, target(1), orders)
        self.machine.extra[vm.ORDERS] = "damaged"

        error = refused(connector.apply, target(2), [])

        assert error.code == "conflict" and vm.ORDERS in str(error) and len(self.machine.gpu_devices) == 2


def ending_sessions(vcenter, server, number):
    """End all sessions right before that request from now; the list gets an entry then."""
    ended, left = [], iter(range(number, 0, -1))

    def handler(seen):
        if next(left, None) == 1:
            ended.append(method_of(seen))
            vcenter.end_sessions()
        return vcenter(seen)

    server.handler = handler
    return ended
