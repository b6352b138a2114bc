"""Orders on a vCenter: the rules of the contract, and what VMs and their GPUs do in their own way."""

import json
from contextlib import contextmanager
from datetime import timedelta

import pytest
from pyVmomi import vim, vmodl

from connectors.contract import Order, Target
from connectors.vsphere import privileges, tasks, vm
from tests.connectors.ability_contract import AccessContract
from tests.connectors.apply_contract import ApplyContract, LongWorkContract, ScarceContract, SeveralOrdersContract
from tests.connectors.contract import Sessions
from tests.connectors.server import INSTALLATION, Answer
from tests.connectors.vsphere.double import busy
from tests.connectors.vsphere.double_methods import PASSWORD, USER
from tests.connectors.vsphere.double_soap import is_write, method_of
from tests.connectors.write_faults import WriteFaultContract

CUT = Answer(raw=b"")
HALF = "grid_a100-20c"
STRANGER = "0198c0de-0000-7000-8000-00000000beef"


def order(ref, *, count=1, allocation="A"):
    """An order of vGPUs that take half a card each."""
    more = {"milli": 500 * count, "memory_mib": 20480 * count}
    return Order(marker=ref, allocation=allocation, member=0, profile=HALF, **more)


def piece(ref, *, count=1, allocation="A"):
    """An order of pieces of MIG GPUs: three of seven slices each, with half of the memory."""
    share = 1000 * 3 // 7
    more = {"milli": share * count, "memory_mib": 20480 * count}
    return Order(marker=ref, allocation=allocation, member=0, profile="grid_a100-3-20c", **more)


def whole(ref, gpu):
    """An order of a whole GPU."""
    return Order(marker=ref, allocation="A", member=0, devices=(gpu.address,), milli=1000)


def own(ref, generation, node_ref):
    """A tenant's own VM as a target."""
    return Target(kind="vm", ref=ref, generation=generation, node_ref=node_ref, is_tenants=True)


class OnVCenter(Sessions):
    """A vCenter on whose first host one card of two is free: two halves."""

    secret = pytest.fixture(lambda self: PASSWORD)

    @pytest.fixture
    def connect(self, server, authority, open_session):
        settings = {"url": server.url, "username": USER, "ca_pem": authority.pem}
        return lambda **more: open_session("vsphere", settings, {"password": PASSWORD}, **more)

    @pytest.fixture
    def connector(self, connect):
        return connect()

    @pytest.fixture
    def stranger(self, connect):
        return connect(installation=STRANGER)

    @pytest.fixture
    def node_ref(self, vcenter):
        return vcenter.hosts[0].uuid

    @pytest.fixture
    def target(self, node_ref):
        return lambda generation: Target(kind="vm", ref="oc-first", generation=generation, node_ref=node_ref)

    @pytest.fixture
    def orders(self):
        return [order("oc-first"), order("oc-second")]

    @pytest.fixture
    def other_target(self, node_ref):
        return lambda generation: Target(kind="vm", ref="oc-other", generation=generation, node_ref=node_ref)

    @pytest.fixture
    def other_orders(self):
        return [order("oc-third", allocation="B"), order("oc-fourth", allocation="B")]

    @pytest.fixture
    def impossible(self):
        return order("oc-second", count=4)

    @pytest.fixture
    def foreign_target(self, vcenter, node_ref):
        vcenter.add_vm("oc-theirs", vcenter.hosts[0])
        return Target(kind="vm", ref="oc-theirs", generation=9, node_ref=node_ref)

    @pytest.fixture
    def unmark(self, vcenter):
        return lambda target: vcenter.vm(target.ref).extra.pop(vm.ORDERS)

    @pytest.fixture
    def made(self, vcenter):
        def made():
            machines = [thing for thing in vcenter.things.values() if hasattr(thing, "extra")]
            return {each.name: json.dumps(each.extra) for each in machines if INSTALLATION in str(each.extra)}

        return made

    @pytest.fixture
    def refusing_to_manage(self, vcenter):
        return lambda: vcenter.lacks.update(privileges.MANAGE)

    @pytest.fixture
    def cutting(self, server):
        """Return what breaks the connection at the next write that fits, before it arrives or after its effect."""

        def cut(fits, when):
            broken = []
            ask = server.handler

            def handler(seen):
                if broken or not (is_write(seen) and fits(seen)):
                    return ask(seen)
                broken.append(method_of(seen))
                if when == "after":
                    ask(seen)
                return CUT

            server.handler = handler
            return broken

        return cut

    @pytest.fixture
    def losing_the_answer(self, cutting):
        """The answer to what makes the order whole: the VM runs, or is gone."""
        return lambda: cutting(lambda seen: method_of(seen) in ("PowerOnVM_Task", "Destroy_Task"), "after")

    @pytest.fixture
    def losing_the_request(self, cutting):
        return lambda: cutting(lambda seen: True, "before")

    @pytest.fixture
    def breaking_in_the_middle(self, cutting):
        """The VM is there with all devices and does not run."""
        return lambda: cutting(lambda seen: method_of(seen) == "PowerOnVM_Task", "before")

    @pytest.fixture
    def interrupting(self, server, cutting):
        @contextmanager
        def interrupting(number, when):
            ask, left = server.handler, [number]

            def fits(seen):
                left[0] -= 1
                return left[0] == 0

            yield cutting(fits, when)
            server.handler = ask

        return interrupting

    @pytest.fixture
    def answering_later(self, vcenter, monkeypatch):
        monkeypatch.setattr(tasks, "WAIT_SECONDS", 0.0)

        def later():
            vcenter.delay_requests = 3

        return later


