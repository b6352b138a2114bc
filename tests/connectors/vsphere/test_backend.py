"""On a real vSphere API server: the rules of the contract, and what a vCenter and its people do to a pool."""

import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from msgspec.structs import replace
from pyVmomi import vim, vmodl

from connectors.contract import (
    Absent,
    ConnectorError,
    Done,
    Found,
    NoCapacity,
    Order,
    Pending,
    Permanent,
    Target,
    Transient,
)
from connectors.http import Http
from connectors.vsphere import apply as module
from connectors.vsphere import tasks, vm
from connectors.vsphere.stub import Stub
from tests.connectors.ability_contract import AccessContract, WatchContract
from tests.connectors.apply_contract import (
    ApplyContract,
    LongWorkContract,
    ScarceContract,
    SeveralOrdersContract,
    carry,
    markers,
    our_use,
)
from tests.connectors.contract import ConnectorContract, last_of, nodes, pages
from tests.connectors.vsphere.backend import BARE, DIRECTPATH, MIG, VGPU, running
from tests.connectors.vsphere.double_soap import is_write, method_of
from tests.connectors.vsphere.test_apply import OnVCenter, order, piece
from tests.connectors.write_faults import WriteFaultContract

pytestmark = pytest.mark.backend
WHOLE, SEVENTH = "grid_a100-40c", "grid_a100-1-5c"


@pytest.fixture(scope="module")
def slow_backend():
    with running("busy", VSPHERE_TASK_DELAY="500ms") as backend:
        yield backend


class OnBackend(OnVCenter):
    """The first host has one card of two left: two halves."""

    @pytest.fixture(autouse=True)
    def _as_before(self, backend):
        backend.add_vm("theirs", VGPU, [WHOLE])
        yield
        backend.tidy()

    @pytest.fixture
    def connect(self, backend, open_session):
        return lambda **more: open_session("vsphere", backend.settings, backend.credential, **more)

    @pytest.fixture
    def node_ref(self, backend):
        return backend.uuid(VGPU)

    @pytest.fixture
    def cutting(self, monkeypatch):
        """Break the connection at the next write that fits, before it arrives or after its effect."""
        send = Http.send

        def cut(fits, when):
            broken = []

            def breaking(http, method, path, *, body=None, **more):
                seen = SimpleNamespace(path=path, body=body)
                if broken or not (is_write(seen) and fits(seen)):
                    return send(http, method, path, body=body, **more)
                broken.append(method_of(seen))
                if when == "after":
                    send(http, method, path, body=body, **more)
                raise Transient("The connection broke. It is tried again.", code="truncated")

            monkeypatch.setattr(Http, "send", breaking)
            return broken

        return cut

    @pytest.fixture
    def meddling(self, monkeypatch):
        """Return what lets something happen in place of the next call of a method; it is given the real call."""
        called = Stub._called

        def meddle(method, instead):
            def once(stub, mo, info, args, read=None):
                if info.wsdlName != method:
                    return called(stub, mo, info, args, read)
                monkeypatch.setattr(Stub, "_called", called)
                return instead(lambda: called(stub, mo, info, args, read))

            monkeypatch.setattr(Stub, "_called", once)

        return meddle


class TestLooking(OnBackend, ConnectorContract):
    """Roles are not enforced by this server: c29 and c30 are tried on the double."""

    test_c29_check_names_each_missing_permission_and_does_not_fail = None  # type: ignore[assignment]  # a rule taken out
    test_c30_without_permission_nothing_is_taken_for_complete = None  # type: ignore[assignment]  # a rule taken out

    @pytest.fixture
    def with_wrong_credential(self, backend, open_session):
        return open_session("vsphere", backend.settings, {"password": "another password"})

    @pytest.fixture
    def nowhere(self, backend, open_session):
        return open_session("vsphere", {**backend.settings, "url": "https://127.0.0.1:9"}, backend.credential)

    @pytest.fixture
    def breaking(self, connect, meddling):
        def breaks(real):
            raise Transient("The connection broke. It is tried again.")

        meddling("ContinueRetrievePropertiesEx", breaks)
        return connect()


