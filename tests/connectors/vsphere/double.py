"""A double of a vCenter: SOAP over HTTPS, an inventory in memory, GPU admission, and what disturbs them.

It proves that the connector speaks the API and meets its faults. How ESXi places is not proven by it.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import format_datetime
from http.cookies import CookieError, SimpleCookie
from typing import Any

from pyVmomi import vim, vmodl

from tests.connectors.server import Answer, Authority, FaultServer, Seen, serving
from tests.connectors.vsphere import double_soap
from tests.connectors.vsphere.double_collector import Session
from tests.connectors.vsphere.double_gpus import A100, H100, Device, Gpu
from tests.connectors.vsphere.double_inventory import Cluster, Datacenter, Datastore, Folder, Host, Thing
from tests.connectors.vsphere.double_methods import Reading
from tests.connectors.vsphere.double_soap import Call
from tests.connectors.vsphere.double_tasks import Changing

COOKIE = "vmware_soap_session"
ANONYMOUS = ("RetrieveServiceContent", "Login")
ADDRESSES = ("0000:17:00.0", "0000:3b:00.0", "0000:5f:00.0", "0000:83:00.0")
FREE_GIB = (1, 500)
LAYOUT: tuple[Any, ...] = (("vgpu", A100), ("mig", A100), ("directpath", H100), None)


class VCenter(Reading, Changing):
    """Two clusters of four hosts: with vGPUs, with MIG, with DirectPath devices, and without GPUs."""

    def __init__(self, clusters: int = 2, gpus: int = 2) -> None:
        Changing.__init__(self)
        Reading.__init__(self)
        self.things = {}
        self.root: Thing = self._add(Folder(vim.Folder("group-d1", None), "Datacenters"))
        datacenter = self._add(Datacenter(vim.Datacenter("datacenter-2", None), "DC", self.root))
        self._add(Folder(vim.Folder("group-v3", None), "vm", datacenter))
        hosts = self._add(Folder(vim.Folder("group-h4", None), "host", datacenter))
        for number in range(clusters):
            self._add_cluster(number, hosts, gpus)

    # --- what a test asks and does ------------------------------------------------------------------------------------

    @property
    def hosts(self) -> list[Host]:
        return [thing for thing in self.things.values() if isinstance(thing, Host)]

    def add_host(self, number: str, cluster: Thing, datastores: list[Datastore], gpus: list[Gpu]) -> Host:
        """Register a host of one's own number."""
        host = Host(vim.HostSystem(f"host-{number}", None), f"esx-{number}", cluster, gpus)
        host.datastores, host.product = datastores, self.about()
        self._add(host)
        return host

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Change something as if it happened by itself; who waits for updates is told."""
        with self.changed:
            yield
            self.changed.notify_all()

    def end_sessions(self) -> None:
        """Every session ends, with its views, filters and pages."""
        with self.changing():
            self.sessions.clear()

    # --- answers ------------------------------------------------------------------------------------------------------

    def __call__(self, seen: Seen) -> Answer:
        answer = self._answer(seen)
        answer.headers = {**answer.headers, "Date": format_datetime(self.now(), usegmt=True)}
        return answer

    def _answer(self, seen: Seen) -> Answer:
        if seen.path == "/sdk/vimServiceVersions.xml":
            return double_soap.versions(self.api_version)
        if seen.path != "/sdk" or not double_soap.method_of(seen):
            return Answer(status=404, body=b"404 page not found\n", headers={"Content-Type": "text/plain"})
        call = double_soap.call_of(seen)
        with self.changing():
            try:
                self.pass_time()
                return self._answer_call(call, self.sessions.get(_cookie(seen)))
            except vmodl.MethodFault as fault:
                return double_soap.fault(fault, call.version)

    def _answer_call(self, call: Call, session: Session | None) -> Answer:
        if call.method == "Login":
            arguments = call.arguments
            session = self.log_in(arguments["userName"], arguments["password"])
            answer = double_soap.answer(call, self.user_session(session))
            cookie = f'{COOKIE}="{session.key}"; Path=/; HttpOnly; Secure'
            answer.headers = {**answer.headers, "Set-Cookie": cookie}
            return answer
        if session is None and call.method not in ANONYMOUS:
            words = "The session is not authenticated."
            raise vim.fault.NotAuthenticated(object=call.this, privilegeId="System.View", msg=words)
        if call.method == "Logout":
            assert session is not None
            del self.sessions[session.key]
            return double_soap.answer(call, None)
        if (privilege := self.privilege_for(call.method)) in self.lacks:
            words = "Permission to perform this operation was denied."
            raise vim.fault.NoPermission(object=call.this, privilegeId=privilege, msg=words)
        return double_soap.answer(call, self._result(call, session))

    def _result(self, call: Call, session: Session | None) -> Any:
        method = getattr(self, call.method, None)
        if method is None:
            raise vmodl.fault.MethodNotFound(receiver=call.this, method=call.method, msg=f"no method {call.method}")
        if "session" in inspect.signature(method).parameters:
            return method(call, session, **call.arguments)
        this = self.things.get(call.this._moId)
        if this is None and call.method.endswith("_Task"):
            raise double_soap.not_found(call.this)
        return method(call, this, **call.arguments)

    # --- the fleet ----------------------------------------------------------------------------------------------------

    def _add_cluster(self, number: int, hosts: Thing, gpus: int) -> None:
        cluster = self._add(Cluster(vim.ClusterComputeResource(f"domain-c{number}", None), f"cluster-{number}", hosts))
        assert isinstance(cluster, Cluster)
        cluster.resource_pool = self._add(Thing(vim.ResourcePool(f"resgroup-{number}", None), "Resources", cluster))
        cluster.browser = self._add(Thing(vim.EnvironmentBrowser(f"envbrowser-{number}", None), "", cluster))
        stores = [
            Datastore(vim.Datastore(f"datastore-{number}{at}", None), f"store-{number}{at}", cluster, free_gib)
            for at, free_gib in enumerate(FREE_GIB)
        ]
        self.things.update({store.ref._moId: store for store in stores})
        for place, kind in enumerate(LAYOUT):
            cards = [Gpu(address, *kind) for address in ADDRESSES[:gpus]] if kind else []
            self.add_host(f"{number}{place}", cluster, stores, cards)

    def _add(self, thing: Thing) -> Thing:
        self.things[thing.ref._moId] = thing
        return thing


def _cookie(seen: Seen) -> str:
    try:
        found = SimpleCookie(seen.headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def busy(gpus: int = 2) -> VCenter:
    """A vCenter where others use a GPU of the first host, a piece of a MIG GPU and a whole GPU.

    ``gpus`` are on each host that has any.
    """
    vcenter = VCenter(gpus=gpus)
    vgpu, mig, direct, none = vcenter.hosts[: len(LAYOUT)]
    vcenter.add_vm("theirs-vgpu", vgpu, vgpu_device("grid_a100-40c"))
    vcenter.add_vm("theirs-mig", mig, vgpu_device("grid_a100-3-20c"))
    whole = Device.DeviceBackingInfo(id=direct.gpus[1].address)
    vcenter.add_vm("theirs-direct", direct, Device(key=-1, backing=whole))
    vcenter.add_vm("theirs-plain", none)
    return vcenter


def vgpu_device(profile: str) -> Any:
    """A vGPU to give to a VM."""
    return Device(key=-1, backing=Device.VmiopBackingInfo(vgpu=profile))


@contextmanager
def running(vcenter: VCenter, authority: Authority) -> Iterator[FaultServer]:
    """Run a vCenter for the time of a block, with a certificate of the authority."""
    with serving(vcenter, identity=authority.identity()) as server:
        yield server