class TestVms(
    OnVCenter,
    ApplyContract,
    SeveralOrdersContract,
    ScarceContract,
    LongWorkContract,
    AccessContract,
    WriteFaultContract,
):
    """VMs with vGPUs. They are not resized in place: vSphere changes a VM's GPUs only while it is off."""

    @pytest.fixture
    def playing_write(self, vcenter, server, connect):
        """Return a session to a vCenter with the trouble; each method below makes one."""
        self.vcenter, self.server = vcenter, server

        def play(fault):
            getattr(self, fault)()
            return connect()

        return play

    def refused_by_policy(self):
        words = "The virtual machine violates the policy of its storage."
        self.vcenter.meet(has_effect=False, fault=vim.fault.VmConfigFault(msg=words))

    def conflict(self):
        self.vcenter.meet(has_effect=False, fault=vim.fault.ConcurrentAccess(msg="changed by somebody else"))

    def deleted_meanwhile(self):
        self.vcenter.meet(method="PowerOnVM_Task", then=lambda: self.vcenter.remove_vm(self.vcenter.vm("oc-first")))

    def says_done_did_nothing(self):
        self.vcenter.meet(has_effect=False)

    def says_failed_did_it(self):
        self.vcenter.meet(fault=vmodl.fault.SystemError(reason="lost", msg="A general system error occurred."))

    def permission_taken_away(self):
        def handler(seen):
            if is_write(seen):
                self.vcenter.lacks.update(privileges.MANAGE)
            return self.vcenter(seen)

        self.server.handler = handler

    def clock_ahead(self):
        self.vcenter.clock_ahead = timedelta(hours=1)

    def upgraded(self):
        self.vcenter.version, self.vcenter.api_version = "9.0.0", "9.0.0.0"

    def token_ends(self):
        self.vcenter.page_limit = 5

        def handler(seen):
            if method_of(seen) == "ContinueRetrievePropertiesEx":
                self.server.handler = self.vcenter
                self.vcenter.end_sessions()
            return self.vcenter(seen)

        self.server.handler = handler


class TestMigPieces(OnVCenter, ApplyContract, ScarceContract):
    """VMs with pieces of MIG GPUs: three of half a card are free on the second host."""

    @pytest.fixture
    def node_ref(self, vcenter):
        return vcenter.hosts[1].uuid

    @pytest.fixture
    def orders(self):
        return [piece("oc-first"), piece("oc-second")]

    @pytest.fixture
    def other_orders(self):
        return [piece("oc-third", allocation="B"), piece("oc-fourth", allocation="B")]

    @pytest.fixture
    def impossible(self):
        return piece("oc-second", count=4)


class TestWholeGpus(OnVCenter, ApplyContract, ScarceContract):
    """VMs with GPUs by DirectPath I/O, of which somebody else has the second."""

    @pytest.fixture
    def vcenter(self):
        return busy(gpus=3)

    @pytest.fixture
    def node_ref(self, vcenter):
        return vcenter.hosts[2].uuid

    @pytest.fixture
    def orders(self, vcenter):
        return [whole("oc-first", vcenter.hosts[2].gpus[0])]

    @pytest.fixture
    def other_orders(self, vcenter):
        first, _, third = vcenter.hosts[2].gpus
        return [whole("oc-third", third), whole("oc-fourth", first)]

    @pytest.fixture
    def impossible(self, vcenter):
        return whole("oc-second", vcenter.hosts[2].gpus[1])


class TestTenantsVms(OnVCenter, ApplyContract):
    """A tenant's own VMs, which are off and stay when all is given back."""

    @pytest.fixture
    def target(self, vcenter, node_ref):
        vcenter.add_vm("their-own", vcenter.hosts[0], is_on=False)
        return lambda generation: own("their-own", generation, node_ref)

    @pytest.fixture
    def losing_the_answer(self, cutting):
        """The answer to what makes the order whole: the VM runs, or its GPUs are taken off."""
        return lambda: cutting(
            lambda seen: method_of(seen) == "PowerOnVM_Task" or b"<operation>remove" in seen.body, "after"
        )

    @pytest.fixture
    def other_target(self, vcenter, node_ref):
        vcenter.add_vm("their-other", vcenter.hosts[0], is_on=False)
        return lambda generation: own("their-other", generation, node_ref)