class TestOrders(
    OnBackend,
    ApplyContract,
    SeveralOrdersContract,
    ScarceContract,
    LongWorkContract,
    AccessContract,
    WriteFaultContract,
):
    """What this server cannot play (roles, another clock, an upgrade, a storage policy) is tried on the double."""

    test_c65_without_permission_to_manage_nothing_is_changed = None  # type: ignore[assignment]  # a rule taken out
    test_f11_a_refusal_by_the_platforms_own_rules_is_told_in_its_words = None  # type: ignore[assignment]  # a rule taken out
    test_f16_a_permission_taken_away_between_looking_and_applying_is_named = None  # type: ignore[assignment]  # a rule taken out
    test_f17_a_clock_an_hour_ahead_changes_no_order = None  # type: ignore[assignment]  # a rule taken out
    test_f18_an_upgrade_between_two_looks_is_the_same_far_end = None  # type: ignore[assignment]  # a rule taken out

    @pytest.fixture
    def foreign_target(self, backend, node_ref):
        backend.add_vm("oc-theirs", VGPU)
        return Target(kind="vm", ref="oc-theirs", generation=9, node_ref=node_ref)

    @pytest.fixture
    def unmark(self, backend):
        def unmark(target):
            bare = [vim.option.OptionValue(key=vm.ORDERS, value="")]
            backend.done(backend.vm(target.ref).ReconfigVM_Task(vim.vm.ConfigSpec(extraConfig=bare)))

        return unmark

    @pytest.fixture
    def made(self, backend):
        return backend.made

    @pytest.fixture
    def interrupting(self, cutting, monkeypatch):
        @contextmanager
        def interrupting(number, when):
            send, left = Http.send, [number]

            def fits(seen):
                left[0] -= 1
                return left[0] == 0

            yield cutting(fits, when)
            monkeypatch.setattr(Http, "send", send)

        return interrupting

    @pytest.fixture
    def answering_later(self, monkeypatch):
        def later():
            def still_running(client, task):
                monkeypatch.setattr(module, "wait", tasks.wait)
                raise tasks.StillRunning

            monkeypatch.setattr(module, "wait", still_running)

        return later

    @pytest.fixture
    def playing_write(self, backend, connect, meddling):
        """Return a session to a vCenter with the trouble; each method below makes one."""
        self.backend, self.meddling, self.another = backend, meddling, connect()

        def play(fault):
            getattr(self, fault)()
            return connect()

        return play

    def conflict(self):
        """Another worker makes the very VM between our look and our order."""

        def overtaken(real):
            self.another.apply(
                Target(kind="vm", ref="oc-first", generation=1, node_ref=self.backend.uuid(VGPU)),
                [order("oc-first"), order("oc-second")],
            )
            return real()

        self.meddling("CreateVM_Task", overtaken)

    def deleted_meanwhile(self):
        def deleted(real):
            self.backend.remove_vm(self.backend.vm("oc-first"))
            return real()

        self.meddling("PowerOnVM_Task", deleted)

    def says_done_did_nothing(self):
        self.meddling("PowerOnVM_Task", lambda real: None)

    def says_failed_did_it(self):
        def failed(real):
            self.backend.done(real())
            raise vmodl.fault.SystemError(reason="lost", msg="A general system error occurred.")

        self.meddling("PowerOnVM_Task", failed)

    def token_ends(self):
        def ended(real):
            self.backend.disturb("logout")
            return real()

        self.meddling("ContinueRetrievePropertiesEx", ended)


class TestWatching(OnBackend, WatchContract):
    @pytest.fixture
    def change(self, backend):
        left = [BARE, DIRECTPATH]

        def change():
            host = backend.hosts[left.pop()]
            backend.disturb(f"host?host={host.name}&state=notResponding")
            return host.hardware.systemInfo.uuid

        return change


class TestTheWay(OnBackend):
    def test_without_the_ca_is_not_trusted_although_the_server_is_on_this_machine(self, backend, open_session):
        connector = open_session("vsphere", {**backend.settings, "ca_pem": ""}, backend.credential)

        with pytest.raises(Permanent) as raised:
            connector.identity()

        assert raised.value.code == "tls_untrusted"

    def test_to_another_vcenter_behind_the_same_address_ends_at_once(self, backend, open_session):
        known = "6e0a5cbe-0000-4000-8000-00000000beef"

        with pytest.raises(Permanent) as raised:
            open_session("vsphere", backend.settings, backend.credential, identity_key=known)

        assert raised.value.code == "identity_changed"

    def test_leaves_no_session_behind(self, backend, connect):
        before = len(backend.admin.content.sessionManager.sessionList)
        connector = connect()
        pages(connector)
        assert len(backend.admin.content.sessionManager.sessionList) == before + 1

        connector.close()

        assert len(backend.admin.content.sessionManager.sessionList) == before


class TestALook(OnBackend):
    def test_in_whose_middle_all_sessions_end_misses_nothing(self, backend, connector, meddling):
        before = {node.ref for node in nodes(connector)}

        def ended(real):
            backend.disturb("logout")
            return real()

        meddling("ContinueRetrievePropertiesEx", ended)
        seen = pages(connector)

        assert last_of(seen).complete and {node.ref for page in seen for node in page.nodes} == before
        assert len(before) == 8

    def test_at_a_host_that_does_not_answer_keeps_its_cards_and_what_they_carry(
        self, backend, connector, target, orders, node_ref
    ):
        carry(connector, target(1), orders)
        seen = pages(connector)
        (before,) = [node for page in seen for node in page.nodes if node.ref == node_ref]

        backend.disturb(f"host?host={backend.hosts[VGPU].name}&state=notResponding")

        seen = list(connector.observe(last_of(seen).cursor))
        (after,) = [node for page in seen for node in page.nodes if node.ref == node_ref]
        assert before.is_available and not after.is_available and after.unavailable_reason
        assert after.devices == before.devices and our_use(connector) == {each.marker: each.milli for each in orders}

    def test_at_a_card_that_failed_under_a_vm_shows_both(self, backend, connector, target, orders, node_ref):
        carry(connector, target(1), orders)
        for index in (0, 1):
            backend.disturb(f"gpu?host={backend.hosts[VGPU].name}&index={index}&state=failed")

        devices = backend.look()[node_ref].devices

        assert [device.health for device in devices] == ["faulty", "faulty"]
        assert isinstance(connector.probe(target(1)), Found)


class TestAVm(OnBackend):
    def test_whose_creation_is_answered_by_nothing_is_one_vm_after_a_repeat(
        self, backend, connector, target, orders, cutting
    ):
        broken = cutting(lambda seen: method_of(seen) == "CreateVM_Task", "after")
        with pytest.raises(Transient):
            connector.apply(target(1), orders)

        carry(connector, target(1), orders)

        assert broken == ["CreateVM_Task"] and list(backend.made()) == ["oc-first"]

    def test_that_somebody_destroyed_is_absent_and_its_cards_are_free(self, backend, connector, target, orders):
        before = nodes(connector)
        carry(connector, target(1), orders)
        backend.remove_vm(backend.vm("oc-first"))

        assert connector.probe(target(1)) == Absent() and nodes(connector) == before
        assert connector.apply(target(2), []) == Done(found=Absent())

    def test_of_a_passing_trouble_is_made_by_a_repeat(self, backend, connector, target, orders):
        for method in ("CreateVM_Task", "PowerOnVM_Task"):
            for fault in ("TaskInProgress", "HostNotConnected", "SystemError"):
                backend.disturb("fail", {"method": method, "fault": fault, "count": 1})
                with pytest.raises(Transient):
                    connector.apply(target(1), orders)

                assert carry(connector, target(1), orders).found.markers == markers(orders)
                carry(connector, target(2), [])

    @pytest.mark.parametrize("method", ["ReconfigVM_Task", "PowerOffVM_Task", "Destroy_Task"])
    def test_whose_giving_back_meets_trouble_is_gone_after_a_repeat(self, backend, connector, target, orders, method):
        carry(connector, target(1), orders)
        backend.disturb("fail", {"method": method, "fault": "SystemError", "count": 1})

        with pytest.raises(Transient):
            connector.apply(target(2), [])

        assert carry(connector, target(2), []).found == Absent()

    def test_whose_version_is_no_longer_current_is_read_again(self, connector, target, orders, monkeypatch):
        carry(connector, target(1), orders)
        find = vm.find
        stale = [replace(find(connector._inner._client, target(1)), change_version="older")]
        monkeypatch.setattr(vm, "find", lambda *given: stale.pop() if stale else find(*given))

        done = carry(connector, target(2), orders)

        assert not stale and done.found.generation == 2 and [call.verb for call in done.changes] == ["reconfigure"]

    def test_on_a_host_whose_free_card_failed_is_no_capacity(self, backend, connector, target, orders):
        (free,) = {0, 1} - {["0000:17:00.0", "0000:3b:00.0"].index(claim["GPU"]) for claim in backend.claims()}
        backend.disturb(f"gpu?host={backend.hosts[VGPU].name}&index={free}&state=failed")

        with pytest.raises(NoCapacity):
            connector.apply(target(1), orders)

        assert connector.probe(target(1)) == Absent()

    def test_of_a_profile_that_only_other_hosts_may_have_is_no_capacity(self, connector, target):
        with pytest.raises(NoCapacity) as raised:
            connector.apply(target(1), [replace(order("oc-first"), profile="grid_a100-41c")])

        assert "grid_a100-41c" in raised.value.platform_words
        assert connector.probe(target(1)) == Absent()

    def test_cloned_from_a_template_gets_our_devices_and_marker_whatever_the_template_says(
        self, backend, open_session, target, orders
    ):
        there = backend.add_vm("template", VGPU, is_on=False)
        inherited = [vim.option.OptionValue(key=vm.ALLOCATION, value="inherited")]
        backend.done(there.ReconfigVM_Task(vim.vm.ConfigSpec(extraConfig=inherited)))
        settings = {**backend.settings, "template": f"{backend.datacenter.name}/vm/template"}

        done = carry(open_session("vsphere", settings, backend.credential), target(1), orders)

        assert done.changes[0].verb == "clone" and done.found.markers == markers(orders)
        assert f"{vm.ALLOCATION}=A" in backend.made()["oc-first"]


class TestABusyVCenter(OnBackend):
    """Its tasks stay in the queue for longer than we wait for them."""

    @pytest.fixture
    def backend(self, slow_backend):
        return slow_backend

    @pytest.fixture(autouse=True)
    def _in_a_hurry(self, _as_before):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(tasks, "WAIT_SECONDS", 0.1)
            yield

    def test_is_asked_again_until_the_one_vm_runs_and_until_it_is_gone(self, backend, connector, target, orders):
        assert isinstance(connector.apply(target(1), orders), Pending)

        assert carry(connector, target(1), orders).found.markers == markers(orders)
        assert list(backend.made()) == ["oc-first"] and len(backend.claims()) == 3

        assert isinstance(connector.apply(target(2), []), Pending)
        assert carry(connector, target(2), []).found == Absent() and backend.made() == {}


class TestTheLastSlot(OnBackend):
    def test_goes_to_one_of_two_who_ask_at_once(self, connect, target, other_target, orders, other_orders):
        wanted = ((connect(), target(1), orders), (connect(), other_target(1), other_orders))
        ended = []

        def ask(connector, target, orders):
            try:
                ended.append(carry(connector, target, orders).found.markers)
            except ConnectorError as error:
                ended.append(error.code)

        threads = [threading.Thread(target=ask, args=each) for each in wanted]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(ended) == 2 and "no_capacity" in ended
        assert len({markers(orders), markers(other_orders)} & set(ended)) == 1

    def test_of_cards_in_pieces_is_none_although_enough_is_free_in_sum(self, backend, connector):
        node_ref = backend.uuid(MIG)
        targets = [Target(kind="vm", ref=f"oc-{place}", generation=1, node_ref=node_ref) for place in range(14)]
        for each in targets:
            carry(connector, each, [Order(marker=each.ref, allocation="A", member=0, profile=SEVENTH, milli=142)])
        for each in [*targets[0::4], *targets[1::4]]:  # some of each card: the emptier one is taken first
            carry(connector, replace(each, generation=2), [])

        free = [device.attributes for device in backend.look()[node_ref].devices]
        target = Target(kind="vm", ref="oc-whole", generation=1, node_ref=node_ref)
        with pytest.raises(NoCapacity):
            connector.apply(target, [replace(piece("oc-whole"), profile="grid_a100-7-40c", memory_mib=40960)])

        assert sum(int(each[f"free:{SEVENTH}"]) for each in free) == 8
        assert {int(each.get("free:grid_a100-7-40c", 0)) for each in free} == {0}
        assert connector.probe(target) == Absent()


class TestATenantsOwnVm(OnBackend):
    @pytest.fixture
    def own(self, backend, node_ref):
        backend.add_vm("their-own", VGPU, is_on=False)
        return lambda generation: Target(
            kind="vm", ref="their-own", generation=generation, node_ref=node_ref, is_tenants=True
        )

    def test_gets_the_devices_and_loses_them_again_and_stays(self, backend, connector, own, orders):
        assert carry(connector, own(1), orders).found.markers == markers(orders)

        carry(connector, own(2), [])

        left = vm.find(backend.admin, own(2))
        assert left is not None and not left.marks and not left.devices and not left.is_on

    def test_that_runs_is_not_switched_off_to_attach(self, backend, connector, own, orders):
        backend.done(backend.vm("their-own").PowerOnVM_Task())

        with pytest.raises(Permanent) as raised:
            connector.apply(own(1), orders)

        assert raised.value.code == "rejected" and vm.find(backend.admin, own(1)).is_on


class TestADirectPathCard(OnBackend):
    def test_of_another_vm_is_no_capacity(self, backend, connector, target, other_target):
        node_ref = backend.uuid(DIRECTPATH)
        wanted = [Order(marker="oc-first", allocation="A", member=0, devices=("0000:17:00.0",), milli=1000)]
        first, second = (replace(each(1), node_ref=node_ref) for each in (target, other_target))
        placed = carry(connector, first, wanted).found.places["oc-first"]

        with pytest.raises(NoCapacity):
            connector.apply(second, wanted)

        assert placed[0].device_ref == "0000:17:00.0" and connector.probe(second) == Absent()
